/** Whether the agent is connected to the tracker, by which it finds its peers. Pure. */
import type { AgentStatus } from '@shoal/wire'
import { type Finding, failure, ok, warning } from '../check-result.ts'
import { durationText } from './quantities.ts'

/** Agents connect again within 3 s, and a seeder is restarted in a few. */
const RECONNECTING_MS = 10_000

export function judgeTracker({ announceStream, seeder }: AgentStatus): Finding {
  const { isOpen, forMs } = announceStream
  if (isOpen) return ok(`announce stream to ${seeder} open for ${durationText(forMs)}`, { isOpen, forMs })
  if (forMs < RECONNECTING_MS)
    return warning(
      `announce stream to ${seeder} not open, for ${durationText(forMs)}`,
      'Look again in some seconds: the agent or the seeder may just have been started.',
      { isOpen, forMs },
    )
  return failure(
    `announce stream to ${seeder} closed for ${durationText(forMs)}: this node finds no new peers`,
    'The agent tries again every few seconds. If the seeder is well, see whether a proxy between them lets WebSockets through, and search the agent’s log at level debug for announce-stream-error.',
    { isOpen, forMs },
  )
}

/** Through which HTTP proxies the agent goes, as it was started. Pure. */
import type { AgentStatus } from '@shoal/wire'
import { type Finding, ok, warning } from '../check-result.ts'

/** @returns undefined where none is set */
export function judgeProxies(proxies: AgentStatus['proxies']): Finding | undefined {
  if (proxies === undefined) return undefined
  const { http, https, problems } = proxies
  const [problem] = problems
  if (problem !== undefined)
    return warning(
      problems.join('; '),
      'Set it to `http://host:port` in the agent’s environment, or unset it.',
      {
        proxies,
      },
    )
  const used = [...new Set([https, http])].filter((proxy) => proxy !== undefined)
  if (used.length === 0) return undefined
  return ok(
    `the origin is asked through ${used.join(' and ')} unless NO_PROXY excepts it; the seeder and other agents are not`,
    { proxies },
  )
}

/**
 * Who floods, as a process of its own, so that its work is not the seeder's nor that of who measures. Asked by messages: to
 * prepare, to flood until it is told to end, or to keep a core as busy as a flood did without sending anything.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { FloodTarget } from './row.ts'
import { FLOOD_ROWS, type FloodName } from './rows.ts'

export type FloodQuestion =
  | { readonly kind: 'prepare' | 'flood'; readonly name: FloodName; readonly target: FloodTarget }
  /** @property share of one core */
  | { readonly kind: 'spin'; readonly share: number }
  | { readonly kind: 'end' }
export type FloodAnswer = { readonly kind: 'done' } | { readonly kind: 'said'; readonly line: string }

const SPIN_SLICE_MS = 5
const ending = new AbortController()
const tell = (answer: FloodAnswer) => process.connected && process.send!(answer)

process.on('message', (question: FloodQuestion) => {
  if (question.kind === 'end') return ending.abort()
  act(question).then(
    () => tell({ kind: 'done' }),
    (error) => {
      tell({ kind: 'said', line: `failed: ${error}` })
      tell({ kind: 'done' })
    },
  )
})
process.on('disconnect', () => process.exit())

async function act(question: Exclude<FloodQuestion, { kind: 'end' }>): Promise<void> {
  if (question.kind === 'spin') return spin(question.share)
  const row = FLOOD_ROWS[question.name]
  if (question.kind === 'flood')
    return row.flood(question.target, ending.signal, (line) => tell({ kind: 'said', line }))
  if ('prepare' in row) await row.prepare(question.target)
}

async function spin(share: number): Promise<void> {
  while (!ending.signal.aborted) {
    const untilMs = performance.now() + SPIN_SLICE_MS * share
    while (performance.now() < untilMs);
    await sleep(SPIN_SLICE_MS * (1 - share))
  }
}

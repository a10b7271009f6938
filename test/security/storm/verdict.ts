/** What a storm must not have done, in words for whoever has to find the reason. Pure. */
import type { StormReport } from './storm.ts'

/** Of what it was when clients alone were at work. */
const MEMORY_RATIO_MAX = 1.5

export function faultsOf({ endings, wrong, failed, memoryMB, exits }: StormReport): string[] {
  const faults = [...wrong.map((one) => `wrong: ${one}`), ...failed.map((one) => `not served: ${one}`)]
  for (const { service, atMs, exit, why, lastActions } of endings) {
    const actions = lastActions.map(({ atMs, attacker, what }) => `  ${atMs} ms ${attacker}: ${what}`)
    faults.push(
      [`${service} ended after ${atMs} ms with ${exit.signal ?? exit.code}: ${why}`, ...actions].join('\n'),
    )
  }
  for (const [service, { before, after }] of Object.entries(memoryMB)) {
    if (after > MEMORY_RATIO_MAX * before)
      faults.push(`${service} keeps ${after} MB, and had ${before} MB before`)
  }
  for (const [service, { code, signal }] of Object.entries(exits)) {
    if (code !== 0 && !endings.some((ending) => ending.service === service))
      faults.push(`${service} did not end well on SIGTERM: ${signal ?? code}`)
  }
  return faults
}

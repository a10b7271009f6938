/** What a storm must not have done, in words for whoever has to find the reason. Pure. */
import type { StormReport } from './storm.ts'

/** Of what it was when clients alone were at work. */
const MEMORY_RATIO_MAX = 1.5
/**
 * What a service may keep of an image beside that: its swarms, metainfo and records. Clients alone, 1,200 images pushed and
 * pulled, took a seeder and an agent together from 238 to 539 MB.
 */
const MEMORY_OF_IMAGE_MB = 1 / 8

/** What a service may have when strangers have gone, in MB. */
export function memoryMaxMB(beforeMB: number, pushes: number): number {
  return MEMORY_RATIO_MAX * beforeMB + MEMORY_OF_IMAGE_MB * pushes
}

export function faultsOf({ endings, wrong, failed, pushes, memoryMB, exits }: StormReport): string[] {
  const faults = [...wrong.map((one) => `wrong: ${one}`), ...failed.map((one) => `not served: ${one}`)]
  for (const { service, atMs, exit, why, lastActions } of endings) {
    const actions = lastActions.map(({ atMs, attacker, what }) => `  ${atMs} ms ${attacker}: ${what}`)
    faults.push(
      [`${service} ended after ${atMs} ms with ${exit.signal ?? exit.code}: ${why}`, ...actions].join('\n'),
    )
  }
  for (const [service, { before, after }] of Object.entries(memoryMB)) {
    if (after > memoryMaxMB(before, pushes))
      faults.push(`${service} keeps ${after} MB, and had ${before} MB before`)
  }
  for (const [service, { code, signal }] of Object.entries(exits)) {
    if (code !== 0 && !endings.some((ending) => ending.service === service))
      faults.push(`${service} did not end well on SIGTERM: ${signal ?? code}`)
  }
  return faults
}

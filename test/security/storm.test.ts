/**
 * Goal: nothing that strangers send to any port, and nothing that agents, registries or the network do wrong, ends a service or
 * gives a client other bytes, or another tag, than were pushed.
 * Method: half a minute of a storm (storm/storm.ts), with services as processes; the long one is `npm run storm`. Chance comes
 * from a seed that is the same each time.
 */
import { expect, it } from 'vitest'
import { runStorm } from './storm/storm.ts'
import { faultsOf } from './storm/verdict.ts'

const SEED = 1
const CALM_MS = 5_000
const STORM_MS = 40_000
/** Of each of some fifty attackers. */
const ACTIONS_MAX = 250

it('ends no service and lies to no client', async () => {
  const report = await runStorm({
    seed: SEED,
    calmMs: CALM_MS,
    durationMs: STORM_MS,
    actionsMax: ACTIONS_MAX,
  })
  expect(faultsOf(report), `seed ${SEED}`).toEqual([])
  // Otherwise nothing was shown.
  for (const [attacker, count] of Object.entries(report.actions)) expect(count, attacker).toBeGreaterThan(5)
  for (const kind of ['tag', 'range', 'last']) expect(report.pulls[`${kind}: right`], kind).toBeGreaterThan(0)
  expect(report.pushes).toBeGreaterThan(5)
}, 240_000)

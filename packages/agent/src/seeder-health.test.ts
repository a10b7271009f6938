/**
 * Goal: a seeder that does not answer costs one wait, not one for each question, and counts again with its first sign of life.
 * Method: the health's clock, told as a story; then the watch over a seeder that answers, hangs and comes back as the test says.
 */
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { SourceUnavailableError } from './errors.ts'
import {
  isSure,
  PROBE_INTERVAL_MS,
  type SeederHealth,
  type SeederHealthEvent,
  type SeederSight,
  SURE_FOR_MS,
  stepSeederHealth,
  UNKNOWN_HEALTH,
} from './seeder-health.ts'
import { SeederWatch } from './seeder-watch.ts'

const refused: SeederSight = { kind: 'unreachable', reason: 'connection refused' }

/** What each event leads to, and how it ends. */
function told(...events: readonly (readonly [nowMs: number, event: SeederHealthEvent])[]) {
  let health: SeederHealth = UNKNOWN_HEALTH
  const effects = events.map(([nowMs, event]) => {
    const stepped = stepSeederHealth(health, nowMs, event)
    health = stepped.health
    return stepped.effects.map(({ kind }) => kind).join()
  })
  return { health, effects }
}

test('a doubt is settled by one probe, whoever else doubts meanwhile', () => {
  const { health, effects } = told(
    [0, { kind: 'doubted' }],
    [1, { kind: 'doubted' }],
    [2, { kind: 'probed', sight: { kind: 'seeder' } }],
    [3, { kind: 'doubted' }],
  )
  expect(effects).toEqual(['probe', '', 'found', 'probe'])
  expect(health.kind).toBe('answers')
})

test('silence is told once for each reason, and looked at again until there is a sign of life', () => {
  const { health, effects } = told(
    [0, { kind: 'doubted' }],
    [10, { kind: 'probed', sight: refused }],
    [10 + PROBE_INTERVAL_MS - 1, { kind: 'timer' }],
    [10 + PROBE_INTERVAL_MS, { kind: 'timer' }],
    [20_000, { kind: 'probed', sight: refused }],
    [30_000, { kind: 'timer' }],
    [30_001, { kind: 'probed', sight: { kind: 'unreachable', reason: 'it does not answer in time' } }],
    [40_000, { kind: 'heard' }],
    [41_000, { kind: 'heard' }],
  )
  expect(effects).toEqual(['probe', 'lost', '', 'probe', '', 'probe', 'lost', 'found', ''])
  expect(health).toMatchObject({
    kind: 'answers',
    sinceMs: 40_000,
    reason: undefined,
    nextProbeAtMs: undefined,
  })
})

test('somebody else in its place is told of, and is no seeder', () => {
  const stranger: SeederSight = { kind: 'stranger', reason: 'an agent answers there' }
  const { health, effects } = told([0, { kind: 'doubted' }], [1, { kind: 'probed', sight: stranger }])
  expect(effects).toEqual(['probe', 'lost'])
  expect(health).toMatchObject({ kind: 'stranger', reason: 'an agent answers there' })
})

test('a sign of life is believed for a while', () => {
  const { health } = told([1_000, { kind: 'heard' }])
  expect([1_000, 999 + SURE_FOR_MS, 1_000 + SURE_FOR_MS].map((nowMs) => isSure(health, nowMs))).toEqual([
    true,
    true,
    false,
  ])
})

function watchOver(sight: () => Promise<SeederSight>) {
  const parts = { look: sight, log: pino({ level: 'silent' }), nowMs: () => performance.now() }
  return new SeederWatch(parts, { seederUrl: 'http://user:secret@10.0.0.10:7000/path' })
}

/** Never answers, and ends when nobody waits any more. */
const hangs = (signal: AbortSignal) =>
  new Promise<never>((_resolve, reject) =>
    signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
  )

test('a seeder that hangs costs one question its wait, and those after it nothing', async () => {
  let sight: SeederSight = { kind: 'seeder' }
  const watch = watchOver(async () => sight)
  await watch.start()
  expect(watch.problem).toBeUndefined()
  expect(await watch.ask(async () => 1)).toBe(1)
  sight = { kind: 'unreachable', reason: 'it does not answer in time' }
  await expect(watch.ask(hangs)).rejects.toThrow(SourceUnavailableError)
  let isAsked = false
  const again = watch.ask(async () => {
    isAsked = true
  })
  await expect(again).rejects.toThrow('it does not answer in time')
  expect(isAsked).toBe(false)
  expect(watch.problem).toBe(
    'the seeder at http://10.0.0.10:7000 cannot be reached: it does not answer in time',
  )
  watch.heard()
  expect(await watch.ask(async () => 2)).toBe(2)
  expect(watch.problem).toBeUndefined()
  watch.stop()
})

test('another registry that is slow does not make the seeder silent', async () => {
  const watch = watchOver(async () => ({ kind: 'seeder' }))
  await watch.start()
  const slow = new SourceUnavailableError('the seeder', 'not in time', { isUnanswered: true })
  await expect(watch.ask(() => Promise.reject(slow))).rejects.toBe(slow)
  expect(await watch.confirm()).toBe(true)
  expect(await watch.ask(async () => 3)).toBe(3)
  watch.stop()
})

test('what knows nothing and is no seeder has said nothing', async () => {
  const watch = watchOver(async () => ({
    kind: 'stranger',
    reason: 'what answers there is no seeder (HTTP 404)',
  }))
  await watch.start()
  await expect(watch.ask(async () => undefined)).rejects.toThrow('what answers there is no seeder (HTTP 404)')
  expect(await watch.confirm()).toBe(false)
  // It was behind a proxy that lets only some paths through.
  expect(await watch.ask(async () => ({ manifests: [] }))).toEqual({ manifests: [] })
  expect(watch.problem).toBeUndefined()
  watch.stop()
})

test('a seeder that was away is asked as soon as it is back, where a look takes moments', async () => {
  let sight: SeederSight = { kind: 'unreachable', reason: 'connection refused' }
  const watch = watchOver(async () => sight)
  await watch.start()
  await expect(watch.ask(async () => 1)).rejects.toThrow('connection refused')
  expect(await watch.confirm()).toBe(false)
  sight = { kind: 'seeder' }
  expect(await watch.confirm()).toBe(true)
  expect(await watch.ask(async () => 2)).toBe(2)
})

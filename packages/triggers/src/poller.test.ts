/**
 * Goal: a push that no sender told of is found within an interval, is told once, and a registry that is away costs neither it
 * nor the others much.
 * Method: the decisions by hand and by properties; the loop on a virtual clock over registries in a Map.
 */
import { type Digest, parseDigest } from '@shoal/core'
import fc from 'fast-check'
import { pino } from 'pino'
import { describe, expect, it, test } from 'vitest'
import type { JudgeFailure } from './failure-verdict.ts'
import {
  afterFailure,
  afterPoll,
  eventOfDigest,
  firstPoll,
  matches,
  nextPoll,
  type PollState,
  tagsToPoll,
  type WatchedRepository,
} from './poll-plan.ts'
import { Poller, type PollerInit } from './poller.ts'
import type { PushEvent } from './push-event.ts'
import { settled, VirtualClock } from './testing/virtual-clock.ts'

const MINUTE_MS = 60_000
const TIMING = { intervalMs: 5 * MINUTE_MS, backoff: { firstMs: 30_000, maxMs: 60 * MINUTE_MS } }
const digest = (n: number): Digest => parseDigest(`sha256:${String(n).padStart(64, '0')}`)
const watch = (repository: string, ...tags: string[]): WatchedRepository => ({
  registryHost: 'r.example',
  repository,
  tags,
})

class World {
  readonly clock = new VirtualClock()
  readonly told: PushEvent[] = []
  readonly digests = new Map<string, Digest>()
  /** Questions so far, with their minute. */
  readonly asked: string[] = []
  askedAtOnceMax = 0
  fault: (what: string) => void | Promise<void> = () => {}
  tell: (event: PushEvent) => void = () => {}
  judge: JudgeFailure = () => ({ kind: 'try-again' })
  #atOnce = 0
  readonly #startedAtMs = this.clock.nowMs()

  poller(watched: readonly WatchedRepository[], init: Partial<PollerInit> = {}): Poller {
    const parts = {
      currentDigest: (_host: string, repository: string, tag: string) =>
        this.#question(`${repository}:${tag}`, () => this.digests.get(`${repository}:${tag}`)),
      tags: (_host: string, repository: string) =>
        this.#question(repository, () =>
          [...this.digests.keys()].flatMap((key) =>
            key.startsWith(`${repository}:`) ? [key.slice(repository.length + 1)] : [],
          ),
        ),
      tell: async (event: PushEvent) => {
        this.tell(event)
        this.told.push(event)
      },
      clock: this.clock,
      random: () => 0.5,
      judge: (error: unknown) => this.judge(error),
      log: pino({ level: 'silent' }),
    }
    const poller = new Poller(parts, { ...TIMING, atOnceMax: 2, tagsMax: 5, watched, ...init })
    poller.start()
    return poller
  }

  tags(): string[] {
    return this.told.map(({ repository, tag }) => `${repository}:${tag}`)
  }

  async #question<T>(what: string, answer: () => T): Promise<T> {
    this.asked.push(`${(this.clock.nowMs() - this.#startedAtMs) / MINUTE_MS} ${what}`)
    this.askedAtOnceMax = Math.max(this.askedAtOnceMax, ++this.#atOnce)
    try {
      await this.fault(what)
      return answer()
    } finally {
      this.#atOnce--
    }
  }
}

describe('the poller', () => {
  it('leaves a registry alone until the time that it names, at its first refusal', async () => {
    const world = new World()
    for (const tag of ['v1', 'v2', 'v3', 'v4']) world.digests.set(`a:${tag}`, digest(1))
    world.fault = () => Promise.reject(new Error('429'))
    const busyUntilMs = world.clock.nowMs() + 45 * MINUTE_MS
    world.judge = () => ({ kind: 'try-again', notBeforeMs: busyUntilMs })
    const poller = world.poller([watch('a', 'v1', 'v2', 'v3', 'v4')])
    await world.clock.advance(44 * MINUTE_MS)
    expect(world.asked).toHaveLength(1)
    world.fault = () => {}
    await world.clock.advance(MINUTE_MS)
    expect(world.tags()).toEqual(['a:v1', 'a:v2', 'a:v3', 'a:v4'])
    await poller.stop()
  })

  it('tells of every tag after a start, then only of what changes, also of what goes and comes back', async () => {
    const world = new World()
    world.digests.set('a:v1', digest(1))
    world.poller([watch('a', 'v1', 'v2')])
    await world.clock.advance(3 * MINUTE_MS)
    expect(world.told).toMatchObject([
      { source: 'poll', registryHost: 'r.example', repository: 'a', tag: 'v1', digest: digest(1) },
    ])
    await world.clock.advance(30 * MINUTE_MS)
    expect(world.told).toHaveLength(1)
    world.digests.set('a:v2', digest(2))
    await world.clock.advance(5 * MINUTE_MS)
    world.digests.set('a:v1', digest(3))
    await world.clock.advance(5 * MINUTE_MS)
    world.digests.delete('a:v1')
    await world.clock.advance(5 * MINUTE_MS)
    world.digests.set('a:v1', digest(3))
    await world.clock.advance(5 * MINUTE_MS)
    world.digests.set('a:v1', digest(1))
    await world.clock.advance(5 * MINUTE_MS)
    expect(world.told.map((event) => [event.tag, event.digest])).toEqual([
      ['v1', digest(1)],
      ['v2', digest(2)],
      ['v1', digest(3)],
      ['v1', digest(3)],
      ['v1', digest(1)],
    ])
    expect(new Set(world.told.map(({ id }) => id)).size).toBe(5)
  })

  it('asks every interval', async () => {
    const world = new World()
    world.poller([watch('a', 'v1')])
    await world.clock.advance(20 * MINUTE_MS)
    expect(world.asked).toEqual(['2.5 a:v1', '7.5 a:v1', '12.5 a:v1', '17.5 a:v1'])
  })

  it('lists tags only for patterns, and takes no more than it may', async () => {
    const world = new World()
    for (const tag of ['v1', 'v2', 'main', 'v3', 'v4', 'v5', 'v6', 'not a tag'])
      world.digests.set(`a:${tag}`, digest(1))
    world.digests.set('b:v1', digest(1))
    world.poller([watch('a', 'main', 'v*', 'n*'), watch('b', 'v1')])
    await world.clock.advance(3 * MINUTE_MS)
    expect(world.tags().toSorted()).toEqual(['a:main', 'a:v1', 'a:v2', 'a:v3', 'a:v4', 'b:v1'])
    expect(world.asked.filter((question) => !question.includes(':'))).toEqual(['2.5 a'])
  })

  it('asks a few repositories at once, and all of them in the end', async () => {
    const world = new World()
    const repositories = Array.from({ length: 10 }, (_, n) => `r${n}`)
    for (const name of repositories) world.digests.set(`${name}:v1`, digest(1))
    world.fault = () => new Promise((resolve) => world.clock.after(1_000, resolve))
    world.poller(repositories.map((name) => watch(name, 'v1')))
    await world.clock.advance(4 * MINUTE_MS)
    expect(world.tags().toSorted()).toEqual(repositories.map((name) => `${name}:v1`).toSorted())
    expect(world.askedAtOnceMax).toBe(2)
  })

  it('backs off from what fails, alone, and comes back to the interval', async () => {
    const world = new World()
    for (const name of ['away', 'here']) world.digests.set(`${name}:v1`, digest(1))
    world.fault = (what) => {
      if (what === 'away:v1') throw new Error('away')
    }
    world.poller([watch('away', 'v1'), watch('here', 'v1')])
    await world.clock.advance(100 * MINUTE_MS)
    const asked = (name: string) => world.asked.filter((question) => question.endsWith(`${name}:v1`)).length
    // 30 s doubled to an hour, three quarters of it with this chance.
    expect(asked('away')).toBe(9)
    expect(asked('here')).toBe(20)
    world.fault = () => {}
    await world.clock.advance(60 * MINUTE_MS)
    expect(world.tags()).toEqual(['here:v1', 'away:v1'])
    const before = asked('away')
    await world.clock.advance(50 * MINUTE_MS)
    expect(asked('away') - before).toBe(10)
  })

  it('one tag that always fails neither hides nor slows the others; three end the poll', async () => {
    const world = new World()
    for (const tag of ['1', '2', '3', '4', '5']) world.digests.set(`a:${tag}`, digest(1))
    const failing = new Set(['a:1'])
    world.fault = (what) => {
      if (failing.has(what)) throw new Error('broken')
    }
    const poller = world.poller([watch('a', '1', '2', '3', '4', '5')])
    await world.clock.advance(3 * MINUTE_MS)
    expect(world.tags()).toEqual(['a:2', 'a:3', 'a:4', 'a:5'])
    world.digests.set('a:5', digest(2))
    await world.clock.advance(5 * MINUTE_MS)
    expect(world.tags().at(-1)).toBe('a:5')
    failing.add('a:2')
    await world.clock.advance(5 * MINUTE_MS)
    failing.delete('a:2')
    await world.clock.advance(5 * MINUTE_MS)
    expect(world.told).toHaveLength(5)
    await poller.stop()
    for (const tag of ['2', '3', '4', '5']) failing.add(`a:${tag}`)
    const other = new World()
    other.fault = world.fault
    other.poller([watch('a', '1', '2', '3', '4', '5')])
    await other.clock.advance(3 * MINUTE_MS)
    expect(new Set(other.asked.map((question) => question.split(' ')[1]))).toEqual(
      new Set(['a:1', 'a:2', 'a:3']),
    )
  })

  it('what could not be told is told later', async () => {
    const world = new World()
    world.digests.set('a:v1', digest(1))
    world.tell = () => {
      throw new Error('the queue is full')
    }
    world.poller([watch('a', 'v1')])
    await world.clock.advance(10 * MINUTE_MS)
    expect(world.told).toEqual([])
    world.tell = () => {}
    await world.clock.advance(20 * MINUTE_MS)
    expect(world.tags()).toEqual(['a:v1'])
  })

  it('stops: nothing is asked any more, and what is asked is waited for', async () => {
    const world = new World()
    world.digests.set('a:v1', digest(1))
    const answers: (() => void)[] = []
    world.fault = () => new Promise((resolve) => answers.push(resolve))
    const poller = world.poller([watch('a', 'v1', 'v2'), watch('b', 'v1'), watch('c', 'v1')])
    await world.clock.advance(3 * MINUTE_MS)
    let isStopped = false
    const stopping = poller.stop().then(() => {
      isStopped = true
    })
    await settled()
    expect(isStopped).toBe(false)
    for (const answer of answers) answer()
    await stopping
    await world.clock.advance(60 * MINUTE_MS)
    expect(world.asked).toEqual(['2.5 a:v1', '2.5 b:v1'])
    expect(world.clock.timerCount).toBe(0)
  })

  it('with nothing to watch does nothing', async () => {
    const world = new World()
    const poller = world.poller([])
    expect(world.clock.timerCount).toBe(0)
    await poller.stop()
  })
})

describe('decisions', () => {
  const at = (nextAtMs: number): PollState => ({ nextAtMs, failures: 0, seen: new Map() })

  test('what is due longest goes first; else the earliest is waited for', () => {
    expect(nextPoll([at(5), at(3), undefined, at(3), at(9)], 5)).toEqual({ kind: 'poll', due: [1, 3, 0] })
    expect(nextPoll([at(5), undefined, at(3)], 2)).toEqual({ kind: 'wait', untilMs: 3 })
    expect(nextPoll([undefined], 2)).toEqual({ kind: 'wait', untilMs: Number.POSITIVE_INFINITY })
  })

  test('first polls are spread over an interval, later ones are a tenth around it, failures wait longer and longer', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
        fc.nat(100),
        (random, failures) => {
          expect(firstPoll(7, TIMING, random).nextAtMs - 7).toBeLessThan(TIMING.intervalMs)
          const waitMs = afterPoll(new Map(), 7, TIMING, random).nextAtMs - 7
          expect(Math.abs(waitMs - TIMING.intervalMs)).toBeLessThanOrEqual(TIMING.intervalMs / 10)
          const failed = afterFailure({ ...at(0), failures }, new Map(), 7, TIMING, random)
          const fullMs = Math.min(TIMING.backoff.maxMs, TIMING.backoff.firstMs * 2 ** failures)
          expect(failed.nextAtMs - 7).toBeGreaterThanOrEqual(fullMs / 2)
          expect(failed.nextAtMs - 7).toBeLessThanOrEqual(fullMs)
          expect(failed.failures).toBe(failures + 1)
        },
      ),
    )
  })

  test('replicas that see the same thing say it under the same id', () => {
    const tell = (nowMs: number, n = 1) =>
      eventOfDigest(watch('a'), 'v1', digest(n), { seen: undefined, nowMs, intervalMs: 1_000 })?.id
    expect(tell(1_000)).toBe(tell(1_999))
    expect(tell(1_000)).not.toBe(tell(2_000))
    expect(tell(1_000)).not.toBe(tell(1_000, 2))
  })

  test('tags are asked for once, the exact ones first', () => {
    expect(tagsToPoll(watch('a', 'b', 'v?', '*1'), ['v1', 'b', 'v2', 'x1', 'v10'], 3)).toEqual({
      tags: ['b', 'v1', 'v2'],
      leftOut: 1,
    })
  })

  test.each([
    ['*', '', true],
    ['v*', 'v1.2', true],
    ['v*', 'w1', false],
    ['v?', 'v', false],
    ['v?', 'v1', true],
    ['*-rc*', '1.2-rc.3', true],
    ['*a*b', 'xaxbxb', true],
    ['*a*b', 'xaxbxc', false],
    ['1.2', '1x2', false],
    ['a**', 'a', true],
  ])('%s and %s: %s', (pattern, text, expected) => expect(matches(pattern, text)).toBe(expected))

  test('patterns match what an expression made of them matches, in no time', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '.', '-'), maxLength: 12 })
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*', '?'), maxLength: 8 })
    fc.assert(
      fc.property(pattern, letters, (glob, text) => {
        const source = glob.replaceAll('.', '\\.').replaceAll('*', '.*').replaceAll('?', '.')
        expect(matches(glob, text)).toBe(new RegExp(`^${source}$`).test(text))
      }),
    )
    expect(matches('*a'.repeat(60), 'a'.repeat(128).concat('b'))).toBe(false)
  })
})

/**
 * Goal: no registry and no repository keeps another waiting, however slow it is and however much it has; all that is wanted
 * comes; and everything is bounded.
 * Method: the decisions alone, on time that the test makes. Registries give what the test says in every second of it; random
 * ones are watched step by step.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FETCH_LIMITS, type FetchEffect, type FetchEvent, FetchPlaces } from './fetch-places.ts'

const MIB = 1024 ** 2
const { placesPerHost, perHostMax, perAllMax, everMax, turnMs } = FETCH_LIMITS

interface Blob {
  readonly host: string
  readonly repository: string
  readonly bytesPerSecond: number
  length: number
  mayGiveWay: boolean
  receivedBytes: number
  firstByteAtMs: number | undefined
}

/** Registries that give bytes every second; what gives way asks again. */
class Registries {
  nowMs = 0
  readonly running = new Set<Blob>()
  readonly done = new Set<Blob>()
  readonly places = new FetchPlaces<Blob>()
  onEffect: (effect: FetchEffect<Blob>) => void = () => {}

  ask(host: string, init: Partial<Blob> = {}): Blob {
    const blob: Blob = {
      host,
      repository: 'app',
      bytesPerSecond: 100 * MIB,
      length: 100 * MIB,
      mayGiveWay: true,
      receivedBytes: 0,
      firstByteAtMs: undefined,
      ...init,
    }
    this.step({ kind: 'asked', fetch: blob })
    return blob
  }

  end(blob: Blob): void {
    this.running.delete(blob)
    this.done.add(blob)
    this.step({ kind: 'ended', fetch: blob })
  }

  step(event: FetchEvent<Blob>): void {
    for (const effect of this.places.step(this.nowMs, event)) {
      this.onEffect(effect)
      const { fetch } = effect
      if (effect.kind === 'begin') {
        this.running.add(fetch)
        continue
      }
      this.running.delete(fetch)
      this.step({ kind: 'ended', fetch })
      this.step({ kind: 'asked', fetch })
    }
  }

  pass(seconds: number): void {
    for (let second = 0; second < seconds; second++) {
      this.nowMs += 1_000
      for (const blob of [...this.running]) {
        blob.receivedBytes += Math.min(blob.bytesPerSecond, blob.length - blob.receivedBytes)
        if (blob.bytesPerSecond > 0) blob.firstByteAtMs ??= this.nowMs
        if (blob.receivedBytes === blob.length) this.end(blob)
      }
      this.step({ kind: 'tick' })
    }
  }

  ofHost(host: string): number {
    return [...this.running].filter((blob) => blob.host === host).length
  }
}

const trickle = { bytesPerSecond: 2_000, length: 400_000 }

describe('a registry', () => {
  it('that trickles ten blobs takes nothing from another', () => {
    const registries = new Registries()
    for (let n = 0; n < 10; n++) registries.ask('slow', trickle)
    const healthy = Array.from({ length: 10 }, () => registries.ask('healthy'))
    expect([registries.ofHost('slow'), registries.ofHost('healthy')]).toEqual([8, 8])
    registries.pass(3)
    expect(healthy.every((blob) => registries.done.has(blob))).toBe(true)
  })

  it('has eight places, and more fetches only while some bring less than the floor', () => {
    const registries = new Registries()
    const fast = Array.from({ length: 12 }, () => registries.ask('fast', { length: 100_000 * MIB }))
    registries.pass(30)
    expect(registries.ofHost('fast')).toBe(placesPerHost)
    fast[0]!.length = fast[0]!.receivedBytes
    registries.pass(1)
    expect(registries.ofHost('fast')).toBe(placesPerHost)
    expect(registries.done.size).toBe(1)
  })

  it('that is slow gives the first bytes of 16 layers within seconds, not the last eight after the first', () => {
    const registries = new Registries()
    const layers = Array.from({ length: 16 }, () =>
      registries.ask('slow', { bytesPerSecond: 25_000, length: 300_000 }),
    )
    registries.pass(5)
    expect(layers.map(({ firstByteAtMs }) => firstByteAtMs).filter((ms) => ms! <= 4_000)).toHaveLength(16)
    registries.pass(12)
    expect(registries.done.size).toBe(16)
  })

  it('that is slow and has more layers than may be fetched at once lets them take turns', () => {
    const registries = new Registries()
    const layers = Array.from({ length: 60 }, () =>
      registries.ask('slow', { bytesPerSecond: 10_000, length: 6_000_000 }),
    )
    registries.pass(60)
    expect(layers.filter(({ firstByteAtMs }) => firstByteAtMs === undefined)).toEqual([])
    expect(registries.ofHost('slow')).toBe(perHostMax)
  })

  it('that gives no ranges is not made to begin again', () => {
    const registries = new Registries()
    const layers = Array.from({ length: 40 }, () => registries.ask('slow', { ...trickle, mayGiveWay: false }))
    registries.onEffect = ({ kind }) => expect(kind).toBe('begin')
    registries.pass(2 * (turnMs / 1_000))
    expect([...registries.running]).toEqual(layers.slice(0, perHostMax))
  })

  it('is let in however many others have all there is', () => {
    const registries = new Registries()
    for (const host of ['one', 'two', 'three'])
      for (let n = 0; n < 30; n++) registries.ask(host, { ...trickle, mayGiveWay: false })
    registries.pass(10)
    expect(registries.running.size).toBe(perAllMax)
    const late = registries.ask('healthy')
    registries.pass(2)
    expect(registries.done.has(late)).toBe(true)
  })
})

it('a repository with two layers is not behind the hundred of another', () => {
  const registries = new Registries()
  for (let n = 0; n < 100; n++) registries.ask('one', { repository: 'large' })
  const small = [1, 2].map(() => registries.ask('one', { repository: 'small' }))
  registries.pass(2)
  expect(small.every((blob) => registries.done.has(blob))).toBe(true)
  expect(registries.done.size).toBeLessThan(50)
})

describe('whatever happens', () => {
  const asking = fc.record({
    kind: fc.constant('ask' as const),
    host: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    repository: fc.constantFrom('x', 'y', 'z'),
    bytesPerSecond: fc.constantFrom(0, 1_000, MIB - 1, MIB, 50 * MIB),
    length: fc.integer({ min: 1, max: 200 * MIB }),
    mayGiveWay: fc.boolean(),
  })
  const story = fc.array(
    fc.oneof(
      { weight: 6, arbitrary: asking },
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constant('pass' as const),
          seconds: fc.integer({ min: 1, max: 15 }),
        }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), at: fc.nat() }) },
    ),
    { minLength: 20, maxLength: 200 },
  )

  it('bounds hold, nobody waits beside a free place, and everything is begun in the end', () => {
    fc.assert(
      fc.property(story, (events) => {
        const registries = new Registries()
        const { places } = registries
        const asked: Blob[] = []
        registries.onEffect = ({ kind, fetch }) => {
          if (kind === 'give-way') expect(fetch.mayGiveWay).toBe(true)
        }
        const check = () => {
          expect(places.runningCount).toBe(registries.running.size)
          expect(places.runningCount).toBeLessThanOrEqual(everMax)
          const waiting = asked.filter((blob) => !registries.running.has(blob) && !registries.done.has(blob))
          expect(places.waitingCount).toBe(waiting.length)
          for (const host of ['a', 'b', 'c', 'd', 'e']) {
            const ofHost = registries.ofHost(host)
            expect(ofHost).toBeLessThanOrEqual(perHostMax)
            const hasWaiting = waiting.some((blob) => blob.host === host)
            if (!hasWaiting) continue
            if (ofHost === 0) expect(places.runningCount).toBe(everMax)
            if (ofHost < placesPerHost) expect(places.runningCount).toBeGreaterThanOrEqual(perAllMax)
          }
        }
        for (const event of events) {
          if (event.kind === 'ask') asked.push(registries.ask(event.host, { ...event }))
          else if (event.kind === 'pass') registries.pass(event.seconds)
          else {
            const left = asked[event.at % Math.max(1, asked.length)]
            if (left !== undefined && !registries.done.has(left)) registries.end(left)
          }
          check()
        }
        for (const blob of asked) if (blob.bytesPerSecond === 0) blob.mayGiveWay = true
        // The worst trickle that is left: whatever gives way takes turns, whatever does not ends.
        for (let round = 0; round < 100 && places.waitingCount > 0; round++) {
          registries.pass(turnMs / 1_000)
          for (const blob of [...registries.running]) if (!blob.mayGiveWay) registries.end(blob)
        }
        const isBegun = (blob: Blob) => registries.done.has(blob) || registries.running.has(blob)
        const never = asked.filter((blob) => !isBegun(blob) && blob.firstByteAtMs === undefined)
        expect(never.filter(({ bytesPerSecond }) => bytesPerSecond > 0)).toEqual([])
      }),
      { numRuns: 100 },
    )
  })
})

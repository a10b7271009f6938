/**
 * Goal: pieces of a blob that still arrives are had from the swarm as they are told of; for a reader that waits the seeder is
 * nudged or asked over HTTP; what was told is not untold.
 * Method: the state machine alone, on time that the test sets; then random events against what must always hold. What the agent
 * makes of it, with files and bytes: packages/agent/src/arriving-bodies.test.ts.
 */
import { Bitfield, type Metainfo, parseDigest, pieceCount, pieceLengthFor } from '@shoal/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ARRIVAL_RULE } from './arrival-ladder.ts'
import type { ArrivingPullEffect, ArrivingPullEvent } from './arriving-protocol.ts'
import { ArrivingPull } from './arriving-pull.ts'
import { PULL_LIMITS } from './limits.ts'

const digest = parseDigest(`sha256:${'1'.repeat(64)}`)
const LENGTH = 20 * 64 * 1024 + 1
const pieceLength = pieceLengthFor(LENGTH)
const count = pieceCount({ length: LENGTH, pieceLength })
const last = count - 1
const hashesOf = (first: number, pieces: number, byte = 0) => ({
  first,
  sha256: Uint8Array.from({ length: 32 * pieces }, (_, at) => byte + first + Math.floor(at / 32) + 1),
})
const told = (first: number, pieces = 1, byte = 0): ArrivingPullEvent => ({
  kind: 'pieces-told',
  hashes: hashesOf(first, pieces, byte),
})
const kinds = (effects: readonly ArrivingPullEffect[]) => effects.map(({ kind }) => kind)

function createPull() {
  const world = { have: new Bitfield(count), readers: [] as number[] }
  const pull = new ArrivingPull(0, { peerId: 'ab'.repeat(20), digest, length: LENGTH })
  const step = (nowMs: number, event: ArrivingPullEvent) => {
    const effects = pull.step(nowMs, event)
    pull.check()
    return effects
  }
  const view = { have: world.have, readerPositions: () => world.readers }
  return { pull, world, step, join: () => step(0, { kind: 'joined', view }) }
}

describe('pieces', () => {
  test('are learned as they are told of, each once, none beyond the end', () => {
    const { pull, step, join } = createPull()
    expect(step(0, told(0, 2))).toEqual([{ kind: 'learn', pieceIndexes: [0, 1] }])
    expect(join()).toEqual([{ kind: 'announce', state: 'leeching' }, { kind: 'download' }])
    expect(step(0, told(1, 2))).toEqual([{ kind: 'learn', pieceIndexes: [2] }])
    expect(step(0, told(0, 3))).toEqual([])
    expect(step(0, told(last, 3))).toEqual([{ kind: 'learn', pieceIndexes: [last] }])
    expect(pull.known.setCount).toBe(4)
  })

  test('that are told otherwise lose the blob', () => {
    const { step } = createPull()
    step(0, told(0, 2))
    expect(kinds(step(0, told(1, 1, 7)))).toEqual(['lose'])
  })

  test('are the blob’s where its metainfo says of each what was told', () => {
    const { pull, step } = createPull()
    step(0, told(0, 3))
    const { sha256 } = hashesOf(0, count)
    const metainfo = { ...pull.metainfo, piecesSha256: sha256 } satisfies Metainfo
    expect(pull.agreesWith(metainfo)).toBe(true)
    expect(pull.agreesWith({ ...metainfo, length: LENGTH + 1 })).toBe(false)
    const other = Uint8Array.from(sha256)
    other[2 * 32]! ^= 1
    expect(pull.agreesWith({ ...metainfo, piecesSha256: other })).toBe(false)
  })
})

describe('a reader that waits', () => {
  test('far ahead has the seeder told once, and looked after until his piece is told of', () => {
    const { step, join, world } = createPull()
    join()
    world.readers = [9]
    expect(step(10, { kind: 'reader-waits' })).toEqual([
      { kind: 'nudge', pieceIndex: 9 },
      { kind: 'set-timer', atMs: 10 + PULL_LIMITS.lookMs },
    ])
    expect(kinds(step(260, { kind: 'timer' }))).toEqual(['set-timer'])
    expect(kinds(step(300, told(9)))).toEqual(['end-nudge', 'learn'])
  })

  test('and leaves, alone or not, is not waited for by the seeder', () => {
    const { step, join, world } = createPull()
    join()
    world.readers = [9]
    step(10, { kind: 'reader-waits' })
    world.readers = []
    expect(step(260, { kind: 'timer' })).toEqual([{ kind: 'end-nudge', pieceIndex: 9 }])
  })

  test('for what the swarm does not give has it over HTTP, never the last piece, and after a failure only later', () => {
    const { step, join, world } = createPull()
    join()
    step(0, told(0, count))
    world.readers = [3]
    const { stallMs } = ARRIVAL_RULE
    expect(kinds(step(stallMs - 1, { kind: 'reader-waits' }))).toEqual(['set-timer'])
    const pieceIndexes = Array.from({ length: last - 3 }, (_, at) => 3 + at)
    expect(step(stallMs, { kind: 'timer' })[0]).toEqual({ kind: 'fetch', pieceIndexes })
    expect(kinds(step(stallMs + 250, { kind: 'timer' }))).toEqual(['set-timer'])
    step(stallMs + 300, { kind: 'fetch-ended', isGood: false })
    const restedMs = stallMs + 300 + PULL_LIMITS.restMs
    expect(kinds(step(restedMs - 1, { kind: 'timer' }))).toEqual(['set-timer'])
    expect(kinds(step(restedMs, { kind: 'timer' }))).toEqual(['fetch', 'set-timer'])
    world.readers = [last]
    step(restedMs + 1, { kind: 'fetch-ended', isGood: true })
    expect(kinds(step(restedMs + 250, { kind: 'timer' }))).toEqual(['set-timer'])
  })
})

test('whatever happens, what is fetched is known and missing, requests are ended once, and nothing follows the end', () => {
  const anyEvent = fc.oneof(
    fc.record({ first: fc.nat(last), pieces: fc.nat(5) }).map(({ first, pieces }) => told(first, pieces)),
    fc.constantFrom<ArrivingPullEvent>(
      { kind: 'reader-waits' },
      { kind: 'timer' },
      { kind: 'bytes-received' },
      { kind: 'fetch-ended', isGood: true },
      { kind: 'fetch-ended', isGood: false },
      { kind: 'left' },
    ),
  )
  const happening = fc.record({
    event: anyEvent,
    afterMs: fc.nat(6_000),
    pieces: fc.array(fc.nat(last), { maxLength: 2 }),
    readers: fc.array(fc.nat(last), { maxLength: 3 }),
  })
  fc.assert(
    fc.property(fc.array(happening, { maxLength: 60 }), (happenings) => {
      const { pull, step, join, world } = createPull()
      join()
      const nudged = new Set<number>()
      let [nowMs, isFetching, isOver] = [0, false, false]
      for (const { event, afterMs, pieces, readers } of happenings) {
        nowMs += afterMs
        for (const index of pieces) if (pull.known.has(index)) world.have.set(index)
        world.readers = readers
        if (event.kind === 'fetch-ended') isFetching = false
        const effects = step(nowMs, event)
        if (isOver) expect(effects).toEqual([])
        for (const effect of effects) {
          if (effect.kind === 'nudge') {
            expect(pull.known.has(effect.pieceIndex) || nudged.has(effect.pieceIndex)).toBe(false)
            nudged.add(effect.pieceIndex)
          } else if (effect.kind === 'end-nudge') nudged.delete(effect.pieceIndex)
          else if (effect.kind === 'fetch') {
            expect(isFetching).toBe(false)
            isFetching = true
            for (const index of effect.pieceIndexes) {
              expect(pull.known.has(index) && !world.have.has(index) && index < last).toBe(true)
            }
          }
        }
        if (event.kind === 'left') {
          isOver = true
          expect(nudged.size).toBe(0)
        }
      }
    }),
  )
})

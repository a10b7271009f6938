/**
 * Goal: whatever peers say and whenever hashes become known, the engine hears of every piece that a peer has, once its hash is
 * known and not before.
 * Method: random messages and lessons against sets.
 */
import { Bitfield } from '@shoal/core'
import type { PeerMessage } from '@shoal/wire'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HeldHaves } from './held-haves.ts'

const COUNT = 20

function bitsOf(message: PeerMessage): number[] {
  if (message.kind === 'have') return [message.index]
  if (message.kind === 'have-all') return Array.from({ length: COUNT }, (_, index) => index)
  if (message.kind !== 'bitfield') return []
  const bits = Bitfield.fromBytes(message.bytes, COUNT)!
  return Array.from({ length: COUNT }, (_, index) => index).filter((index) => bits.has(index))
}

const index = fc.nat({ max: COUNT - 1 })
const bitfield = fc.array(index).map((indexes): PeerMessage => {
  const bits = new Bitfield(COUNT)
  for (const at of indexes) bits.set(at)
  return { kind: 'bitfield', bytes: bits.toBytes() }
})
const step = fc.oneof(
  fc.record({ connection: fc.nat({ max: 2 }), message: bitfield }),
  fc.record({ connection: fc.nat({ max: 2 }), message: fc.constant({ kind: 'have-all' } as PeerMessage) }),
  fc.record({
    connection: fc.nat({ max: 2 }),
    message: index.map((at): PeerMessage => ({ kind: 'have', index: at })),
  }),
  index.map((learned) => ({ learned })),
)

test('random peers and lessons', () => {
  fc.assert(
    fc.property(fc.array(index), fc.array(step), (first, steps) => {
      const known = new Set(first)
      const bits = new Bitfield(COUNT)
      for (const at of known) bits.set(at)
      const held = new HeldHaves(bits)
      const said = [new Set<number>(), new Set<number>(), new Set<number>()]
      const heard = [new Set<number>(), new Set<number>(), new Set<number>()]
      for (const one of steps) {
        if ('learned' in one) {
          known.add(one.learned)
          for (const connection of held.learn(one.learned)) heard[connection]!.add(one.learned)
        } else {
          for (const at of bitsOf(one.message)) said[one.connection]!.add(at)
          const passed = held.hear(one.connection, one.message)
          for (const at of passed === undefined ? [] : bitsOf(passed)) heard[one.connection]!.add(at)
        }
        for (const [connection, all] of said.entries())
          expect(heard[connection]).toEqual(new Set([...all].filter((at) => known.has(at))))
      }
    }),
  )
})

test('what is no news of pieces passes, and what is malformed is left to the engine', () => {
  const held = new HeldHaves(new Bitfield(COUNT))
  const unchoke: PeerMessage = { kind: 'unchoke' }
  expect(held.hear(1, unchoke)).toBe(unchoke)
  const beyond: PeerMessage = { kind: 'have', index: COUNT }
  expect(held.hear(1, beyond)).toBe(beyond)
  const malformed: PeerMessage = { kind: 'bitfield', bytes: new Uint8Array(1) }
  expect(held.hear(1, malformed)).toBe(malformed)
  held.hear(1, { kind: 'have', index: 3 })
  held.gone(1)
  expect(held.learn(3)).toEqual([])
})

/** Goal: who knows a peer's id is answered by that peer and no other; whoever does not know it learns nothing. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeHandshake, encodeHandshake } from './handshake.ts'
import { encodeProbe, isProbeFor, probeInfoHash } from './probe.ts'

const hex = fc.uint8Array({ minLength: 20, maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString('hex'))

test('a probe is for the peer that it names, and says who asks', () => {
  fc.assert(
    fc.property(hex, hex, (asked, asker) => {
      const probe = encodeProbe(asked, asker)
      expect(decodeHandshake(probe)).toMatchObject({ infoHash: probeInfoHash(asked), peerId: asker })
      expect(isProbeFor(asked, probe)).toBe(true)
      expect(isProbeFor(asker, probe)).toBe(asker === asked)
    }),
  )
})

test('the swarm that it asks for is another for each peer, and never the id itself', () => {
  fc.assert(
    fc.property(hex, (peerId) => {
      expect(probeInfoHash(peerId)).not.toBe(peerId)
      expect(probeInfoHash(probeInfoHash(peerId))).toBe(peerId)
    }),
  )
})

test.each([
  ['a part of one', (probe: Uint8Array) => probe.subarray(0, 67)],
  ['one with more behind it', (probe: Uint8Array) => Buffer.concat([probe, Buffer.of(0)])],
  ['another protocol', (probe: Uint8Array) => Buffer.from(probe).fill(0, 0, 20)],
  [
    'the handshake of a swarm',
    () =>
      encodeHandshake({
        infoHash: 'ab'.repeat(20),
        peerId: 'cd'.repeat(20),
        hasFast: true,
        hasExtensions: true,
      }),
  ],
])('%s is none', (_what, change) => {
  const id = 'cd'.repeat(20)
  expect(isProbeFor(id, change(encodeProbe(id, id)))).toBe(false)
})

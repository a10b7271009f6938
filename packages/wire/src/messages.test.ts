import { parseDigest } from '@shoal/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type AgentMessage,
  decodeAgentMessage,
  decodeTrackerMessage,
  encodeAgentMessage,
  encodeTrackerMessage,
  type TrackerMessage,
} from './announce-stream.ts'
import { FrameInvalidError, FrameTooLargeError, WireError } from './errors.ts'
import { encodeMessage } from './msgpack.ts'
import { encodePeersFrame } from './peers-frame.ts'
import {
  decodeResolution,
  encodeResolution,
  metainfoRecordBytes,
  type Resolution,
  tagRecordBytes,
} from './resolution.ts'

const peerId = 'ab'.repeat(20)
const peer = { peerId, host: '10.0.0.1', port: 6001, role: 'agent' as const }
const hello = { type: 'hello', version: 1, name: '', zone: '', peerId, port: 1 }
const digest = parseDigest(`sha256:${'1'.repeat(64)}`)

describe('the announce stream', () => {
  it.each<AgentMessage>([
    { type: 'hello', version: 1, name: 'node-1', zone: 'eu-1a', peerId, host: '::1', port: 6001 },
    { type: 'hello', version: 1, name: '', zone: '', peerId, port: 6001 },
    { type: 'announce', swarms: [{ infoHash: peerId, state: 'leeching' }] },
    { type: 'leave', infoHashes: [peerId] },
    { type: 'hello', version: 1, name: '', zone: '', peerId, port: 1, capabilities: ['try-peers', 'later'] },
    { type: 'try-peers', id: 0 },
    { type: 'dialled', id: 0xffff_ffff, outcome: 'silent', ms: 2_000 },
  ])('carries the agent’s $type', (message) => {
    expect(decodeAgentMessage(encodeAgentMessage(message))).toEqual(message)
  })

  it.each<TrackerMessage>([
    { type: 'welcome', version: 1, signingKey: Uint8Array.from({ length: 44 }, (_, i) => i) },
    { type: 'peers', swarms: [{ infoHash: peerId, peers: [peer, { ...peer, role: 'seeder' }] }] },
    {
      type: 'imports',
      swarms: [
        { infoHash: peerId, modulus: 4, remainders: [1, 3] },
        { infoHash: 'cd'.repeat(20), modulus: 4, remainders: [] },
      ],
    },
    { type: 'arrival-ended', infoHash: peerId },
    { type: 'contacts', agents: [peer] },
    { type: 'dial', id: 7, peer },
    { type: 'peers-to-try', id: 7, you: peer, peers: [{ peer, name: 'node-1', zone: 'eu-1a' }] },
    { type: 'tried', id: 7, tries: [{ peerId, outcome: 'unreached', ms: 0 }] },
    { type: 'try-refused', id: 7 },
  ])('carries the tracker’s $type', (message) => {
    const decoded = decodeTrackerMessage(encodeTrackerMessage(message))
    if (decoded.type === 'welcome')
      expect(Uint8Array.from(decoded.signingKey)).toEqual((message as typeof decoded).signingKey)
    else expect(decoded).toEqual(message)
  })

  it.each([
    ['an unknown type', { type: 'shutdown' }],
    ['another version', { type: 'hello', version: 2, name: '', zone: '', peerId, port: 1 }],
    ['a port of 0', { type: 'hello', version: 1, name: '', zone: '', peerId, port: 0 }],
    [
      'a host that is a URL',
      { type: 'hello', version: 1, name: '', zone: '', peerId, host: 'http://a/', port: 1 },
    ],
    ['an info hash of 19 bytes', { type: 'leave', infoHashes: ['ab'.repeat(19)] }],
    ['more swarms than a frame may have', { type: 'leave', infoHashes: new Array(1_025).fill(peerId) }],
    ['a state that is none', { type: 'announce', swarms: [{ infoHash: peerId, state: 'busy' }] }],
    ['no message at all', 7],
    ['more capabilities than there will be', { ...hello, capabilities: new Array(17).fill('x') }],
    ['a capability of any length', { ...hello, capabilities: ['x'.repeat(33)] }],
    ['a question with a number below nought', { type: 'try-peers', id: -1 }],
    ['an outcome that is none', { type: 'dialled', id: 1, outcome: 'unreached', ms: 1 }],
    ['a dial that took a day', { type: 'dialled', id: 1, outcome: 'reached', ms: 86_400_000 }],
  ])('refuses %s', (_what, message) => {
    expect(() => decodeAgentMessage(encodeMessage(message))).toThrow(FrameInvalidError)
  })

  it('puts frames of peers together from kept bytes', () => {
    const peers = Array.from({ length: 20 }, (_, n) => ({ ...peer, port: 6001 + n }))
    const swarms = [
      { infoHash: peerId, peers },
      { infoHash: 'cd'.repeat(20), peers: [peers[3]!] },
      { infoHash: 'ef'.repeat(20), peers: [] },
    ]
    for (let again = 0; again < 2; again++)
      expect(decodeTrackerMessage(encodePeersFrame(swarms))).toEqual({ type: 'peers', swarms })
    const many = Array.from({ length: 1_024 }, () => swarms[1]!)
    expect(decodeTrackerMessage(encodePeersFrame(many))).toEqual({ type: 'peers', swarms: many })
  })

  it.each([
    ['of modulus 0', { modulus: 0, remainders: [] }],
    ['of a modulus that no zone has importers for', { modulus: 65, remainders: [] }],
    ['with a remainder below nought', { modulus: 4, remainders: [-1] }],
    ['with more remainders than there can be', { modulus: 64, remainders: new Array(65).fill(0) }],
    ['without remainders', { modulus: 4 }],
  ])('refuses a share of imports %s', (_what, share) => {
    const message = { type: 'imports', swarms: [{ infoHash: peerId, ...share }] }
    expect(() => decodeTrackerMessage(encodeMessage(message))).toThrow(FrameInvalidError)
  })

  const tried = { peerId, outcome: 'reached', ms: 1 }
  it.each([
    ['a dial to a URL', { type: 'dial', id: 1, peer: { ...peer, host: 'http://a/' } }],
    ['a dial to port 0', { type: 'dial', id: 1, peer: { ...peer, port: 0 } }],
    [
      'more peers to try than anybody has tried',
      {
        type: 'peers-to-try',
        id: 1,
        you: peer,
        peers: new Array(9).fill({ peer, name: '', zone: '' }),
      },
    ],
    ['more answers than peers', { type: 'tried', id: 1, tries: new Array(9).fill(tried) }],
    ['an answer from nobody', { type: 'tried', id: 1, tries: [{ ...tried, peerId: 'me' }] }],
  ])('refuses %s', (_what, message) => {
    expect(() => decodeTrackerMessage(encodeMessage(message))).toThrow(FrameInvalidError)
  })

  it('has frames of 128 KiB from an agent and of 4 MiB from the tracker, whatever is in them', () => {
    expect(() => decodeAgentMessage(new Uint8Array(128 * 1024 + 1))).toThrow(FrameTooLargeError)
    expect(() => decodeAgentMessage(new Uint8Array(128 * 1024))).not.toThrow(FrameTooLargeError)
    expect(() => decodeTrackerMessage(new Uint8Array(4 * 1024 ** 2 + 1))).toThrow(FrameTooLargeError)
    expect(() => decodeTrackerMessage(new Uint8Array(4 * 1024 ** 2))).not.toThrow(FrameTooLargeError)
  })

  it('leaves alone what a newer side says beside what is known', () => {
    const newer = { ...hello, colour: 'blue' }
    expect(decodeAgentMessage(encodeMessage(newer))).toMatchObject(hello)
  })

  it('throws nothing but its own errors on frames with bytes changed', () => {
    const frames = [
      { type: 'peers' as const, swarms: [{ infoHash: peerId, peers: [peer] }] },
      { type: 'imports' as const, swarms: [{ infoHash: peerId, modulus: 4, remainders: [0, 2] }] },
      { type: 'contacts' as const, agents: [peer] },
      { type: 'peers-to-try' as const, id: 7, you: peer, peers: [{ peer, name: 'n', zone: 'z' }] },
    ].map(encodeTrackerMessage)
    const change = fc.tuple(fc.nat(), fc.nat({ max: 255 }))
    fc.assert(
      fc.property(fc.constantFrom(...frames), fc.array(change, { maxLength: 5 }), (frame, changes) => {
        const bytes = Uint8Array.from(frame)
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte
        try {
          decodeTrackerMessage(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(WireError)
        }
      }),
      { numRuns: 3_000 },
    )
  })
})

/** Byte strings as text: what is decoded are Buffers, what was given Uint8Arrays. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
}

describe('a resolution', () => {
  const resolution: Resolution = {
    tag: {
      record: { repository: 'demo/app', tag: '1', digest, issuedAtMs: 1_800_000_000_000 },
      signature: new Uint8Array(64),
    },
    manifests: [
      { digest, mediaType: 'application/vnd.oci.image.manifest.v1+json', bytes: Uint8Array.of(1, 2) },
    ],
    blobs: [
      {
        info: Uint8Array.of(3),
        signature: new Uint8Array(64),
        peers: [peer],
        inline: Uint8Array.of(4),
      },
      {
        info: Uint8Array.of(5),
        peers: [],
        originUrl: 'https://s3/x',
        imports: { modulus: 4, remainders: [2] },
      },
    ],
  }

  it('survives the wire', () => {
    expect(plain(decodeResolution(encodeResolution(resolution)))).toEqual(plain(resolution))
  })

  it('has 64 MiB at most, looked at before anything else, and 2,048 blobs', () => {
    expect(() => decodeResolution(new Uint8Array(64 * 1024 ** 2 + 1))).toThrow(FrameTooLargeError)
    expect(() => decodeResolution(new Uint8Array(64 * 1024 ** 2))).not.toThrow(FrameTooLargeError)
    const blobs = (count: number) => new Array(count).fill({ info: Uint8Array.of(1), peers: [] })
    const arriving = (count: number) => new Array(count).fill({ digest, length: 1 })
    const read = (more: object) => decodeResolution(encodeMessage({ manifests: [], blobs: [], ...more }))
    expect(read({ blobs: blobs(2_048), arriving: arriving(2_048) }).blobs).toHaveLength(2_048)
    expect(() => read({ blobs: blobs(2_049) })).toThrow(FrameInvalidError)
    expect(() => read({ arriving: arriving(2_049) })).toThrow(FrameInvalidError)
  })

  it('has metainfo of 4 MiB at most', () => {
    const read = (infoBytes: number) =>
      decodeResolution(
        encodeMessage({ manifests: [], blobs: [{ info: new Uint8Array(infoBytes), peers: [] }] }),
      )
    expect(read(4 * 1024 ** 2).blobs).toHaveLength(1)
    expect(() => read(4 * 1024 ** 2 + 1)).toThrow('/blobs/*/info')
  })

  it('refuses an inline blob that is too long, and a digest that is none', () => {
    const [blob] = resolution.blobs
    expect(() =>
      decodeResolution(
        encodeMessage({ ...resolution, blobs: [{ ...blob, inline: new Uint8Array(32_769) }] }),
      ),
    ).toThrow('/blobs/*/inline')
    expect(() =>
      decodeResolution(
        encodeMessage({ ...resolution, manifests: [{ ...resolution.manifests[0], digest: 'x' }] }),
      ),
    ).toThrow(FrameInvalidError)
  })

  it('signs other bytes for every other meaning', () => {
    const record = resolution.tag!.record
    const texts = [
      record,
      { ...record, tag: '2' },
      { ...record, repository: 'demo/ap' },
      { ...record, issuedAtMs: 1 },
    ].map((r) => Buffer.from(tagRecordBytes(r)).toString())
    expect(new Set(texts).size).toBe(4)
    const other = parseDigest(`sha256:${'2'.repeat(64)}`)
    const metainfo = [
      [digest, '3'.repeat(64)],
      [digest, '4'.repeat(64)],
      [other, '3'.repeat(64)],
    ] as const
    for (const [of, infoSha256] of metainfo)
      texts.push(Buffer.from(metainfoRecordBytes(of, infoSha256)).toString())
    expect(new Set(texts).size).toBe(7)
  })
})

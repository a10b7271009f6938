/** Goal: each rule of the engine alone. Method: scripted events, effects looked at one by one, checks after every step. */
import { Bitfield, createPrng, type PeerAddress } from '@shoal/core'
import { encodeExtensionHandshake, type PeerMessage } from '@shoal/wire'
import { describe, expect, it } from 'vitest'
import { EffectsChecker } from './check-effects.ts'
import { NodeEngine } from './node-engine.ts'
import type { BlobShape, NodeEffect, NodeEvent, NodeLimits } from './protocol.ts'

const INFO_HASH = 'aa'.repeat(20)
const OWN_ID = '50'.repeat(20)
const PIECE = 262_144
const PIECES = 8
const SHAPE = { length: PIECES * PIECE, pieceLength: PIECE }

function node(
  init: {
    have?: Bitfield
    limits?: Partial<NodeLimits>
    isSource?: boolean
    isGrowing?: boolean
    shape?: BlobShape
  } = {},
) {
  const engine = new NodeEngine({
    peerId: OWN_ID,
    prng: createPrng(1),
    ...(init.limits && { limits: init.limits }),
    isSource: init.isSource ?? false,
  })
  const checker = new EffectsChecker()
  const step = (nowMs: number, event: NodeEvent): readonly NodeEffect[] => {
    const effects = engine.step(nowMs, event)
    engine.check()
    checker.check(event, effects)
    return effects
  }
  step(0, {
    kind: 'swarm-joined',
    infoHash: INFO_HASH,
    shape: init.shape ?? SHAPE,
    have: init.have ?? new Bitfield(PIECES),
    isGrowing: init.isGrowing ?? false,
  })
  const say = (nowMs: number, connection: number, message: PeerMessage) =>
    step(nowMs, { kind: 'message', connection, message })
  const connected = (
    connection: number,
    more: { infoHash?: string; peerId?: string; dialled?: PeerAddress; ip?: string; hasFast?: boolean } = {},
  ) =>
    step(0, {
      kind: 'connected',
      connection,
      infoHash: more.infoHash ?? INFO_HASH,
      peerId: more.peerId ?? String(connection).padStart(40, '0'),
      ...(more.dialled && { dialled: more.dialled }),
      ...(more.ip && { ip: more.ip }),
      hasFast: more.hasFast ?? true,
      hasExtensions: true,
    })
  /** A Shoal peer that has everything and lets itself be asked. */
  const source = (connection: number, nowMs = 0, infoHash = INFO_HASH) => {
    connected(connection, { infoHash })
    say(nowMs, connection, { kind: 'have-all' })
    say(nowMs, connection, { kind: 'extended', id: 0, payload: SHOAL_HANDSHAKE })
    return say(nowMs, connection, { kind: 'unchoke' })
  }
  const want = () => step(0, { kind: 'download-wanted', infoHash: INFO_HASH })
  return { step, say, connected, source, want }
}

const SHOAL_HANDSHAKE = encodeExtensionHandshake({
  shoal: { blockBytesMax: PIECE, ticket: new Uint8Array(), isSource: false, zone: '' },
})
const address = (peerId: string): PeerAddress => ({ peerId, host: '10.0.0.1', port: 1, role: 'agent' })
const of = <K extends NodeEffect['kind']>(effects: readonly NodeEffect[], kind: K) =>
  effects.filter((effect): effect is Extract<NodeEffect, { kind: K }> => effect.kind === kind)
const sent = (effects: readonly NodeEffect[]) => of(effects, 'send').map(({ message }) => message.kind)

/** The first piece arrives whole. */
function arrive(one: ReturnType<typeof node>, requests: readonly Extract<NodeEffect, { kind: 'request' }>[]) {
  const effects: NodeEffect[] = []
  for (const { connection, fetch, block } of requests)
    if (fetch === requests[0]!.fetch)
      effects.push(...one.step(5, { kind: 'block-arrived', connection, fetch, block }))
  return effects
}

describe('NodeEngine', () => {
  it('lets a peer say what it has as often as it has more, and nothing new a few times', () => {
    const one = node({ have: Bitfield.full(16), shape: { length: 16 * PIECE, pieceLength: PIECE } })
    one.connected(1)
    const had = new Bitfield(16)
    const closes = () => of(one.say(1, 1, { kind: 'bitfield', bytes: had.toBytes() }), 'close')
    for (let index = 0; index < 15; index++) {
      had.set(index)
      expect(closes()).toEqual([])
    }
    const repeated = Array.from({ length: 20 }, closes).flat()
    expect(repeated).toMatchObject([{ connection: 1, reason: 'bad-message' }])
  })

  it('greets with what is here first, and lets itself be asked last', () => {
    expect(sent(node().connected(1))).toEqual(['have-none', 'extended', 'unchoke'])
    expect(sent(node({ have: Bitfield.full(PIECES) }).connected(1))).toEqual([
      'have-all',
      'extended',
      'unchoke',
    ])
    const some = new Bitfield(PIECES)
    some.set(3)
    expect(sent(node({ have: some }).connected(1))).toEqual(['bitfield', 'extended', 'unchoke'])
    // BEP 6: who has no fast extension is not told "none".
    expect(sent(node().connected(1, { hasFast: false }))).toEqual(['extended', 'unchoke'])
  })

  it('shows pieces one by one as a source, but to who is none of Shoal’s everything before the unchoke', () => {
    const source = () => node({ have: Bitfield.full(PIECES), isSource: true })
    expect(sent(source().connected(1))).toEqual(['have-none', 'extended', 'unchoke'])
    // rtorrent 0.9.8, once unchoked without knowing of a piece, asks for nothing for 30 s.
    expect(sent(source().connected(1, { hasFast: false }))).toEqual(['bitfield', 'extended', 'unchoke'])
  })

  it('asks a stranger for one piece, in short blocks: the first, or the one that a reader waits for', () => {
    const one = node()
    one.want()
    expect(of(one.source(1), 'request').map(({ block }) => block.index)).toEqual(Array(8).fill(0))
    const other = node()
    other.want()
    other.step(0, { kind: 'readers-moved', infoHash: INFO_HASH, pieceIndexes: [5] })
    expect(of(other.source(1), 'request').map(({ block }) => block.index)).toEqual(Array(8).fill(5))
  })

  it('asks for nothing before it is told to, and says so', () => {
    const quiet = node()
    expect(of(quiet.source(1), 'request')).toEqual([])
    const effects = quiet.want()
    expect(sent(effects)).toContain('interested')
    expect(of(effects, 'request').length).toBeGreaterThan(0)
  })

  it('verifies, writes, tells the others, and gives the buffer back', () => {
    const one = node()
    one.want()
    const requests = of(one.source(1), 'request')
    one.connected(2)
    const { fetch, block } = requests[0]!
    expect(of(arrive(one, requests), 'verify')).toEqual([
      { kind: 'verify', infoHash: INFO_HASH, fetch, index: block.index },
    ])
    const written = one.step(6, { kind: 'piece-verified', infoHash: INFO_HASH, fetch, isRight: true })
    expect(of(written, 'write')).toHaveLength(1)
    const here = one.step(7, { kind: 'piece-written', infoHash: INFO_HASH, fetch })
    expect(of(here, 'piece-here')).toEqual([{ kind: 'piece-here', infoHash: INFO_HASH, index: block.index }])
    expect(of(here, 'release')).toHaveLength(1)
    // Who has it as well is told later, of several together.
    const message = { kind: 'have', index: block.index }
    expect(of(here, 'send').filter((effect) => effect.message.kind === 'have')).toEqual([
      { kind: 'send', connection: 2, message },
    ])
  })

  it('blames the one peer that sent a bad piece, and asks another for it', () => {
    const one = node()
    one.want()
    const requests = of(one.source(1), 'request')
    one.source(2)
    const { fetch, block } = requests[0]!
    arrive(one, requests)
    const effects = one.step(6, { kind: 'piece-verified', infoHash: INFO_HASH, fetch, isRight: false })
    expect(of(effects, 'bad-piece')).toMatchObject([{ index: block.index, peerId: '1'.padStart(40, '0') }])
    expect(of(effects, 'close')).toEqual([{ kind: 'close', connection: 1, reason: 'bad-piece' }])
    expect(of(one.connected(3, { peerId: '1'.padStart(40, '0') }), 'close')).toMatchObject([
      { reason: 'banned' },
    ])
  })

  it('blames no other for what somebody sent by its id', () => {
    const one = node()
    one.want()
    const victim = '1'.padStart(40, '0')
    // Who dials says of itself what it likes.
    const requests = of(one.source(1), 'request')
    arrive(one, requests)
    const { fetch } = requests[0]!
    one.step(6, { kind: 'piece-verified', infoHash: INFO_HASH, fetch, isRight: false })
    const found = one.step(7, { kind: 'peers-found', infoHash: INFO_HASH, peers: [address(victim)] })
    expect(of(found, 'dial')).toHaveLength(1)
    const dialled = one.connected(3, { peerId: victim, dialled: address(victim) })
    expect(of(dialled, 'close')).toEqual([])
  })

  it('dials nobody again who lied where it was dialled', () => {
    const one = node()
    one.want()
    const liar = address('7'.padStart(40, '0'))
    one.step(1, { kind: 'peers-found', infoHash: INFO_HASH, peers: [liar] })
    one.connected(1, { peerId: liar.peerId, dialled: liar })
    one.say(1, 1, { kind: 'have-all' })
    const requests = of(one.say(1, 1, { kind: 'unchoke' }), 'request')
    arrive(one, requests)
    const { fetch } = requests[0]!
    one.step(6, { kind: 'piece-verified', infoHash: INFO_HASH, fetch, isRight: false })
    // By another id neither.
    const again = [{ ...liar, peerId: '8'.padStart(40, '0') }, liar]
    expect(of(one.step(7, { kind: 'peers-found', infoHash: INFO_HASH, peers: again }), 'dial')).toEqual([])
  })

  it('gives the work of a silent peer to others, and closes it in the end', () => {
    const one = node()
    one.want()
    one.source(1)
    const reasons: string[] = []
    let cancels = 0
    for (let nowMs = 50; nowMs < 60_000; nowMs += 50) {
      const effects = one.step(nowMs, { kind: 'timer' })
      cancels += of(effects, 'cancel').length
      reasons.push(...of(effects, 'close').map(({ reason }) => reason))
    }
    expect(cancels).toBeGreaterThan(0)
    expect(reasons).toEqual(['silent'])
  })

  it('keeps one connection when both have dialled: that of the lower id', () => {
    const lower = '40'.repeat(20)
    const higher = '60'.repeat(20)
    const one = node()
    one.connected(1, { peerId: higher })
    expect(of(one.connected(2, { peerId: higher, dialled: address(higher) }), 'close')).toEqual([
      { kind: 'close', connection: 1, reason: 'duplicate' },
    ])
    one.connected(3, { peerId: lower })
    expect(of(one.connected(4, { peerId: lower, dialled: address(lower) }), 'close')).toEqual([
      { kind: 'close', connection: 4, reason: 'duplicate' },
    ])
  })

  it('neither keeps out nor leaves undialled whose id somebody elsewhere holds', () => {
    for (const victim of ['40', '60'].map((byte) => byte.repeat(20))) {
      const one = node()
      one.want()
      one.connected(1, { peerId: victim, ip: '10.0.0.66' })
      expect(of(one.connected(2, { peerId: victim, ip: '10.0.0.1' }), 'close')).toEqual([])
      // The connections of one peer are told apart as before.
      expect(of(one.connected(3, { peerId: victim, ip: '10.0.0.1' }), 'close')).toHaveLength(1)

      const other = node()
      other.want()
      other.connected(1, { peerId: victim, ip: '10.0.0.66' })
      const told = other.step(1, { kind: 'peers-found', infoHash: INFO_HASH, peers: [address(victim)] })
      expect(of(told, 'dial')).toHaveLength(1)
      const dialled = other.connected(2, { peerId: victim, dialled: address(victim), ip: '10.0.0.1' })
      expect(of(dialled, 'close')).toEqual([])

      const liar = { ...address('77'.repeat(20)), host: '10.0.0.66' }
      const third = node()
      third.want()
      third.step(1, { kind: 'peers-found', infoHash: INFO_HASH, peers: [liar] })
      third.connected(1, { peerId: victim, dialled: liar, ip: liar.host })
      const toldLater = third.step(2, { kind: 'peers-found', infoHash: INFO_HASH, peers: [address(victim)] })
      expect(of(toldLater, 'dial')).toHaveLength(1)
    }
  })

  it('dials whom it is told of, once, not itself, and again later when it failed', () => {
    const one = node()
    one.want()
    const peers = [address('11'.repeat(20)), { ...address(OWN_ID), port: 2 }]
    expect(of(one.step(0, { kind: 'peers-found', infoHash: INFO_HASH, peers }), 'dial')).toHaveLength(1)
    expect(of(one.step(1, { kind: 'peers-found', infoHash: INFO_HASH, peers }), 'dial')).toHaveLength(0)
    one.step(2, { kind: 'dial-failed', infoHash: INFO_HASH, address: peers[0]! })
    expect(of(one.step(500, { kind: 'timer' }), 'dial')).toHaveLength(0)
    expect(of(one.step(1_100, { kind: 'timer' }), 'dial')).toHaveLength(1)
  })

  it('abandons what a peer chokes or rejects', () => {
    const one = node()
    one.want()
    const asked = of(one.source(1), 'request')
    expect(of(one.say(1, 1, { kind: 'choke' }), 'cancel')).toHaveLength(asked.length)
    const other = node()
    other.want()
    const [request] = of(other.source(1), 'request')
    expect(of(other.say(1, 1, { kind: 'reject', ...request!.block }), 'release')).toHaveLength(1)
  })

  it('hears nothing of connections that are gone', () => {
    const one = node()
    one.want()
    const [request] = of(one.source(1), 'request')
    one.step(1, { kind: 'disconnected', connection: 1 })
    expect(
      one.step(2, { kind: 'block-arrived', connection: 1, fetch: request!.fetch, block: request!.block }),
    ).toEqual([])
    expect(one.say(3, 1, { kind: 'unchoke' })).toEqual([])
  })

  it('says nothing to who is gone: where a swarm is left whose peer waits for room in the buffers', () => {
    const one = node({ limits: { receiveBytesMax: PIECE } })
    one.want()
    const requests = of(one.source(1), 'request')
    const left = 'bb'.repeat(20)
    one.step(1, { kind: 'swarm-joined', infoHash: left, shape: SHAPE, have: new Bitfield(PIECES) })
    one.step(1, { kind: 'download-wanted', infoHash: left })
    expect(of(one.source(2, 1, left), 'request')).toEqual([])
    expect(of(one.step(2, { kind: 'swarm-left', infoHash: left }), 'close')).toMatchObject([
      { connection: 2 },
    ])
    arrive(one, requests)
    const { fetch } = requests[0]!
    one.step(6, { kind: 'piece-verified', infoHash: INFO_HASH, fetch, isRight: true })
    const here = one.step(7, { kind: 'piece-written', infoHash: INFO_HASH, fetch })
    expect(of(here, 'send').filter(({ connection }) => connection === 2)).toEqual([])
    expect(of(here, 'request')[0]).toMatchObject({ connection: 1 })
  })

  it('asks nothing of who is gone, where another brings what he had sent in vain', () => {
    const one = node()
    one.want()
    one.step(0, { kind: 'readers-moved', infoHash: INFO_HASH, pieceIndexes: [0] })
    const slow = of(one.source(1), 'request')
    let asked = of(one.source(2), 'request')
    // The second sends what it is asked for; the first is late, and the second is asked for the reader's piece as well.
    const isLate = () => asked.some(({ block }) => block.index === 0)
    let nowMs = 0
    for (; !isLate() && nowMs < 2_000; nowMs += 300)
      asked = asked.flatMap(({ connection, fetch, block }) =>
        of(one.step(nowMs, { kind: 'block-arrived', connection, fetch, block }), 'request'),
      )
    const again = asked.find(({ block }) => block.index === 0)
    expect(again).toMatchObject({ connection: 2 })
    for (const { connection, fetch, block } of slow)
      one.step(nowMs, { kind: 'block-arrived', connection, fetch, block })
    one.step(nowMs, { kind: 'disconnected', connection: 1 })
    for (const { connection, fetch, block } of asked)
      if (fetch === again!.fetch) one.step(nowMs, { kind: 'block-arrived', connection, fetch, block })
    const { fetch } = again!
    const verified = one.step(nowMs, { kind: 'piece-verified', infoHash: INFO_HASH, fetch, isRight: true })
    expect(of(verified, 'write')).toHaveLength(1)
    expect(of(verified, 'request').filter(({ connection }) => connection === 1)).toEqual([])
  })

  it('shows nothing to who is gone, where another is seen with the piece that he was sent first', () => {
    const one = node({ isSource: true, isGrowing: true })
    const added = (index: number) => one.step(2, { kind: 'piece-added', infoHash: INFO_HASH, index })
    for (const connection of [1, 2]) {
      one.connected(connection)
      one.say(1, connection, { kind: 'extended', id: 0, payload: SHOAL_HANDSHAKE })
    }
    expect(of(added(0), 'send')).toMatchObject([{ connection: 1, message: { kind: 'have', index: 0 } }])
    const asked = one.say(3, 1, { kind: 'request', index: 0, begin: 0, length: PIECE })
    expect(of(asked, 'send-block')).toHaveLength(1)
    one.step(4, { kind: 'disconnected', connection: 1 })
    // The other is shown as much ahead as a peer is shown, so that one piece is left to show.
    for (let index = 1; index < 6; index++) added(index)
    const told = one.say(5, 2, { kind: 'have', index: 0 })
    expect(of(told, 'send').filter(({ connection }) => connection === 1)).toEqual([])
  })

  it('counts a piece that a peer asks for again once, among those that nobody else was seen with', () => {
    const one = node({ have: Bitfield.full(PIECES), isSource: true })
    one.connected(1)
    one.say(1, 1, { kind: 'extended', id: 0, payload: SHOAL_HANDSHAKE })
    const block = { index: 0, begin: 0, length: PIECE }
    for (const nowMs of [2, 4]) {
      expect(of(one.say(nowMs, 1, { kind: 'request', ...block }), 'send-block')).toHaveLength(1)
      one.step(nowMs + 1, { kind: 'block-sent', connection: 1, block })
    }
  })

  it('tells those that are shown pieces one by one of all, when a stranger was sent the last that were not shown', () => {
    const one = node({ have: Bitfield.full(PIECES), isSource: true })
    one.connected(1)
    const shown = one.say(1, 1, { kind: 'extended', id: 0, payload: SHOAL_HANDSHAKE })
    const told = new Set(of(shown, 'send').map(({ message }) => message.kind === 'have' && message.index))
    one.connected(2, { hasFast: false })
    for (let index = 0; index < PIECES; index++) {
      if (told.has(index)) continue
      const block = { index, begin: 0, length: 16_384 }
      const effects = one.say(2, 2, { kind: 'request', ...block })
      for (const { connection, message } of of(effects, 'send'))
        if (connection === 1 && message.kind === 'have') told.add(message.index)
      one.step(3, { kind: 'block-sent', connection: 2, block })
    }
    expect(told.size).toBe(PIECES)
  })

  it('two complete peers part after a while', () => {
    const one = node({ have: Bitfield.full(PIECES) })
    one.source(1)
    expect(of(one.step(5_000, { kind: 'timer' }), 'close')).toEqual([])
    expect(of(one.step(11_000, { kind: 'timer' }), 'close')).toMatchObject([{ reason: 'both-complete' }])
  })
})

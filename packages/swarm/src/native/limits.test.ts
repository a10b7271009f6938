/**
 * Goal: what strangers can make the engine spend is bounded, each by its own limit, and those who keep to the rules are
 * served meanwhile. Method: peers without manners on loopback, limits made small.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { createPrng } from '@shoal/core'
import { infoHashOf } from '@shoal/storage'
import { MemoryPieces, type TestBlob, testBlob } from '@shoal/testing/memory-pieces'
import { dialRaw, type RawPeer } from '@shoal/testing/raw-peer'
import { encodePieceHeader, type PeerMessage } from '@shoal/wire'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SwarmEngineInit, SwarmLimits } from '../engine.ts'
import { NativeEngine } from './native-engine.ts'
import { PAGE_BYTES } from './page-pool.ts'

describe('limits of the native engine', () => {
  const undo: (() => unknown)[] = []
  let blob: TestBlob
  let infoHash: string
  beforeEach(() => {
    blob = testBlob(1_200_000, 1)
    infoHash = infoHashOf(blob.metainfo)
  })
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step()
  })

  async function engine(limits: Partial<SwarmLimits>, more: Partial<SwarmEngineInit> = {}) {
    const made = new NativeEngine({
      host: '127.0.0.1',
      port: 0,
      peerId: randomBytes(20).toString('hex'),
      prng: createPrng(1),
      limits,
      ...more,
    })
    await made.start()
    undo.push(() => made.stop())
    return made
  }

  const join = (into: NativeEngine, pieces: MemoryPieces) =>
    into.join({ metainfo: pieces.metainfo, infoHash: infoHashOf(pieces.metainfo), pieces })

  async function stranger(
    to: NativeEngine,
    more: { hasFast?: boolean; peerId?: string; localAddress?: string } = {},
  ) {
    const peer = await dialRaw(to.address.port, {
      infoHash,
      peerId: randomBytes(20).toString('hex'),
      ...more,
    })
    undo.push(() => peer.socket.destroy())
    return peer
  }

  const request = (index: number, begin = 0, length = 16_384): PeerMessage => ({
    kind: 'request',
    index,
    begin,
    length,
  })

  it.each(['connectionsMax', 'connectionsPerSwarmMax'] as const)(
    '%s: who comes later is closed while all others do something',
    async (limit) => {
      const target = await engine({ [limit]: 2 })
      const swarm = await join(target, MemoryPieces.all(blob))
      const busy = [await stranger(target), await stranger(target)]
      for (const peer of busy) peer.say(request(0))
      await expect.poll(() => busy.map(({ blocks }) => blocks)).toEqual([1, 1])
      const late = [await stranger(target), await stranger(target)]
      await expect.poll(() => late.map(({ isClosed }) => isClosed)).toEqual([true, true])
      expect(busy.map(({ isClosed }) => isClosed)).toEqual([false, false])
      expect(swarm.peersConnected).toBe(2)
      // A place that falls free is given again.
      busy[0]!.socket.destroy()
      await expect.poll(() => swarm.peersConnected).toBe(1)
      const next = await stranger(target)
      next.say(request(0))
      await expect.poll(() => next.blocks).toBe(1)
    },
  )

  it.each(['connectionsMax', 'connectionsPerSwarmMax'] as const)(
    '%s: who does nothing gives way, who has waited longest first',
    async (limit) => {
      const target = await engine({ [limit]: 8 })
      const swarm = await join(target, MemoryPieces.all(blob))
      const idle: RawPeer[] = []
      for (let n = 0; n < 6; n++) idle.push(await stranger(target, { localAddress: '127.0.0.66' }))
      await expect.poll(() => swarm.peersConnected).toBe(6)
      // One address has three quarters, however many come.
      const more = await stranger(target, { localAddress: '127.0.0.66' })
      await expect.poll(() => idle[0]!.isClosed).toBe(true)
      const honest = [await stranger(target), await stranger(target), await stranger(target)]
      for (const peer of honest) peer.say(request(0))
      await expect.poll(() => honest.map(({ blocks }) => blocks)).toEqual([1, 1, 1])
      expect([idle[1]!.isClosed, idle[2]!.isClosed, more.isClosed]).toEqual([true, false, false])
    },
  )

  it('unfinishedHandshakesMax: silent connections do not pile up, and keep nobody out', async () => {
    const target = await engine({ unfinishedHandshakesMax: 4 })
    await join(target, MemoryPieces.all(blob))
    const closed = { count: 0 }
    for (let i = 0; i < 8; i++) {
      const socket = connect({ port: target.address.port, host: '127.0.0.1', localAddress: '127.0.0.66' })
      socket.on('error', () => {}).resume()
      socket.once('close', () => closed.count++)
      undo.push(() => socket.destroy())
      await once(socket, 'connect')
    }
    // One address has half of the places.
    await expect.poll(() => closed.count).toBe(6)
    for (const localAddress of ['127.0.0.1', '127.0.0.66']) {
      const honest = await stranger(target, { localAddress })
      honest.say(request(0))
      await expect.poll(() => honest.blocks).toBe(1)
    }
  })

  it('peers that ask for all pieces and read none of them keep nobody waiting', async () => {
    const large = testBlob(12_000_000, 3)
    infoHash = infoHashOf(large.metainfo)
    // Memory for sending: four pages, which one of them could fill.
    const target = await engine({ bufferBytes: 16 * PAGE_BYTES, uploadSlots: 2 })
    await join(target, MemoryPieces.all(large))
    for (let n = 0; n < 3; n++) {
      const deaf = await stranger(target)
      deaf.socket.pause()
      // Far more than the kernel takes for who reads nothing.
      const all = Array.from({ length: 45 }, (_, at) => request((at + 7 * n) % 45, 0, 131_072))
      deaf.say(...all, ...all, ...all, ...all)
    }
    const honest = await stranger(target)
    honest.say(...Array.from({ length: 40 }, (_, at) => request(at, 131_072, 131_072)))
    await expect.poll(() => honest.blocks, { timeout: 25_000 }).toBe(40)
  }, 30_000)

  it('five bytes that say that everything is there are heard a few times only', async () => {
    const target = await engine({})
    await join(target, MemoryPieces.none(blob))
    const peer = await stranger(target)
    peer.say(...Array.from({ length: 8 }, (): PeerMessage => ({ kind: 'have-all' })))
    peer.say({ kind: 'keep-alive' })
    await expect.poll(() => peer.heard.length).toBeGreaterThan(0)
    expect(peer.isClosed).toBe(false)
    peer.say({ kind: 'have-all' })
    await expect.poll(() => peer.isClosed).toBe(true)
  })

  it('a second connection of the same peer is closed', async () => {
    const target = await engine({})
    const swarm = await join(target, MemoryPieces.all(blob))
    const peerId = 'cd'.repeat(20)
    const first = await stranger(target, { peerId })
    const second = await stranger(target, { peerId })
    await expect.poll(() => second.isClosed).toBe(true)
    expect([first.isClosed, swarm.peersConnected]).toEqual([false, 1])
  })

  it('a handshake for a swarm that is not here is not answered', async () => {
    const target = await engine({})
    const peer = await stranger(target)
    await expect.poll(() => peer.isClosed).toBe(true)
    expect(peer.heard).toEqual([])
  })

  it('blockBytesMax: a longer frame closes the connection when its length is read', async () => {
    const target = await engine({ blockBytesMax: 65_536 })
    await join(target, MemoryPieces.none(blob))
    const peer = await stranger(target)
    peer.write(encodePieceHeader({ index: 0, begin: 0, length: 65_537 }))
    await expect.poll(() => peer.isClosed).toBe(true)
  })

  it.each([
    ['beyond the last piece', request(99)],
    ['beyond the end of its piece', request(0, 262_144 - 100)],
    ['of no bytes', request(0, 0, 0)],
    ['longer than a standard block may be', request(0, 0, 262_144)],
  ])('a request %s closes the connection', async (_what, asked) => {
    const target = await engine({})
    await join(target, MemoryPieces.all(blob))
    const peer = await stranger(target)
    peer.say(asked)
    await expect.poll(() => peer.isClosed).toBe(true)
    expect(peer.blocks).toBe(0)
  })

  it('queuedRequestsPerPeerMax: more are refused, or end the connection of who knows no refusal', async () => {
    const target = await engine({ queuedRequestsPerPeerMax: 4, uploadBytesPerSecond: 1 })
    await join(target, MemoryPieces.all(blob))
    const many = Array.from({ length: 20 }, (_, at) => request(at % 4, 0))
    const fast = await stranger(target)
    fast.say(...many)
    const rejects = () => fast.heard.filter(({ kind }) => kind === 'reject').length
    // One goes out on credit, four wait.
    await expect.poll(rejects).toBe(15)
    expect(fast.isClosed).toBe(false)
    const plain = await stranger(target, { hasFast: false })
    plain.say(...many)
    await expect.poll(() => plain.isClosed).toBe(true)
  })

  it('a request for a piece that is not here is refused', async () => {
    const target = await engine({})
    await join(target, new MemoryPieces(blob, [1]))
    const peer = await stranger(target)
    peer.say(request(0), request(1))
    await expect.poll(() => peer.blocks).toBe(1)
    expect(peer.heard).toContainEqual({ kind: 'reject', index: 0, begin: 0, length: 16_384 })
  })

  it('who asks for refusals and reads none is dropped', async () => {
    const target = await engine({ queuedRequestsPerPeerMax: 1, uploadBytesPerSecond: 1 })
    await join(target, MemoryPieces.all(blob))
    const peer = await stranger(target)
    peer.socket.pause()
    let isDropped = false
    peer.socket.once('close', () => {
      isDropped = true
    })
    const flood = Buffer.concat(Array.from({ length: 4_000 }, () => asked))
    const interval = setInterval(() => peer.write(flood), 1)
    undo.push(() => clearInterval(interval))
    await expect.poll(() => isDropped || peer.socket.destroyed, { timeout: 20_000 }).toBe(true)
  })

  it('blocks that nobody asked for are dropped, and so is who sends many', async () => {
    const target = await engine({})
    const pieces = MemoryPieces.none(blob)
    const swarm = await join(target, pieces)
    const peer = await stranger(target)
    const length = 65_536
    for (let i = 0; i < 40; i++) {
      peer.write(encodePieceHeader({ index: 0, begin: 0, length }))
      peer.write(new Uint8Array(length))
    }
    await expect.poll(() => peer.isClosed).toBe(true)
    expect([pieces.have.setCount, swarm.peersConnected]).toEqual([0, 0])
  })

  it('bufferBytes: a download of 6 MB through 1 MB of memory', async () => {
    const large = testBlob(6_000_000, 2)
    const from = await engine({})
    await join(from, MemoryPieces.all(large))
    const bufferBytes = 4 * PAGE_BYTES
    const to = await engine({ bufferBytes })
    const pieces = MemoryPieces.none(large)
    const swarm = await join(to, pieces)
    swarm.download()
    swarm.connect([{ peerId: from.peerId, ...from.address, role: 'agent' }])
    let most = 0
    while (!pieces.have.isFull) {
      await once(swarm, 'piece')
      most = Math.max(most, to.bufferBytes)
    }
    expect(pieces.bytes.equals(large.bytes)).toBe(true)
    // What was given up while it was being hashed may hold its pages for a moment.
    expect(most).toBeLessThanOrEqual(bufferBytes * 1.25)
  })

  it('a piece that cannot be read costs the connection, is told, and keeps nobody from the others', async () => {
    const target = await engine({})
    const pieces = MemoryPieces.all(blob)
    const readInto = pieces.readInto.bind(pieces)
    pieces.readInto = async (start, parts) => {
      if (start < PAGE_BYTES) throw new Error('a bad disk')
      await readInto(start, parts)
    }
    const swarm = await join(target, pieces)
    const told = once(swarm, 'unreadable')
    const peer = await stranger(target)
    peer.say(request(0))
    expect(String(await told)).toContain('a bad disk')
    await expect.poll(() => peer.isClosed).toBe(true)
    const other = await stranger(target)
    other.say(request(1))
    await expect.poll(() => other.blocks).toBe(1)
  })

  it('who sent a bad piece is not let in again', async () => {
    const target = await engine({})
    const liar = await engine({})
    const wrong = MemoryPieces.all(blob)
    wrong.bytes.fill(7, 0, 5)
    await join(liar, wrong)
    const swarm = await join(target, MemoryPieces.none(blob))
    const blamed = once(swarm, 'mismatch')
    swarm.download()
    const address = { peerId: liar.peerId, ...liar.address, role: 'agent' } as const
    swarm.connect([address])
    expect(await blamed).toEqual([0, liar.peerId])
    swarm.connect([address])
    const again = await stranger(target, { peerId: liar.peerId })
    await expect.poll(() => again.isClosed).toBe(true)
    expect(swarm.peersConnected).toBe(0)
  })
})

const asked = Buffer.from([0, 0, 0, 13, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0])

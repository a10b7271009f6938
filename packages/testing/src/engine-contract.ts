/**
 * What every engine must do, whatever moves the bytes: run by each engine's own test. Method: several engines on loopback,
 * their pieces in memory, some of them lying or silent.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { createPrng, mayDialFrom, type PeerAddress } from '@shoal/core'
import { infoHashOf } from '@shoal/storage'
import { dialPeer, PeerListenError, type Swarm, type SwarmEngine, type SwarmEngineInit } from '@shoal/swarm'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MemoryPieces, type TestBlob, testBlob } from './memory-pieces.ts'

const HERE = mayDialFrom(['127.0.0.1'])

export function engineContract(name: string, create: (init: SwarmEngineInit) => SwarmEngine): void {
  describe(`${name} as an engine`, () => {
    const undo: (() => unknown)[] = []
    let blob: TestBlob
    beforeEach(() => {
      // Five pieces, the last one short.
      blob = testBlob(1_200_000, 1)
    })
    afterEach(async () => {
      for (const step of undo.splice(0).reverse()) await step()
    })

    async function engine(more: Partial<SwarmEngineInit> = {}): Promise<SwarmEngine> {
      const peerId = randomBytes(20).toString('hex')
      const made = create({ host: '127.0.0.1', port: 0, peerId, prng: createPrng(1), ...more })
      await made.start()
      undo.push(() => made.stop())
      return made
    }

    const addressOf = ({ peerId, address }: SwarmEngine): PeerAddress => ({
      peerId,
      ...address,
      role: 'agent',
    })

    function join(into: SwarmEngine, pieces: MemoryPieces): Promise<Swarm> {
      return into.join({ metainfo: pieces.metainfo, infoHash: infoHashOf(pieces.metainfo), pieces })
    }

    async function fetched(swarm: Swarm, pieces: MemoryPieces): Promise<void> {
      while (!pieces.have.isFull) await once(swarm, 'piece')
    }

    it('tells who asks for it by its id that it is here, and nobody else', async () => {
      const one = await engine()
      expect(await dialPeer(addressOf(one), 'ab'.repeat(20), HERE)).toMatchObject({ outcome: 'reached' })
      const other = { ...addressOf(one), peerId: 'cd'.repeat(20) }
      expect(await dialPeer(other, 'ab'.repeat(20), HERE)).toMatchObject({ outcome: 'stranger' })
    })

    it('fetches a blob from one peer, and counts the bytes by peer', async () => {
      const [from, to] = [await engine(), await engine()]
      await join(from, MemoryPieces.all(blob))
      const pieces = MemoryPieces.none(blob)
      const swarm = await join(to, pieces)
      const received = new Map<string, number>()
      swarm.on('received', (bytes, peer) => received.set(peer, (received.get(peer) ?? 0) + bytes))
      swarm.download()
      swarm.connect([addressOf(from)])
      await fetched(swarm, pieces)
      expect(pieces.bytes.equals(blob.bytes)).toBe(true)
      expect([...received.keys()]).toEqual([from.peerId])
      expect(received.get(from.peerId)).toBe(blob.bytes.length)
      expect(swarm.peersConnected).toBe(1)
    })

    it('puts together what is spread over peers, and keeps what was there', async () => {
      const target = await engine()
      const pieces = new MemoryPieces(blob, [4])
      const swarm = await join(target, pieces)
      swarm.download()
      const peers: PeerAddress[] = []
      for (const indexes of [
        [0, 1, 4],
        [2, 3],
      ]) {
        const peer = await engine()
        await join(peer, new MemoryPieces(blob, indexes))
        peers.push(addressOf(peer))
      }
      swarm.connect(peers)
      await fetched(swarm, pieces)
      expect(pieces.bytes.equals(blob.bytes)).toBe(true)
      expect(pieces.writes.toSorted()).toEqual([0, 1, 2, 3])
    })

    it('passes pieces on while it fetches: a chain of three', async () => {
      const [first, middle, last] = [await engine(), await engine(), await engine()]
      await join(first, MemoryPieces.all(blob))
      const held = MemoryPieces.none(blob)
      const relay = await join(middle, held)
      const pieces = MemoryPieces.none(blob)
      const swarm = await join(last, pieces)
      relay.download()
      swarm.download()
      swarm.connect([addressOf(middle)])
      relay.connect([addressOf(first)])
      await fetched(swarm, pieces)
      expect(pieces.bytes.equals(blob.bytes)).toBe(true)
    })

    it('serves without asking until it is told to download', async () => {
      const [from, to] = [await engine(), await engine()]
      await join(from, MemoryPieces.all(blob))
      const pieces = MemoryPieces.none(blob)
      const swarm = await join(to, pieces)
      swarm.connect([addressOf(from)])
      await expect.poll(() => swarm.peersConnected).toBe(1)
      expect(pieces.writes).toEqual([])
      swarm.download()
      await fetched(swarm, pieces)
    })

    it('shares a piece that came from elsewhere, and does not ask for it', async () => {
      const [middle, last] = [await engine(), await engine()]
      const held = MemoryPieces.none(blob)
      const relay = await join(middle, held)
      const pieces = MemoryPieces.none(blob)
      const swarm = await join(last, pieces)
      swarm.download()
      swarm.connect([addressOf(middle)])
      await expect.poll(() => swarm.peersConnected).toBe(1)
      for (let index = 0; index < held.have.length; index++) {
        const start = index * blob.metainfo.pieceLength
        await held.writePiece(index, [blob.bytes.subarray(start, start + blob.metainfo.pieceLength)])
        relay.addPiece(index)
      }
      await fetched(swarm, pieces)
      expect(pieces.bytes.equals(blob.bytes)).toBe(true)
    })

    it('keeps nothing of a bad piece, says so, and gets it elsewhere', async () => {
      const [liar, honest, target] = [await engine(), await engine(), await engine()]
      const wrong = MemoryPieces.all(blob)
      wrong.bytes.fill(7, 0, 5)
      await join(liar, wrong)
      const pieces = MemoryPieces.none(blob)
      const swarm = await join(target, pieces)
      const mismatch = once(swarm, 'mismatch')
      swarm.download()
      swarm.connect([addressOf(liar)])
      expect(await mismatch).toEqual([0, liar.peerId])
      expect(pieces.have.has(0)).toBe(false)
      await join(honest, MemoryPieces.all(blob))
      swarm.connect([addressOf(honest)])
      await fetched(swarm, pieces)
      expect(pieces.bytes.equals(blob.bytes)).toBe(true)
    })

    it('finishes though a peer accepts and never says a word', async () => {
      const blackHole = createServer(() => {})
      blackHole.listen(0, '127.0.0.1')
      await once(blackHole, 'listening')
      const accepted = new Set<Socket>()
      blackHole.on('connection', (socket) => accepted.add(socket.on('error', () => {})))
      undo.push(() => {
        for (const socket of accepted) socket.destroy()
        blackHole.close()
      })
      const port = (blackHole.address() as { port: number }).port
      const [from, to] = [await engine(), await engine()]
      await join(from, MemoryPieces.all(blob))
      const pieces = MemoryPieces.none(blob)
      const swarm = await join(to, pieces)
      swarm.download()
      swarm.connect([{ peerId: 'ab'.repeat(20), host: '127.0.0.1', port, role: 'agent' }, addressOf(from)])
      await fetched(swarm, pieces)
    })

    it('goes nowhere where a machine alone goes, by address or by name, and finds those who are elsewhere', async () => {
      const led: string[] = []
      const victim = createServer((socket) => {
        led.push('here')
        socket.on('error', () => {}).destroy()
      })
      victim.listen(0, '127.0.0.1')
      await once(victim, 'listening')
      undo.push(() => victim.close())
      const { port } = victim.address() as { port: number }
      const from = await engine()
      const asked: string[] = []
      // What a cluster's node allows, with the one peer of this test beside.
      const cluster = mayDialFrom(['10.0.0.21'])
      const mayDial = (ip: string, at: number) => {
        asked.push(ip)
        return cluster(ip, at) || (ip === '127.0.0.1' && at === from.address.port)
      }
      const to = await engine({ mayDial })
      await join(from, MemoryPieces.all(blob))
      const pieces = MemoryPieces.none(blob)
      const swarm = await join(to, pieces)
      swarm.download()
      const lies = ['127.0.0.1', 'localhost', '::ffff:127.0.0.1', '999.1.1.1', 'no host', '']
      swarm.connect([
        ...lies.map((host, n) => ({ peerId: String(n).repeat(40), host, port, role: 'agent' as const })),
        addressOf(from),
      ])
      await fetched(swarm, pieces)
      // A lookup of the name has come to its end, too.
      await expect
        .poll(() => asked.filter((ip) => ip === '127.0.0.1' || ip === '::1').length)
        .toBeGreaterThan(2)
      expect(led).toEqual([])
    })

    it('hands connections of other protocols on, with every byte', async () => {
      const heard = Promise.withResolvers<string>()
      const made = await engine({
        onOtherProtocol: (socket) => {
          socket.once('data', (bytes) => {
            heard.resolve(bytes.toString())
            socket.destroy()
          })
        },
      })
      const socket = connect(made.address.port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\n\r\n'))
      socket.on('error', () => {})
      expect(await heard.promise).toBe('GET / HTTP/1.1\r\n\r\n')
    })

    it('closes connections of other protocols that nobody wants', async () => {
      const made = await engine()
      const socket = connect(made.address.port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\n\r\n'))
      socket.on('error', () => {}).resume()
      await once(socket, 'close')
    })

    it('leaves a swarm and stops, with peers connected', async () => {
      const [from, to] = [await engine(), await engine()]
      const seeding = await join(from, MemoryPieces.all(blob))
      const swarm = await join(to, MemoryPieces.none(blob))
      swarm.connect([addressOf(from)])
      await expect.poll(() => seeding.peersConnected).toBe(1)
      await seeding.leave()
      await expect.poll(() => swarm.peersConnected).toBe(0)
      // Joined again, it serves again.
      await join(from, MemoryPieces.all(blob))
      await from.stop()
      await to.stop()
    })

    it('says which address it could not listen on', async () => {
      const taken = await engine()
      const other = create({ ...taken.address, peerId: 'cd'.repeat(20), prng: createPrng(1) })
      await expect(other.start()).rejects.toThrow(PeerListenError)
    })
  })
}

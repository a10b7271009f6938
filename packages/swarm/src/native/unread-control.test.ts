/**
 * Goal: messages that peers leave unread are bounded for each address and for all, and who leaves little keeps its connection.
 * Method: real connections of peers on loopback, which say for themselves how much they have unsent.
 */
import { randomBytes } from 'node:crypto'
import { createPrng } from '@shoal/core'
import { infoHashOf } from '@shoal/storage'
import { MemoryPieces, testBlob } from '@shoal/testing/memory-pieces'
import { dialRaw, type RawPeer } from '@shoal/testing/raw-peer'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { NativeEngine } from './native-engine.ts'
import type { PeerConnectionInit, PeerConnectionParts } from './peer-connection.ts'

const MIB = 1024 * 1024
/** By the port that the peer dialled from. */
const unsent = vi.hoisted(() => new Map<number, (bytes: number) => void>())
vi.mock('./peer-connection.ts', async (original) => {
  const { PeerConnection } = await original<typeof import('./peer-connection.ts')>()
  return {
    PeerConnection: class extends PeerConnection {
      constructor(parts: PeerConnectionParts, init: PeerConnectionInit) {
        super(parts, init)
        unsent.set(init.socket.remotePort!, (bytes) => parts.unsentControl(bytes))
      }
    },
  }
})

const pieces = MemoryPieces.all(testBlob(300_000, 1))
const infoHash = infoHashOf(pieces.metainfo)
let stack: AsyncDisposableStack
let engine: NativeEngine
beforeEach(async () => {
  stack = new AsyncDisposableStack()
  const peerId = randomBytes(20).toString('hex')
  engine = new NativeEngine({ host: '127.0.0.1', port: 0, peerId, prng: createPrng(1) })
  await engine.start()
  stack.defer(() => engine.stop())
  await engine.join({ metainfo: pieces.metainfo, infoHash, pieces })
})
afterEach(() => stack.disposeAsync())

/** Peers of one address that leave so many bytes each. */
async function leaving(localAddress: string, count: number, bytes: number): Promise<RawPeer[]> {
  const peers: RawPeer[] = []
  for (let n = 0; n < count; n++) {
    const peer = await dialRaw(engine.address.port, {
      infoHash,
      peerId: randomBytes(20).toString('hex'),
      localAddress,
    })
    stack.defer(() => void peer.socket.destroy())
    unsent.get(peer.socket.localPort!)!(bytes)
    peers.push(peer)
  }
  return peers
}
const openIn = (peers: readonly RawPeer[]) => peers.filter(({ isClosed }) => !isClosed).length

it('8 MiB are left from one address: who leaves most there is closed', async () => {
  const elsewhere = await leaving('127.0.0.2', 1, MIB)
  const peers = await leaving('127.0.0.66', 10, 0.8 * MIB)
  expect(openIn(peers)).toBe(10)
  const greedy = await leaving('127.0.0.66', 1, MIB)
  await expect.poll(() => openIn(greedy)).toBe(0)
  expect([openIn(peers), openIn(elsewhere)]).toEqual([10, 1])
})

it('32 MiB are left in all: the address that leaves most gives way', async () => {
  const crowds: RawPeer[][] = []
  for (const n of [61, 62, 63]) crowds.push(await leaving(`127.0.0.${n}`, 8, MIB))
  crowds.push(await leaving('127.0.0.64', 7, MIB))
  const few = await leaving('127.0.0.2', 1, MIB)
  expect(crowds.map(openIn)).toEqual([8, 8, 8, 7])
  const late = await leaving('127.0.0.3', 1, 0.1 * MIB)
  await expect.poll(() => crowds.map(openIn)).toEqual([7, 8, 8, 7])
  expect([openIn(few), openIn(late)]).toEqual([1, 1])
})

/**
 * Goal: a peer that is being sent to and takes nothing for three seconds gives its pages up when others wait for them.
 * Method: real connections of peers on loopback, which say for themselves for how long they have taken nothing; one page for
 * all of them.
 */
import { randomBytes } from 'node:crypto'
import { createPrng } from '@shoal/core'
import { infoHashOf } from '@shoal/storage'
import { MemoryPieces, testBlob } from '@shoal/testing/memory-pieces'
import { dialRaw } from '@shoal/testing/raw-peer'
import { expect, it, vi } from 'vitest'
import { NativeEngine } from './native-engine.ts'
import { PAGE_BYTES } from './page-pool.ts'
import type { PeerConnectionInit, PeerConnectionParts } from './peer-connection.ts'

interface Seen {
  readonly parts: PeerConnectionParts
  stalledForMs: number
}
/** By the port that the peer dialled from. */
const seen = vi.hoisted(() => new Map<number, Seen>())
vi.mock('./peer-connection.ts', async (original) => {
  const { PeerConnection } = await original<typeof import('./peer-connection.ts')>()
  return {
    PeerConnection: class extends PeerConnection {
      readonly #seen: Seen
      constructor(parts: PeerConnectionParts, init: PeerConnectionInit) {
        super(parts, init)
        this.#seen = { parts, stalledForMs: 0 }
        seen.set(init.socket.remotePort!, this.#seen)
      }
      override stalledForMs(): number {
        return this.#seen.stalledForMs
      }
    },
  }
})

it('who has stood still longest, for three seconds, is closed while somebody waits for a page', async () => {
  await using stack = new AsyncDisposableStack()
  const peerId = () => randomBytes(20).toString('hex')
  const limits = { bufferBytes: 4 * PAGE_BYTES }
  const engine = new NativeEngine({
    host: '127.0.0.1',
    port: 0,
    peerId: peerId(),
    prng: createPrng(1),
    limits,
  })
  await engine.start()
  stack.defer(() => engine.stop())
  const pieces = MemoryPieces.all(testBlob(4 * PAGE_BYTES, 1))
  const infoHash = infoHashOf(pieces.metainfo)
  await engine.join({ metainfo: pieces.metainfo, infoHash, pieces })
  async function dial() {
    const peer = await dialRaw(engine.address.port, { infoHash, peerId: peerId() })
    stack.defer(() => void peer.socket.destroy())
    return { peer, seen: seen.get(peer.socket.localPort!)! }
  }
  const [still, stiller, waiting] = [await dial(), await dial(), await dial()]
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  stack.defer(() => void vi.useRealTimers())
  // The one page is taken, and another is waited for.
  await still.seen.parts.readPage(0)
  void waiting.seen.parts.readPage(1)
  const look = async () => {
    vi.advanceTimersByTime(500)
    for (let n = 0; n < 20; n++) await new Promise<void>((resolve) => setImmediate(resolve))
  }
  const closed = () => [still, stiller, waiting].map(({ peer }) => peer.isClosed)
  await look()
  still.seen.stalledForMs = 2_999
  stiller.seen.stalledForMs = 2_999
  await look()
  expect(closed()).toEqual([false, false, false])
  still.seen.stalledForMs = 3_000
  stiller.seen.stalledForMs = 3_001
  await look()
  vi.useRealTimers()
  await expect.poll(closed).toEqual([false, true, false])
})

import { randomBytes } from 'node:crypto'
import { createPrng } from '@shoal/core'
import { infoHashOf } from '@shoal/storage'
import { engineContract } from '@shoal/testing/engine-contract'
import { MemoryPieces, testBlob } from '@shoal/testing/memory-pieces'
import { dialRaw, type RawPeer } from '@shoal/testing/raw-peer'
import { expect, it } from 'vitest'
import { WebTorrentEngine } from './webtorrent-engine.ts'

engineContract('webtorrent', (init) => new WebTorrentEngine(init))

it('webtorrent bounds the connections that it accepts, of one address and of all: who came first goes first', async () => {
  await using stack = new AsyncDisposableStack()
  const engine = new WebTorrentEngine({
    host: '127.0.0.1',
    port: 0,
    peerId: randomBytes(20).toString('hex'),
    prng: createPrng(1),
    limits: { connectionsMax: 4 },
  })
  await engine.start()
  stack.defer(() => engine.stop())
  const pieces = MemoryPieces.all(testBlob(300_000, 1))
  const infoHash = infoHashOf(pieces.metainfo)
  await engine.join({ metainfo: pieces.metainfo, infoHash, pieces })
  async function dial(localAddress: string): Promise<RawPeer> {
    const peerId = randomBytes(20).toString('hex')
    const peer = await dialRaw(engine.address.port, { infoHash, peerId, localAddress })
    stack.defer(() => void peer.socket.destroy())
    return peer
  }
  const crowd: RawPeer[] = []
  for (let n = 0; n < 3; n++) crowd.push(await dial('127.0.0.66'))
  const closed = () => crowd.map(({ isClosed }) => isClosed)
  expect(closed()).toEqual([false, false, false])
  // Three quarters are one address's.
  crowd.push(await dial('127.0.0.66'))
  await expect.poll(closed).toEqual([true, false, false, false])
  const others = [await dial('127.0.0.1'), await dial('127.0.0.2')]
  await expect.poll(closed).toEqual([true, true, false, false])
  expect(others.map(({ isClosed }) => isClosed)).toEqual([false, false])
})

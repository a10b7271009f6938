/**
 * Goal: BitTorrent clients of others download from Shoal's engine and upload to it. Method: each with the engine alone, one
 * torrent between the two, a tracker that introduces them; what arrives is compared byte for byte. The blobs have some pieces
 * and a short last one, and less than a piece.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createPrng, encodeTorrent, type PeerAddress, pieceBytes, pieceCount, torrentName } from '@shoal/core'
import { FilePieceStore, infoHashOf, readBytes, type StoredBlob } from '@shoal/storage'
import { createEngine } from '@shoal/swarm'
import { expect, it } from 'vitest'
import { type TestBlob, testBlob } from '../../packages/swarm/src/testing/memory-pieces.ts'
import type { ComponentName } from '../support/components.ts'
import { describeWith } from '../support/describe-with.ts'
import { aria2 } from '../support/standard-clients/aria2.ts'
import { libtorrent } from '../support/standard-clients/libtorrent.ts'
import { startMiniTracker } from '../support/standard-clients/mini-tracker.ts'
import type { RunningClient, StandardClient } from '../support/standard-clients/standard-client.ts'
import { transmission } from '../support/standard-clients/transmission.ts'
import { webtorrent } from '../support/standard-clients/webtorrent.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const BLOBS = [
  ['of 23 pieces, the last one short', testBlob(5_900_000, 11)],
  ['shorter than a piece', testBlob(100_000, 12)],
] as const

const CLIENTS: readonly [name: string, components: readonly ComponentName[], client: StandardClient][] = [
  ['webtorrent', [], webtorrent],
  ['libtorrent', ['libtorrent'], libtorrent],
  ['aria2', ['aria2'], aria2],
  ['transmission', ['transmission'], transmission],
]

/** The engine with a store of its own, the torrent's file for the client, and a tracker. */
async function meeting(blob: TestBlob) {
  const folder = await temporaryFolder('interop')
  const tracker = await startMiniTracker()
  const store = new FilePieceStore({ folder: join(folder.path, 'store') })
  await store.start()
  const engine = await createEngine('native', {
    host: '127.0.0.1',
    port: 0,
    peerId: randomBytes(20).toString('hex'),
    prng: createPrng(1),
  })
  await engine.start()
  const torrentPath = join(folder.path, 'blob.torrent')
  await writeFile(torrentPath, encodeTorrent(blob.metainfo, tracker.announceUrl))
  const files = join(folder.path, 'files')
  await mkdir(files)
  const stored = await store.open(blob.metainfo)
  const join_ = () =>
    engine.join({ metainfo: blob.metainfo, infoHash: infoHashOf(blob.metainfo), pieces: stored })
  return {
    engine,
    tracker,
    stored,
    join: join_,
    file: join(files, torrentName(blob.metainfo.digest)),
    client: { torrentPath, folder: files, home: folder.path },
    async [Symbol.asyncDispose]() {
      await engine.stop()
      await store.stop()
      await tracker[Symbol.asyncDispose]()
      await folder.remove()
    },
  }
}

async function fill(stored: StoredBlob, { bytes, metainfo }: TestBlob): Promise<void> {
  for (let index = 0; index < pieceCount(metainfo); index++) {
    const start = index * metainfo.pieceLength
    await stored.writePiece(index, [bytes.subarray(start, start + pieceBytes(metainfo, index))])
  }
}

/** Its id is not known before it tells it. */
const addressOf = ({ port }: RunningClient): PeerAddress => ({
  peerId: '00'.repeat(20),
  host: '127.0.0.1',
  port,
  role: 'agent',
})

for (const [name, components, client] of CLIENTS) {
  describeWith(components, `${name} and the native engine`, () => {
    it.each(BLOBS)(`${name} downloads a blob %s`, async (_what, blob) => {
      await using met = await meeting(blob)
      await fill(met.stored, blob)
      const swarm = await met.join()
      // transmission takes no loopback address from a tracker: it is dialled instead.
      if (name !== 'transmission') met.tracker.peers = [met.engine.address.port]
      await using running = await client(met.client)
      if (name === 'transmission') swarm.connect([addressOf(running)])
      await running.whole
      expect(blob.bytes.equals(await readFile(met.file))).toBe(true)
    })

    it.each(BLOBS)(`${name} uploads a blob %s`, async (_what, blob) => {
      await using met = await meeting(blob)
      await writeFile(met.file, blob.bytes)
      await using running = await client(met.client)
      const swarm = await met.join()
      const isWhole = new Promise<void>((resolve) =>
        swarm.on('piece', () => {
          if (met.stored.have.isFull) resolve()
        }),
      )
      swarm.download()
      swarm.connect([addressOf(running)])
      await isWhole
      expect(blob.bytes.equals(await readBytes(met.stored, 0, blob.bytes.length))).toBe(true)
    })
  })
}

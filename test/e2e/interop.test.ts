/**
 * Goal: a layer's torrent is an ordinary torrent. Each of four clients, none of which knows of Shoal, fetches a blob from
 * Shoal's engine and gives one to it.
 * Method: engine and client are alone in a swarm of two, so whatever arrives came from the other; what arrived is a file on
 * disk, and its SHA-256 is the blob's. One blob of 23 pieces whose last one is short and no whole number of blocks, one that
 * is shorter than a piece.
 */
import { createCipheriv, createHash, hash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Metainfo, parseDigest, pieceLengthFor } from '@shoal/core'
import type { EngineName } from '@shoal/swarm'
import { describe, expect, test, vi } from 'vitest'
import { aria2Client } from '../support/bittorrent/aria2-client.ts'
import { type BitTorrentClient, blobName } from '../support/bittorrent/client.ts'
import { libtorrentClient } from '../support/bittorrent/libtorrent-client.ts'
import { startShoalNode } from '../support/bittorrent/shoal-node.ts'
import { transmissionClient } from '../support/bittorrent/transmission-client.ts'
import { webtorrentClient } from '../support/bittorrent/webtorrent-client.ts'
import { describeWith } from '../support/describe-with.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const clients: readonly BitTorrentClient[] = [
  webtorrentClient,
  libtorrentClient,
  aria2Client,
  transmissionClient,
]

interface Blob {
  readonly title: string
  readonly bytes: Buffer
  readonly metainfo: Metainfo
}

const large = blobOf('23 pieces, the last one short', 6_000_001)
const small = blobOf('less than a piece', 100_000)

const cases: readonly (readonly [EngineName, Blob])[] = [
  ['native', large],
  ['native', small],
  ['webtorrent', large],
]

// Each waits far more than it works: all at once, the suite takes as long as its slowest.
vi.setConfig({ maxConcurrency: 2 * cases.length * clients.length })

describe.concurrent('in a swarm of two', () => {
  for (const client of clients) {
    describeWith(client.components, `${client.name} and Shoal`, () => {
      for (const [engine, blob] of cases) {
        test(`${client.name} downloads from ${engine}: ${blob.title}`, async () => {
          await using shoal = await startShoalNode(engine, blob.metainfo, blob.bytes)
          await using folder = await temporaryFolder(client.name)
          const task = { metainfo: blob.metainfo, folder: folder.path }
          await using download = await client.download(task, shoal.address)
          if (!client.dialsLoopback) shoal.dial(download.address)
          await download.finished(client.transferTimeoutMs)
          expect(sha256(await readFile(join(folder.path, blobName(task))))).toBe(blob.metainfo.digest)
          expect(shoal.traffic.sent).toBeGreaterThanOrEqual(blob.bytes.length)
        })

        test(`${client.name} uploads to ${engine}: ${blob.title}`, async () => {
          await using folder = await temporaryFolder(client.name)
          const task = { metainfo: blob.metainfo, folder: folder.path }
          await writeFile(join(folder.path, blobName(task)), blob.bytes)
          await using seeding = await client.seed(task)
          await using shoal = await startShoalNode(engine, blob.metainfo)
          shoal.dial(seeding.address)
          await shoal.fetched(client.transferTimeoutMs)
          expect(await shoal.digest()).toBe(blob.metainfo.digest)
          expect(shoal.traffic.mismatches).toEqual([])
        })
      }
    })
  }
})

/** The same bytes each time, that nothing compresses; the metainfo is made here, from the specification. */
function blobOf(title: string, length: number): Blob {
  const keystream = createCipheriv('aes-128-ctr', Buffer.alloc(16, length % 256), Buffer.alloc(16))
  const bytes = keystream.update(Buffer.alloc(length))
  const pieceLength = pieceLengthFor(length)
  const pieces = Array.from({ length: Math.ceil(length / pieceLength) }, (_, index) =>
    bytes.subarray(index * pieceLength, (index + 1) * pieceLength),
  )
  const metainfo: Metainfo = {
    digest: parseDigest(sha256(bytes)),
    length,
    pieceLength,
    piecesSha1: Buffer.concat(pieces.map((piece) => hash('sha1', piece, 'buffer'))),
    piecesSha256: Buffer.concat(pieces.map((piece) => hash('sha256', piece, 'buffer'))),
  }
  return { title, bytes, metainfo }
}

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

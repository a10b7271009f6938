/**
 * The blob that is moved about: random bytes on disk, in a folder laid out as a FilePieceStore's that has it whole.
 * Hashed with node:crypto here and not by Shoal's push, so that a benchmark of the swarm needs no registry.
 */
import { createHash, hash, randomFillSync } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  type Digest,
  digestHex,
  encodeInfo,
  encodeTorrent,
  type Metainfo,
  pieceBytes,
  pieceCount,
  pieceLengthFor,
  torrentName,
  tryParseDigest,
} from '@shoal/core'

export interface BenchBlob {
  readonly metainfo: Metainfo
  /** A FilePieceStore's folder. */
  readonly storeFolder: string
  readonly path: string
  /** The bencoded info dictionary. */
  readonly infoPath: string
  readonly torrentPath: string
}

export async function makeBenchBlob(folder: string, length: number): Promise<BenchBlob> {
  const draft = join(folder, 'draft')
  const metainfo = await writeRandomBytes(draft, length)
  const hex = digestHex(metainfo.digest)
  const name = torrentName(metainfo.digest)
  const storeFolder = join(folder, 'sender')
  const path = join(storeFolder, 'blobs', 'sha256', hex.slice(0, 2), hex)
  const infoPath = join(storeFolder, 'metainfo', name)
  const torrentPath = join(folder, `${name}.torrent`)
  for (const file of [path, infoPath]) await mkdir(dirname(file), { recursive: true })
  await rename(draft, path)
  await writeFile(infoPath, encodeInfo(metainfo))
  await writeFile(torrentPath, encodeTorrent(metainfo))
  return { metainfo, storeFolder, path, infoPath, torrentPath }
}

/** @throws Error when the file is not the blob */
export async function expectBlob(metainfo: Metainfo, path: string): Promise<void> {
  const whole = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) whole.update(chunk)
  const found = `sha256:${whole.digest('hex')}`
  if (found !== metainfo.digest) throw new Error(`${path} has the digest ${found}, not ${metainfo.digest}`)
}

const TOUCH_CHUNK_BYTES = 4 * 1024 * 1024

/**
 * Writes a file as long as the blob and removes it. On a virtual machine the first use of memory costs several times as much
 * as writing to it, and which run pays is chance: this way every run finds memory that was used a moment ago.
 */
export async function touchMemory(folder: string, bytes: number): Promise<void> {
  const path = join(folder, 'touched')
  const chunk = Buffer.alloc(TOUCH_CHUNK_BYTES)
  await using file = await open(path, 'w')
  for (let written = 0; written < bytes; written += chunk.length) await file.write(chunk)
  await rm(path)
}

/** Leaves the page cache as it is and the disk free for the next run. */
export async function removeFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true })
}

async function writeRandomBytes(path: string, length: number): Promise<Metainfo> {
  const pieceLength = pieceLengthFor(length)
  const whole = createHash('sha256')
  const sha1: Uint8Array[] = []
  const sha256: Uint8Array[] = []
  const buffer = Buffer.allocUnsafe(pieceLength)
  await using file = await open(path, 'w')
  for (let index = 0; index < pieceCount({ length, pieceLength }); index++) {
    const piece = buffer.subarray(0, pieceBytes({ length, pieceLength }, index))
    randomFillSync(piece)
    whole.update(piece)
    sha1.push(hash('sha1', piece, 'buffer'))
    sha256.push(hash('sha256', piece, 'buffer'))
    await file.writeFile(piece)
  }
  // Whatever runs first must not wait for the disk on the blob's account.
  await file.sync()
  const digest = tryParseDigest(`sha256:${whole.digest('hex')}`) as Digest
  return { digest, length, pieceLength, piecesSha1: Buffer.concat(sha1), piecesSha256: Buffer.concat(sha256) }
}

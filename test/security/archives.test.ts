/**
 * Goal: `shoal push` does no more for an archive than its bytes are worth: what unpacks to a hundred times as much, or is no
 * tar, is refused on the way, and the error says what to do.
 * Method: archives of zeros, opened as the command opens them.
 */
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { pack } from 'tar-stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ArchiveFormatError, ArchiveLimitError } from '../../packages/images/src/archive/errors.ts'
import { openArchive } from '../../packages/images/src/archive/open-archive.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const MIB = 1024 * 1024
const NEVER = new AbortController().signal
let folder: Awaited<ReturnType<typeof temporaryFolder>>
beforeAll(async () => {
  folder = await temporaryFolder('archives')
})
afterAll(() => folder?.remove())

async function tarOf(files: Readonly<Record<string, Buffer>>): Promise<Buffer> {
  const tar = pack()
  const read = buffer(tar)
  for (const [name, bytes] of Object.entries(files)) tar.entry({ name }, bytes)
  tar.finalize()
  return read
}

async function opening(bytes: Buffer): Promise<void> {
  const path = join(folder.path, 'image.tar')
  await writeFile(path, bytes)
  await using archive = await openArchive(path, NEVER)
  for (const image of archive.images) await image.locate()
}

describe.each([
  ['gzip', (bytes: Buffer) => gzipSync(bytes)],
  ['zstd', (bytes: Buffer) => zstdCompressSync(bytes)],
])('an archive in %s', (_name, compress) => {
  it('that unpacks to very much is refused on the way', async () => {
    const packed = compress(await tarOf({ zeros: Buffer.alloc(150 * MIB) }))
    expect(packed.length).toBeLessThan(MIB)
    const refused = await opening(packed).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(ArchiveLimitError)
    expect((refused as Error).message).toContain('unpack it yourself')
  })

  it('that is no tar is refused from its first block on', async () => {
    // Longer than may be unpacked: who unpacks it first says so.
    const packed = compress(Buffer.alloc(150 * MIB, 'no tar'))
    const refused = await opening(packed).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(ArchiveFormatError)
    expect((refused as Error).message).toContain('not a tar')
  })
})

it('a layer that unpacks to very much is refused on the way', async () => {
  const tar = Buffer.alloc(150 * MIB)
  const diffId = `sha256:${createHash('sha256').update(tar).digest('hex')}`
  const config = Buffer.from(JSON.stringify({ rootfs: { type: 'layers', diff_ids: [diffId] } }))
  const files = {
    'config.json': config,
    'layer.tar': zstdCompressSync(tar),
    'manifest.json': Buffer.from(JSON.stringify([{ Config: 'config.json', Layers: ['layer.tar'] }])),
  }
  await expect(opening(await tarOf(files))).rejects.toThrow(ArchiveLimitError)
})

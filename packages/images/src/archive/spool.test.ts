/**
 * Goal: an archive that is unpacked leaves others a tenth of the free disk, whatever it claims to hold. Method: a disk that
 * says how much is free, in place of the one that is there.
 */
import { mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { tarOf } from '../testing/image-fixtures.ts'
import { ArchiveLimitError } from './errors.ts'
import { spool } from './spool.ts'

const BLOCK_BYTES = 4_096
const free = vi.hoisted(() => ({ blocks: 0 }))
vi.mock('node:fs/promises', async (original) => ({
  ...(await original<typeof import('node:fs/promises')>()),
  statfs: async () => ({ bavail: free.blocks, bsize: BLOCK_BYTES }),
}))

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-spool-'))
  vi.stubEnv('TMPDIR', folder)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(folder, { recursive: true })
})

/** @returns the bytes that were unpacked, with so many free */
async function unpacked(tar: Buffer, freeBlocks: number): Promise<number> {
  free.blocks = freeBlocks
  const path = join(folder, 'image.tar.gz')
  await writeFile(path, gzipSync(tar))
  await using file = await open(path)
  await using spooled = await spool({ path, file, signal: new AbortController().signal }, 'gzip')
  return (await spooled.stat()).size
}

test('nine tenths of what is free may be taken, and not a byte more', async () => {
  const tar = await tarOf(new Map([['layer', Buffer.alloc(400_000, 'no zeros')]]))
  const blocks = Math.ceil(tar.length / BLOCK_BYTES / 0.9)
  expect(await unpacked(tar, blocks)).toBe(tar.length)
  const refused = await unpacked(tar, blocks - 2).catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(ArchiveLimitError)
  expect((refused as Error).message).toContain('set TMPDIR to a larger disk')
  expect(await readdir(folder)).toEqual(['image.tar.gz'])
})

/**
 * Goal: however many blobs peers and clients want at once, few windows are read from the origin at a time. Method: an origin
 * that gives nothing, and a count of what it is asked for.
 */
import { hash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Digest } from '@shoal/core'
import { FilePieceStore, infoHashOf } from '@shoal/storage'
import { expect, it } from 'vitest'
import { Seeding, type SeedingParts } from './seeding.ts'
import { silent } from './testing/image-origin.ts'
import { sha256 } from './testing/images.ts'

it('reads four windows at a time, the others in their turn', async () => {
  await using stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'shoal-seeding-'))
  stack.defer(() => rm(folder, { recursive: true }))
  const copies = new FilePieceStore({ folder })
  await copies.start()
  stack.defer(() => copies.stop())

  const contents = new Map<Digest, Buffer>()
  for (let n = 0; n < 6; n++) contents.set(sha256(`blob ${n}`), Buffer.from(`blob ${n}`))
  const asked: (() => void)[] = []
  const images = {
    async metainfo(digest: Digest) {
      const bytes = contents.get(digest)!
      const [piecesSha1, piecesSha256] = [hash('sha1', bytes, 'buffer'), hash('sha256', bytes, 'buffer')]
      const metainfo = { digest, length: bytes.length, pieceLength: 65_536, piecesSha1, piecesSha256 }
      return { metainfo, infoHash: infoHashOf(metainfo) }
    },
    contentLocation: async () => ({ key: 'content' }),
    async openContent(digest: Digest) {
      await new Promise<void>((resolve) => asked.push(resolve))
      const bytes = contents.get(digest)!
      return { length: bytes.length, body: [bytes] }
    },
  }
  const parts = { images, copies, objects: { localFile: () => undefined }, log: silent, nowMs: () => 0 }
  const seeding = new Seeding(parts as unknown as SeedingParts, { dataMaxBytes: 1_000_000 })
  const read = async (digest: Digest) => {
    const chunks: Buffer[] = []
    const range = { start: 0, end: contents.get(digest)!.length }
    for await (const chunk of seeding.read(digest, range, AbortSignal.timeout(20_000)))
      chunks.push(Buffer.from(chunk))
    return Buffer.concat(chunks).toString()
  }
  const reading = [...contents.keys()].map(read)
  await expect.poll(() => asked.length).toBe(4)
  await new Promise<void>((resolve) => setImmediate(resolve))
  expect(asked).toHaveLength(4)
  asked[0]!()
  await expect.poll(() => asked.length).toBe(5)
  asked[1]!()
  await expect.poll(() => asked.length).toBe(6)
  for (const go of asked) go()
  expect(await Promise.all(reading)).toEqual([...contents.values()].map(String))
})

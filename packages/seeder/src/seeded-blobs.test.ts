/**
 * Goal: however many blobs peers and clients want at once, few windows are read from the origin at a time; and where the disk is
 * full, copies that nobody needs give way. Method: an origin that gives what it is told to, a count of what it is asked for,
 * and a disk that is full as long as a test says.
 */
import { hash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Digest, Metainfo } from '@shoal/core'
import { FilePieceStore, infoHashOf, type StoredBlob } from '@shoal/storage'
import { sha256 } from '@shoal/testing/content'
import { expect, it } from 'vitest'
import { SeededBlobs, type SeededBlobsParts } from './seeded-blobs.ts'
import { silent } from './testing/image-origin.ts'

it('lets idle copies give way where the disk is full, and says so once', async () => {
  await using stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'shoal-seeding-'))
  stack.defer(() => rm(folder, { recursive: true }))
  let holdsBlobsMax = 1
  class FullStore extends FilePieceStore {
    override async open(metainfo: Metainfo): Promise<StoredBlob> {
      const copy = await super.open(metainfo)
      return new Proxy(copy, {
        get: (target, name) => {
          if (name === 'writePiece' && this.blobs().length > holdsBlobsMax)
            return () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' }))
          const value = Reflect.get(target, name)
          return typeof value === 'function' ? value.bind(target) : value
        },
      })
    }
  }
  const copies = new FullStore({ folder })
  await copies.start()
  stack.defer(() => copies.stop())
  const contents = new Map(['one', 'two', 'three'].map((text) => [sha256(text), Buffer.from(text)]))
  let nowMs = 0
  let failures = 0
  const lines: string[] = []
  const log = { ...silent, warn: ({ event }: { event: string }) => lines.push(event), info: () => {} }
  const seeded = new SeededBlobs(
    {
      images: imagesOf(contents),
      copies,
      objects: { localFile: () => undefined },
      log,
      nowMs: () => nowMs,
      onCopyFailed: () => failures++,
    } as unknown as SeededBlobsParts,
    { dataMaxBytes: 1_000_000 },
  )
  const [one, two, three] = [...contents.keys()] as [Digest, Digest, Digest]
  expect(await readAll(seeded, contents, one)).toBe('one')
  expect(copies.get(one)?.have.isFull).toBe(true)
  // There is no room for a second: the first, which nobody reads, goes.
  expect(await readAll(seeded, contents, two)).toBe('two')
  expect(copies.get(one)).toBeUndefined()
  expect(copies.get(two)?.have.isFull).toBe(true)
  expect(seeded.copyProblem).toContain('ENOSPC')
  // Nothing can give way any more.
  holdsBlobsMax = 0
  expect(await readAll(seeded, contents, three)).toBe('three')
  expect(failures).toBeGreaterThan(1)
  expect(lines).toEqual(['copy-failed'])
  nowMs += 120_000
  expect(seeded.copyProblem).toBeUndefined()
})

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
  const images = imagesOf(contents, () => new Promise<void>((resolve) => asked.push(resolve)))
  const parts = { images, copies, objects: { localFile: () => undefined }, log: silent, nowMs: () => 0 }
  const seeded = new SeededBlobs(parts as unknown as SeededBlobsParts, { dataMaxBytes: 1_000_000 })
  const reading = [...contents.keys()].map((digest) => readAll(seeded, contents, digest))
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

/** @param opened what opening a blob's content waits for */
function imagesOf(contents: ReadonlyMap<Digest, Buffer>, opened: () => Promise<void> = async () => {}) {
  return {
    async metainfo(digest: Digest) {
      const bytes = contents.get(digest)!
      const [piecesSha1, piecesSha256] = [hash('sha1', bytes, 'buffer'), hash('sha256', bytes, 'buffer')]
      const metainfo = { digest, length: bytes.length, pieceLength: 65_536, piecesSha1, piecesSha256 }
      return { metainfo, infoHash: infoHashOf(metainfo) }
    },
    contentLocation: async () => ({ key: 'content' }),
    async openContent(digest: Digest) {
      await opened()
      const bytes = contents.get(digest)!
      return { length: bytes.length, body: [bytes] }
    },
  }
}

async function readAll(seeded: SeededBlobs, contents: ReadonlyMap<Digest, Buffer>, digest: Digest) {
  const chunks: Buffer[] = []
  const range = { start: 0, end: contents.get(digest)!.length }
  for await (const chunk of seeded.read(digest, range, AbortSignal.timeout(20_000)))
    chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks).toString()
}

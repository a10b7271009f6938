/**
 * Goal: whatever happens at once or breaks in between, a blob is there with everything that belongs to it, or not at all.
 * Method: an object store in a Map whose every call can fail; time in the test's hands.
 */
import { infoHashOf } from '@shoal/storage'
import { patternBytes, sha256 } from '@shoal/testing/content'
import { MapObjectStore } from '@shoal/testing/map-object-store'
import { pino } from 'pino'
import { beforeEach, describe, expect, test } from 'vitest'
import { ImageStore, type ImageStoreParts } from './image-store.ts'

const log = pino({ level: 'silent' })
const content = patternBytes(600_000)
const digest = sha256(content)
const signal = new AbortController().signal

let objects: MapObjectStore
let nowMs: number
let ids: number
beforeEach(() => {
  objects = new MapObjectStore()
  nowMs = 1_000_000
  objects.nowMs = () => nowMs
  ids = 0
})
const create = (parts: Partial<ImageStoreParts> = {}) =>
  new ImageStore({ objects, log, nowMs: () => nowMs, newId: () => `upload-${ids++}`, ...parts })

async function* body(bytes: Uint8Array = content) {
  for (let offset = 0; offset < bytes.length; offset += 50_000) yield bytes.subarray(offset, offset + 50_000)
}

async function push(images: ImageStore, repository = 'app', bytes = content) {
  const { id } = await images.startUpload(repository, {})
  await images.appendUpload(repository, id, body(bytes))
  return images.finishUpload(repository, id, sha256(bytes))
}

/** What a push of the content in one piece comes to. */
async function atOnce() {
  const images = create({ objects: new MapObjectStore() })
  await push(images)
  return (await images.metainfo(digest))!
}

async function readAll(chunks: AsyncIterable<Uint8Array>) {
  const parts: Uint8Array[] = []
  for await (const part of chunks) parts.push(part)
  return new Uint8Array(Buffer.concat(parts))
}

describe('a pushed blob', () => {
  test('lies where the layout says, its content written once', async () => {
    const stored: unknown[] = []
    const images = create()
    images.on('blob-stored', (stat, blob) => stored.push([stat, blob.infoHash]))
    await push(images)
    const { metainfo, infoHash } = (await images.metainfo(digest))!
    const hex = digest.slice(7)
    expect(objects.keys()).toEqual(
      [
        `blobs/sha256/${hex.slice(0, 2)}/${hex}`,
        'content/upload-0',
        `repos/app/_blobs/sha256/${hex}`,
        `swarms/${infoHash}`,
        `torrents/sha256-${hex}`,
      ].sort(),
    )
    expect(objects.calls.complete).toBe(1)
    expect(infoHash).toBe(infoHashOf(metainfo))
    expect(metainfo.length).toBe(content.length)
    expect(await images.digestOfInfoHash(infoHash)).toBe(digest)
    expect(await images.contentLocation(digest)).toEqual({ key: 'content/upload-0', length: content.length })
    expect(stored).toEqual([[{ digest, length: content.length }, infoHash]])
  })

  test('is there after a restart, and its range is read', async () => {
    await push(create())
    const restarted = create()
    expect(await restarted.blobStat('app', digest, 'pull')).toEqual({ digest, length: content.length })
    expect(await readAll(restarted.readBlob('app', digest, { start: 100, end: 70_000 }, signal))).toEqual(
      content.subarray(100, 70_000),
    )
    expect((await restarted.metainfo(digest))?.metainfo.digest).toBe(digest)
  })

  test('unknown things are unknown, not errors', async () => {
    const images = create()
    expect(await images.metainfo(digest)).toBeUndefined()
    expect(await images.digestOfInfoHash('0'.repeat(40))).toBeUndefined()
    expect(await images.digestOfInfoHash('../blobs')).toBeUndefined()
    expect(await images.contentLocation(digest)).toBeUndefined()
    expect(await images.mountBlob('a', digest, 'b')).toBeUndefined()
    expect(await images.tags('app', { tagsMax: 10 })).toBeUndefined()
  })
})

describe('the same blob pushed twice', () => {
  test('at the same moment: the second’s bytes go, the second repository may read it', async () => {
    const images = create()
    await push(images, 'first')
    await push(images, 'second')
    expect(objects.keys('content/')).toEqual(['content/upload-0'])
    expect(objects.openWriters).toBe(0)
    expect(await images.blobStat('second', digest, 'pull')).toBeDefined()
  })

  test('at once, by two replicas: both succeed, one content stays, and it is the one that the record names', async () => {
    const [a, b] = [create(), create()]
    const results = await Promise.all([push(a, 'one'), push(b, 'two'), push(a, 'three'), push(b, 'four')])
    expect(results).toEqual(Array(4).fill({ digest, length: content.length }))
    const left = objects.keys('content/')
    expect(left).toHaveLength(1)
    for (const images of [a, b]) {
      expect((await images.contentLocation(digest))?.key).toBe(left[0])
      expect(
        await readAll(images.readBlob('four', digest, { start: 0, end: content.length }, signal)),
      ).toEqual(content)
    }
    expect(objects.openWriters).toBe(0)
  })
})

describe('when the store fails', () => {
  // The good push makes so many calls that matter; each of them fails once.
  const steps = ['createWriter', 'write', 'complete', 'put torrents', 'put swarms', 'put blobs', 'put repos']

  test.each(steps)(
    'at %s: the push fails, no torn blob can be seen, and the next push succeeds',
    async (step) => {
      const images = create()
      const [doing, prefix = ''] = step.split(' ')
      objects.fault = (called, key) => {
        if (called === doing && key.startsWith(prefix)) throw new Error('down')
      }
      await expect(push(images)).rejects.toThrow('down')
      objects.fault = () => {}
      expect(objects.openWriters).toBe(0)
      expect(await create().blobStat('app', digest, 'pull')).toBeUndefined()
      await push(images)
      const images2 = create()
      expect(
        await readAll(images2.readBlob('app', digest, { start: 0, end: content.length }, signal)),
      ).toEqual(content)
    },
  )

  test('the record was written although the answer was lost: the push succeeds with its content in place', async () => {
    const images = create()
    const put = objects.put.bind(objects)
    objects.put = async (key, bytes, precondition) => {
      const outcome = await put(key, bytes, precondition)
      if (key.startsWith('blobs/')) throw new Error('connection reset')
      return outcome
    }
    await push(images)
    expect(await readAll(images.readBlob('app', digest, { start: 0, end: content.length }, signal))).toEqual(
      content,
    )
  })

  test('a body that breaks keeps what came before it', async () => {
    const images = create()
    const { id } = await images.startUpload('app', {})
    async function* broken() {
      yield content.subarray(0, 1_000)
      throw new Error('cut')
    }
    await expect(images.appendUpload('app', id, broken())).rejects.toThrow('cut')
    expect(await images.uploadStatus('app', id)).toEqual({ id, received: 1_000 })
    await images.appendUpload('app', id, body(content.subarray(1_000)), { startAt: 1_000 })
    expect(await images.finishUpload('app', id, digest)).toEqual({ digest, length: content.length })
  })

  test('a length that was announced wrongly is put right by reading again', async () => {
    const images = create()
    const { id } = await images.startUpload('app', { bytesExpected: 2 ** 30 })
    await images.appendUpload('app', id, body())
    await images.finishUpload('app', id, digest)
    expect((await images.metainfo(digest))?.metainfo.length).toBe(content.length)
  })
})

describe('uploads', () => {
  test('are let go of when idle, and given up much later, one moment too late and not before', async () => {
    const images = new ImageStore(
      { objects, log, nowMs: () => nowMs, newId: () => 'id' },
      { uploadIdleMs: 1_000, uploadAbandonedMs: 5_000 },
    )
    await images.startUpload('app', {})
    await images.appendUpload('app', 'id', body())
    nowMs += 1_000
    await images.sweepUploads()
    expect(images.uploadCount).toBe(1)
    nowMs += 1
    await images.sweepUploads()
    expect(images.uploadCount).toBe(0)
    expect(objects.openWriters).toBe(0)
    expect(objects.keys()).toEqual(['uploads/id'])
    nowMs += 3_999
    // Whoever sweeps need not have begun them.
    const other = create()
    await other.sweepUploads()
    expect(objects.keys()).toEqual(['uploads/id'])
    nowMs += 24 * 60 * 60 * 1000
    await other.sweepUploads()
    expect(objects.keys()).toEqual([])
    expect(objects.checkpoints).toBe(0)
    expect(objects.openWriters).toBe(0)
  })

  test('of which one cannot be read do not keep the others from being given up', async () => {
    await create().startUpload('app', {})
    await objects.put('uploads/0-unreadable', Buffer.from('{"version":9}\n'))
    nowMs += 48 * 60 * 60 * 1000
    await create().sweepUploads()
    expect(objects.keys()).toEqual(['uploads/0-unreadable'])
  })

  test('are finished by another seeder without reading the bytes again', async () => {
    const [first, second] = [create(), create()]
    const { id } = await first.startUpload('app', {})
    await first.appendUpload('app', id, body())
    await first.stop()
    expect(await second.uploadStatus('app', id)).toEqual({ id, received: content.length })
    expect(await second.uploadStatus('other', id)).toBeUndefined()
    const reads = objects.calls.chunk
    await second.finishUpload('app', id, digest)
    expect(objects.calls.chunk).toBe(reads)
    expect(await readAll(second.readContent(digest, { start: 0, end: content.length }))).toEqual(content)
    expect((await second.metainfo(digest))!.metainfo).toEqual((await atOnce()).metainfo)
    expect(objects.keys('uploads/')).toEqual([])
    expect(objects.checkpoints).toBe(0)
  })

  test('go from seeder to seeder with every request', async () => {
    const seeders = [create(), create(), create()]
    const { id } = await seeders[0]!.startUpload('app', {})
    for (let offset = 0, turn = 1; offset < content.length; offset += 150_000, turn++) {
      const chunk = content.subarray(offset, offset + 150_000)
      const status = await seeders[turn % 3]!.appendUpload('app', id, body(chunk), { startAt: offset })
      expect(status.received).toBe(offset + chunk.length)
    }
    await expect(seeders[0]!.appendUpload('app', id, body(), { startAt: 5 })).rejects.toThrow(
      /does not begin/,
    )
    expect(await seeders[1]!.finishUpload('app', id, digest)).toEqual({ digest, length: content.length })
    expect((await seeders[2]!.metainfo(digest))!.metainfo).toEqual((await atOnce()).metainfo)
    for (const seeder of seeders) expect(await seeder.uploadStatus('app', id)).toBeUndefined()
    expect(objects.openWriters).toBe(0)
  })

  test('of two seeders that go on with one at the same time the second is refused, and nothing is damaged', async () => {
    const [first, second] = [create(), create()]
    const { id } = await first.startUpload('app', {})
    await first.appendUpload('app', id, body(content.subarray(0, 100_000)))
    let go: () => void = () => {}
    const held = new Promise<void>((resolve) => {
      go = resolve
    })
    async function* slowly() {
      yield content.subarray(100_000, 200_000)
      await held
    }
    const slow = first.appendUpload('app', id, slowly())
    await second.appendUpload('app', id, body(content.subarray(100_000)))
    go()
    await expect(slow).rejects.toThrow(/another request has gone on/)
    await second.finishUpload('app', id, digest)
    expect(await readAll(second.readContent(digest, { start: 0, end: content.length }))).toEqual(content)
  })

  test('can be cancelled where they were not begun', async () => {
    const [first, second] = [create(), create()]
    const { id } = await first.startUpload('app', {})
    await first.appendUpload('app', id, body())
    expect(await second.cancelUpload('app', id)).toBe(true)
    expect(await second.cancelUpload('app', id)).toBe(false)
    expect(await first.uploadStatus('app', id)).toBeUndefined()
    expect(objects.keys()).toEqual([])
    expect(objects.checkpoints).toBe(0)
    expect(objects.openWriters).toBe(0)
  })

  test('take one request at a time', async () => {
    const images = create()
    const { id } = await images.startUpload('app', {})
    let go: () => void = () => {}
    async function* slow() {
      await new Promise<void>((resolve) => (go = resolve))
      yield content
    }
    const first = images.appendUpload('app', id, slow())
    await expect(images.appendUpload('app', id, body())).rejects.toMatchObject({
      code: 'BLOB_UPLOAD_INVALID',
      status: 409,
    })
    await expect(images.finishUpload('app', id, digest)).rejects.toMatchObject({ status: 409 })
    go()
    await first
    await images.finishUpload('app', id, digest)
  })

  test('cancelled in the middle of an append leave nothing', async () => {
    const images = create()
    const { id } = await images.startUpload('app', {})
    async function* cancelling() {
      yield content.subarray(0, 100_000)
      await images.cancelUpload('app', id)
      yield content.subarray(100_000)
    }
    await expect(images.appendUpload('app', id, cancelling())).rejects.toMatchObject({
      code: 'BLOB_UPLOAD_UNKNOWN',
    })
    expect(objects.openWriters).toBe(0)
    expect(objects.keys()).toEqual([])
  })

  test('end when the store stops', async () => {
    const images = create()
    await images.start()
    const { id } = await images.startUpload('app', {})
    await images.appendUpload('app', id, body())
    await images.stop()
    expect(objects.openWriters).toBe(0)
  })
})

describe('requests to the origin', () => {
  test('grow with images, not with nodes', async () => {
    const writer = create()
    await push(writer)
    const manifest = new TextEncoder().encode(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: content.length },
        layers: [],
      }),
    )
    await writer.putManifest(
      'app',
      { kind: 'tag', tag: 'v1' },
      'application/vnd.oci.image.manifest.v1+json',
      manifest,
    )
    const images = create()
    const pull = async () => {
      const found = await images.manifest('app', { kind: 'tag', tag: 'v1' })
      expect(found?.bytes).toEqual(manifest)
      expect(await images.blobStat('app', digest, 'pull')).toBeDefined()
      expect(await images.metainfo(digest)).toBeDefined()
    }
    const total = () => Object.values(objects.calls).reduce((sum, count) => sum + count, 0)
    const before = total()
    await pull()
    const once = total() - before
    await Promise.all(Array.from({ length: 500 }, pull))
    expect(total() - before).toBe(once)
    nowMs += 1_001
    await pull()
    // The tag is looked at again; the rest cannot have changed.
    expect(total() - before).toBe(once + 2)
  })

  test('a tag pushed elsewhere is seen after a moment, one pushed here at once', async () => {
    const [here, there] = [create(), create()]
    const manifest = (n: number) =>
      new TextEncoder().encode(`{"schemaVersion":2,"manifests":[],"annotations":{"n":"${n}"}}`)
    const put = (images: ImageStore, n: number) =>
      images.putManifest('app', { kind: 'tag', tag: 't' }, '', manifest(n))
    const look = async (images: ImageStore) =>
      (await images.manifest('app', { kind: 'tag', tag: 't' }))?.digest
    await put(here, 1)
    expect(await look(there)).toBe(sha256(manifest(1)))
    await put(here, 2)
    expect(await look(here)).toBe(sha256(manifest(2)))
    nowMs += 1_001
    expect(await look(there)).toBe(sha256(manifest(2)))
  })
})

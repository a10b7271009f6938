/**
 * Goal: a record is not taken for the content. What is missing, cut or changed is not told to be here, so that clients push it
 * again, and what they push replaces it.
 * Method: the content of a blob is taken away or written over in a store in memory, then clients come.
 */
import { MEDIA_TYPES, OciError } from '@shoal/oci'
import { patternBytes, sha256 } from '@shoal/testing/content'
import { MapObjectStore } from '@shoal/testing/map-object-store'
import { pino } from 'pino'
import { beforeEach, describe, expect, test } from 'vitest'
import { ImageStore } from './image-store.ts'

const bytes = patternBytes(1_000, 1)
const digest = sha256(bytes)
const other = patternBytes(500, 2)
let objects: MapObjectStore
let nowMs: number
let damaged: number
let replaced: string[]
let images: ImageStore
let ids = 0

beforeEach(async () => {
  objects = new MapObjectStore()
  nowMs = 1_000_000
  objects.nowMs = () => nowMs
  damaged = 0
  replaced = []
  images = create()
  await push(bytes)
  await push(other)
})

/** Another seeder on the same store, or this one after a restart. */
function create(): ImageStore {
  const images = new ImageStore({
    objects,
    log: pino({ level: 'silent' }),
    nowMs: () => nowMs,
    newId: () => `u${ids++}`,
  })
  images.on('blob-damaged', () => damaged++)
  images.on('blob-replaced', (digest) => replaced.push(digest))
  return images
}

async function* once(bytes: Uint8Array) {
  yield bytes
}

async function push(bytes: Uint8Array, name = 'app'): Promise<void> {
  const { id } = await images.startUpload(name, { isOneRequest: true })
  await images.appendUpload(name, id, once(bytes))
  await images.finishUpload(name, id, sha256(bytes))
}

async function pushImage(): Promise<void> {
  const descriptor = { mediaType: 'application/x', digest, size: bytes.length }
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: descriptor,
    layers: [descriptor],
  }
  const reference = { kind: 'tag', tag: 'v1' } as const
  await images.putManifest('app', reference, MEDIA_TYPES.ociManifest, Buffer.from(JSON.stringify(document)))
}

const contentKey = () => JSON.parse(Buffer.from(objects.objects.get(recordKey)!.bytes).toString()).contentKey
const recordKey = `blobs/sha256/${digest.slice(7, 9)}/${digest.slice(7)}`
const damages = {
  missing: () => void objects.objects.delete(contentKey()),
  cut: () => write(bytes.subarray(0, 400)),
  changed: () => write(patternBytes(1_000, 3)),
}

function write(content: Uint8Array): void {
  const key = contentKey()
  objects.objects.set(key, { ...objects.objects.get(key)!, bytes: content, etag: `damaged-${ids++}` })
}

async function readAll(): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of images.readContent(digest, { start: 0, end: bytes.length })) chunks.push(chunk)
  return sha256(Buffer.concat(chunks))
}

/** What whoever pushes finds, and that its bytes are what is there afterwards. */
async function isMendedByPush(): Promise<void> {
  expect(await images.blobStat('app', digest, 'look')).toBeUndefined()
  expect(await images.mountBlob('elsewhere', digest, 'app')).toBeUndefined()
  await expect(pushImage()).rejects.toThrow(OciError)
  const before = contentKey()
  await push(bytes)
  expect(contentKey()).not.toBe(before)
  expect(objects.objects.has(before)).toBe(false)
  expect(replaced).toEqual([digest])
  expect(await images.blobStat('app', digest, 'look')).toEqual({ digest, length: bytes.length })
  expect(await readAll()).toBe(digest)
  await pushImage()
  expect(objects.keys('content/')).toHaveLength(2)
}

describe.each(['missing', 'cut'] as const)('content that is %s', (damage) => {
  test('is not told to be here, and what is pushed replaces it', async () => {
    damages[damage]()
    await isMendedByPush()
    expect(damaged).toBe(1)
  })

  test('is replaced by who pushes without having looked, at whatever seeder', async () => {
    damages[damage]()
    images = create()
    await push(bytes)
    expect(await readAll()).toBe(digest)
    expect(replaced).toEqual([digest])
  })

  test('is replaced by an upload whose bytes must be read again to be known', async () => {
    damages[damage]()
    const { id } = await images.startUpload('app', {})
    await images.appendUpload('app', id, once(bytes.subarray(0, 10)))
    images = create()
    await images.appendUpload('app', id, once(bytes.subarray(10)))
    await images.finishUpload('app', id, digest)
    expect(await readAll()).toBe(digest)
  })
})

describe('content that was changed', () => {
  test('is not here from when a reader has seen it', async () => {
    damages.changed()
    images.suspect(digest)
    images.suspect(digest)
    await expect.poll(() => damaged).toBe(1)
    expect(await images.blobStat('app', digest, 'pull')).toBeUndefined()
    await isMendedByPush()
  })

  test.each(['one request', 'many'])(
    'and that nobody has read gives way to who pushes without having looked, in %s',
    async (requests) => {
      damages.changed()
      const before = contentKey()
      nowMs += 1
      if (requests === 'many') {
        const { id } = await images.startUpload('app', {})
        await images.appendUpload('app', id, once(bytes.subarray(0, 10)))
        images = create()
        await images.appendUpload('app', id, once(bytes.subarray(10)))
        await images.finishUpload('app', id, digest)
      } else await push(bytes)
      expect(await readAll()).toBe(digest)
      expect(await images.scrub()).toMatchObject({ blobs: 2, damagedBlobs: 0 })
      // As far as anybody knew it was right, and may have been read at that moment: the next collection after the grace.
      expect(objects.objects.has(before)).toBe(true)
      nowMs += 25 * 60 * 60 * 1000
      await pushImage()
      await images.collectGarbage({ isDryRun: false })
      expect(objects.objects.has(before)).toBe(false)
      expect(await readAll()).toBe(digest)
    },
  )

  test('is right after all where the reader was wrong: it is read once, not at every complaint', async () => {
    const reads = () => objects.calls.read ?? 0
    images.suspect(digest)
    await expect.poll(() => objects.calls.chunk ?? 0).toBe(1)
    await new Promise((resolve) => setImmediate(resolve))
    const before = reads()
    for (let n = 0; n < 10; n++) {
      images.suspect(digest)
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(reads()).toBe(before)
    expect(damaged).toBe(0)
    expect(await images.blobStat('app', digest, 'look')).toBeDefined()
  })
})

test('of two who push the same bytes at once, the second keeps what the first has stored', async () => {
  const same = patternBytes(700, 9)
  const uploads = [await images.startUpload('app', {}), await images.startUpload('app', {})]
  for (const { id } of uploads) {
    nowMs += 10
    await images.appendUpload('app', id, once(same))
    await images.finishUpload('app', id, sha256(same))
  }
  expect(objects.keys('content/')).toHaveLength(3)
})

describe('a scrub', () => {
  test('finds nothing where all is right', async () => {
    expect(await images.scrub()).toEqual({
      blobs: 2,
      bytes: 1_500,
      mendedBlobs: 0,
      damagedBlobs: 0,
      damaged: [],
    })
  })

  test.each(['missing', 'cut', 'changed'] as const)(
    'finds what is %s, and where it belongs',
    async (damage) => {
      await images.mountBlob('team/other', digest, 'app')
      damages[damage]()
      const report = await images.scrub()
      expect(report).toMatchObject({ blobs: 2, damagedBlobs: 1 })
      expect(report.damaged).toEqual([{ digest, damage, repositories: ['app', 'team/other'] }])
      // Told each time, counted once.
      expect(await images.scrub()).toMatchObject({ damagedBlobs: 1 })
      expect(damaged).toBe(1)
      await isMendedByPush()
      expect(await images.scrub()).toMatchObject({ damagedBlobs: 0 })
    },
  )

  test('takes back what was restored from elsewhere', async () => {
    const { etag } = objects.objects.get(contentKey())!
    damages.changed()
    await images.scrub()
    expect(await images.blobStat('app', digest, 'pull')).toBeUndefined()
    objects.objects.set(contentKey(), { bytes, etag, modifiedAtMs: 0 })
    expect(await images.scrub()).toMatchObject({ mendedBlobs: 1, damagedBlobs: 0 })
    expect(await images.blobStat('app', digest, 'pull')).toBeDefined()
  })

  test('writes metainfo anew that is lost or not what the content says', async () => {
    const [torrent] = objects.keys(`torrents/sha256-${digest.slice(7)}`)
    const right = Buffer.from(objects.objects.get(torrent!)!.bytes)
    const wrong = Buffer.from(
      objects.objects.get(objects.keys('torrents/').find((key) => key !== torrent)!)!.bytes,
    )
    for (const spoil of [
      () => objects.objects.delete(torrent!),
      () => objects.objects.set(torrent!, { bytes: wrong, etag: 'wrong', modifiedAtMs: 0 }),
    ]) {
      spoil()
      expect(await create().scrub()).toMatchObject({ mendedBlobs: 1 })
      expect(Buffer.from(objects.objects.get(torrent!)!.bytes).equals(right)).toBe(true)
    }
  })

  test.each([0, 0.3, 0.999])('comes to every blob once, wherever it begins: at %d', async (startAt) => {
    for (let n = 0; n < 40; n++) await push(patternBytes(100 + n, n))
    expect(await images.scrub({ startAt })).toMatchObject({ blobs: 42, damagedBlobs: 0 })
  })

  test('ends when it is told to', async () => {
    const stop = new AbortController()
    await expect(
      images.scrub({ signal: stop.signal, onProgress: () => stop.abort(new Error('enough')) }),
    ).rejects.toThrow('enough')
  })
})

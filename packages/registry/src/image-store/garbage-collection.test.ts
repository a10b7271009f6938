/**
 * Goal: garbage goes, and nothing that a push in flight relies on, whatever comes between.
 * Method: stories on virtual time, then random clients, two replicas and collections at once against a model
 * (`testing/garbage-model.ts`), over a Map and over a folder; over S3 in test/e2e.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPrng } from '@shoal/core'
import { MEDIA_TYPES } from '@shoal/oci'
import { FilesystemObjectStore, StorageFullError } from '@shoal/storage'
import { patternBytes, sha256 } from '@shoal/testing/content'
import { MapObjectStore } from '@shoal/testing/map-object-store'
import fc from 'fast-check'
import { pino } from 'pino'
import { beforeEach, describe, expect, test } from 'vitest'
import { runGarbageModel } from '../testing/garbage-model.ts'
import { judgeBlob } from './blob-verdict.ts'
import type { WholeGarbageReport } from './garbage-collection.ts'
import { ImageStore } from './image-store.ts'

const graceMs = 1_000
let objects: MapObjectStore
let nowMs: number
let images: ImageStore
const create = () =>
  new ImageStore(
    { objects, log: pino({ level: 'silent' }), nowMs: () => nowMs, newId: () => `u${ids++}` },
    { graceMs },
  )
let ids = 0
beforeEach(() => {
  nowMs = 1_000_000
  objects = new MapObjectStore()
  objects.nowMs = () => nowMs
  images = create()
})

async function* once(bytes: Uint8Array) {
  yield bytes
}
const lengths = new Map<string, number>()
async function pushBlob(bytes: Uint8Array, name = 'app') {
  lengths.set(sha256(bytes), bytes.length)
  const { id } = await images.startUpload(name, { isOneRequest: true })
  await images.appendUpload(name, id, once(bytes))
  await images.finishUpload(name, id, sha256(bytes))
  return sha256(bytes)
}
async function pushManifest(...digests: string[]) {
  const descriptors = digests.map((digest) => {
    return { mediaType: 'application/x', digest, size: lengths.get(digest) }
  })
  const [config, ...layers] = descriptors
  const bytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers }),
  )
  return images.putManifest('app', { kind: 'tag', tag: 'v1' }, MEDIA_TYPES.ociManifest, bytes)
}
const imageOf = (blob: string) => {
  const descriptor = { mediaType: 'application/x', digest: blob, size: lengths.get(blob) }
  return { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config: descriptor, layers: [descriptor] }
}
const descriptorOfManifest = ({ digest, length }: { digest: string; length: number }) => {
  return { mediaType: MEDIA_TYPES.ociManifest, digest, size: length }
}
async function putDocument(document: { mediaType: string; [field: string]: unknown }, tag?: string) {
  const bytes = Buffer.from(JSON.stringify(document))
  const reference =
    tag === undefined ? ({ kind: 'digest', digest: sha256(bytes) } as const) : ({ kind: 'tag', tag } as const)
  return images.putManifest('app', reference, document.mediaType, bytes)
}
async function collect(isDryRun = false) {
  const outcome = await images.collectGarbage({ isDryRun })
  if (outcome.kind !== 'done') throw new Error(outcome.kind)
  return outcome.report
}

describe('garbage', () => {
  test('goes after the grace, and not a moment before; what a manifest names stays', async () => {
    const kept = await pushBlob(patternBytes(500, 1))
    const lost = await pushBlob(patternBytes(700, 2))
    const manifest = await pushManifest(kept)
    nowMs += graceMs
    expect(await collect()).toMatchObject({ manifests: 1, neededBlobs: 1, leasedBlobs: 1, removedBlobs: 0 })
    nowMs += 1
    const would = { neededBlobs: 1, leasedBlobs: 0, removedBlobs: 1, removedBytes: 700 }
    const before = objects.keys()
    expect(await collect(true)).toMatchObject({ ...would, isDryRun: true })
    expect(objects.keys()).toEqual(before)
    expect(await collect()).toMatchObject({ ...would, isDryRun: false })
    expect(await images.blobStat('app', kept, 'pull')).toBeDefined()
    expect(await images.blobStat('app', lost, 'pull')).toBeUndefined()
    expect(objects.keys('content/')).toHaveLength(1)
    expect(await images.removeManifest('app', { kind: 'digest', digest: manifest.digest })).toBe(true)
    nowMs += graceMs + 1
    expect(await collect()).toMatchObject({ neededBlobs: 0, removedBlobs: 1 })
    nowMs += graceMs + 1
    await collect()
    expect(objects.keys('blobs/', 'content/', 'torrents/', 'swarms/', 'gc/')).toEqual([])
    expect(objects.keys('repos/app/_blobs/')).toEqual([])
  })

  test('is nothing that an index lists: the manifests of a build cache are blobs', async () => {
    const blobs = [await pushBlob(patternBytes(300, 11)), await pushBlob(patternBytes(200, 12))]
    const subject = await pushBlob(patternBytes(100, 13))
    const lost = await pushBlob(patternBytes(100, 14))
    const descriptorOf = (mediaType: string, digest: string) => ({
      mediaType,
      digest,
      size: lengths.get(digest),
    })
    const document = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests: [
        descriptorOf(MEDIA_TYPES.ociLayerGzip, blobs[0]!),
        descriptorOf('application/vnd.buildkit.cacheconfig.v0', blobs[1]!),
      ],
      subject: descriptorOf('application/x', subject),
    }
    // Old by the time that the index comes: it counts as relied on from then on.
    nowMs += graceMs
    const bytes = Buffer.from(JSON.stringify(document))
    await images.putManifest('app', { kind: 'tag', tag: 'cache' }, MEDIA_TYPES.ociIndex, bytes)
    for (const wait of [graceMs, graceMs * 2]) {
      nowMs += wait
      await collect()
    }
    for (const digest of [...blobs, subject])
      expect(await images.blobStat('app', digest, 'pull')).toBeDefined()
    expect(await images.blobStat('app', lost, 'pull')).toBeUndefined()
  })

  test('is none while somebody who pushes has found it: HEAD, mount, the same upload again', async () => {
    const bytes = patternBytes(100, 3)
    const digest = await pushBlob(bytes)
    const finds = [
      () => images.blobStat('app', digest, 'look'),
      () => images.mountBlob('other', digest, 'app'),
      () => pushBlob(bytes, 'third'),
    ]
    for (const find of finds) {
      nowMs += graceMs
      await find()
      nowMs += graceMs
      expect(await collect()).toMatchObject({ leasedBlobs: 1, removedBlobs: 0 })
    }
    // Who only pulls promises nothing.
    await images.blobStat('app', digest, 'pull')
    nowMs += 1
    expect((await collect()).removedBlobs).toBe(1)
  })

  test('that was condemned is taken back by a push that comes between', async () => {
    const digest = await pushBlob(patternBytes(100, 4))
    nowMs += graceMs * 2
    const other = create()
    const list = objects.list.bind(objects)
    let found: unknown
    objects.list = async (prefix, options) => {
      // Right after the blob was condemned: the collection goes to look at manifests again.
      const [stored] = objects.keys('blobs/').map((key) => Buffer.from(objects.objects.get(key)!.bytes))
      if (prefix === 'repos/' && stored!.includes('condemnedAtMs'))
        found ??= await other.blobStat('app', digest, 'look')
      return list(prefix, options)
    }
    const report = await collect()
    expect(found).toBeDefined()
    expect(report.removedBlobs).toBe(0)
    await pushManifest(digest)
    nowMs += graceMs * 2
    expect(await collect()).toMatchObject({ neededBlobs: 1, removedBlobs: 0 })
  })

  test('that is pushed again while it goes is a new blob', async () => {
    const bytes = patternBytes(100, 5)
    const digest = await pushBlob(bytes)
    nowMs += graceMs * 2
    expect((await collect()).removedBlobs).toBe(1)
    await pushBlob(bytes)
    await pushManifest(digest)
    nowMs += graceMs * 2
    expect(await collect()).toMatchObject({ neededBlobs: 1, removedBlobs: 0 })
    expect(await images.metainfo(digest)).toBeDefined()
  })

  test('content without a blob, and uploads that rest too long', async () => {
    await objects.put('content/orphan', new Uint8Array(10))
    const { id } = await images.startUpload('app', {})
    await images.appendUpload('app', id, once(patternBytes(10)))
    await objects.put(`content/${id}`, new Uint8Array(10))
    nowMs += graceMs + 1
    expect(await collect()).toMatchObject({ removedContents: 1, abandonedUploads: 0 })
    expect(objects.keys('content/')).toEqual([`content/${id}`])
    nowMs += 24 * 60 * 60 * 1000
    expect(await collect()).toMatchObject({ abandonedUploads: 1 })
  })

  test('is not looked for by two at once; a run that died holds up the next for a minute', async () => {
    const stopped = new Error('killed')
    const list = objects.list.bind(objects)
    objects.list = async () => {
      throw stopped
    }
    objects.fault = (doing) => {
      if (doing === 'delete') throw stopped
    }
    await expect(images.collectGarbage({ isDryRun: false })).rejects.toThrow('killed')
    objects.list = list
    objects.fault = () => {}
    const other = create()
    expect(await other.collectGarbage({ isDryRun: false })).toEqual({ kind: 'busy' })
    // Only counting needs no lease.
    expect((await other.collectGarbage({ isDryRun: true })).kind).toBe('done')
    nowMs += 60_000
    expect((await other.collectGarbage({ isDryRun: false })).kind).toBe('done')
    expect(objects.keys('gc/')).toEqual([])
  })

  test('one that a seeder of before left for six hours holds up nobody', async () => {
    const untilMs = nowMs + 6 * 60 * 60 * 1000
    await objects.put('gc/lease', Buffer.from(JSON.stringify({ version: 1, untilMs })))
    expect((await images.collectGarbage({ isDryRun: false })).kind).toBe('done')
  })

  test('a run that goes on for long keeps its lease, and ends when another has taken it', async () => {
    const list = objects.list.bind(objects)
    let calls = 0
    let found: unknown
    await pushBlob(patternBytes(10, 9))
    objects.list = async (prefix, options) => {
      calls++
      nowMs += 20_000
      if (calls === 4) found = await create().collectGarbage({ isDryRun: false })
      return list(prefix, options)
    }
    expect((await images.collectGarbage({ isDryRun: false })).kind).toBe('done')
    expect(found).toEqual({ kind: 'busy' })
    calls = 0
    objects.list = async (prefix, options) => {
      if (++calls === 2) {
        nowMs += 70_000
        await objects.put(
          'gc/lease',
          Buffer.from(JSON.stringify({ version: 1, holder: 'x', untilMs: nowMs })),
        )
      }
      return list(prefix, options)
    }
    expect(await images.collectGarbage({ isDryRun: false })).toEqual({ kind: 'busy' })
  })

  test('makes room in a store that is full, and so does a deletion', async () => {
    const kept = await pushBlob(patternBytes(300, 21))
    await pushManifest(kept)
    for (const seed of [22, 23]) await pushBlob(patternBytes(200, seed))
    const image = await pushManifest(await pushBlob(patternBytes(100, 24)))
    await images.putTag('app', 'v2', image.digest)
    nowMs += graceMs * 2
    let freeBytes = 0
    objects.fault = (doing) => {
      if (doing === 'put' && freeBytes === 0) throw new StorageFullError('a Map', 'write')
    }
    expect(await images.removeManifest('app', { kind: 'digest', digest: image.digest })).toBe(true)
    expect(await images.tags('app', { tagsMax: 10 })).toEqual({ tags: [], more: false })
    await expect(pushBlob(patternBytes(50, 25))).rejects.toThrow(StorageFullError)
    const before = objects.keys('content/').length
    const report = await collect()
    expect(report).toMatchObject({ removedBlobs: 3, removedBytes: 500 })
    expect(objects.keys('content/').length).toBe(before - 3)
    freeBytes = 1
    await pushBlob(patternBytes(200, 22))
    expect(await images.metainfo(sha256(patternBytes(200, 22)))).toBeDefined()
    expect(await collect()).toMatchObject({ removedBlobs: 0 })
  })

  test('manifests that no tag reaches go when it is asked for, with what is attached to them', async () => {
    const blob = await pushBlob(patternBytes(100, 31))
    const attach = (subject: { digest: string; length: number }, title: string) =>
      putDocument({ ...imageOf(blob), annotations: { title }, subject: descriptorOfManifest(subject) })
    const child = await putDocument({ ...imageOf(blob), annotations: { title: 'child' } })
    const index = await putDocument(
      { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [descriptorOfManifest(child)] },
      'all',
    )
    const ofChild = await attach(child, 'of the child')
    const old = await putDocument({ ...imageOf(blob), annotations: { title: 'old' } })
    const ofOld = await attach(old, 'of the old one')
    const ofThat = await attach(ofOld, 'of what is attached')
    const tagged = await putDocument(
      { ...imageOf(blob), annotations: { title: 'sig' }, subject: descriptorOfManifest(old) },
      'sha256-abc.sig',
    )
    const digests = (manifests: readonly { digest: string }[]) => manifests.map(({ digest }) => digest).sort()
    nowMs += graceMs * 3
    const young = await putDocument({ ...imageOf(blob), annotations: { title: 'young' } })
    const untagged = (isDryRun: boolean) => images.collectGarbage({ isDryRun, untaggedForMs: graceMs * 2 })
    const dry = (await untagged(true)) as { report: WholeGarbageReport }
    expect(digests(dry.report.untagged)).toEqual(digests([old, ofOld, ofThat]))
    expect(dry.report).toMatchObject({ removedManifests: 3, manifests: 5 })
    expect(await untagged(false)).toEqual({ kind: 'done', report: { ...dry.report, isDryRun: false } })
    for (const { digest } of [child, index, ofChild, young, tagged])
      expect(await images.manifest('app', { kind: 'digest', digest })).toBeDefined()
    for (const { digest } of [old, ofOld, ofThat])
      expect(await images.manifest('app', { kind: 'digest', digest })).toBeUndefined()
    expect(digests((await images.referrers('app', old.digest, {})).referrers)).toEqual([tagged.digest])
    // Who has been looked for stays as long as one that was pushed.
    nowMs += graceMs * 2
    await images.manifest('app', { kind: 'digest', digest: young.digest }, 'look')
    nowMs += graceMs
    expect(await untagged(false)).toMatchObject({ report: { removedManifests: 0 } })
  })

  test.each([
    ['rubbish', () => Buffer.from('rubbish')],
    [
      'readable, and names other blobs',
      (stored: Buffer) => Buffer.from(stored.toString().replace(/sha256:../, 'sha256:00')),
    ],
  ])(
    'nothing is removed while a manifest is %s; a push mends it, and so does a deletion',
    async (_, spoil) => {
      const digest = await pushBlob(patternBytes(100, 6))
      const { digest: manifest } = await pushManifest(digest)
      const key = `repos/app/_manifests/sha256/${manifest.slice(7)}`
      const damage = () => objects.put(key, spoil(Buffer.from(objects.objects.get(key)!.bytes)))
      await damage()
      images = create()
      nowMs += graceMs * 2
      await expect(collect()).rejects.toThrow(/repos\/app\/_manifests/)
      expect(objects.keys('content/')).toHaveLength(1)
      expect(objects.keys('gc/')).toEqual([])
      expect(await images.manifest('app', { kind: 'tag', tag: 'v1' })).toBeUndefined()
      await pushManifest(digest)
      expect(await collect()).toMatchObject({ manifests: 1 })
      expect((await images.manifest('app', { kind: 'tag', tag: 'v1' }))?.digest).toBe(manifest)
      await damage()
      images = create()
      expect(await images.removeManifest('app', { kind: 'digest', digest: manifest })).toBe(true)
      expect(await images.tags('app', { tagsMax: 10 })).toEqual({ tags: [], more: false })
      nowMs += graceMs * 2
      expect(await collect()).toMatchObject({ manifests: 0, removedBlobs: 1 })
    },
  )
})

test('a verdict of every kind', () => {
  const record = { length: 1, contentKey: 'content/x', infoHash: '', leasedAtMs: 10 }
  const judge = (more: object, isNeeded = false, leaseEndedBeforeMs = 11) =>
    judgeBlob({ ...record, ...more }, { isNeeded, leaseEndedBeforeMs })
  expect(judge({})).toBe('condemn')
  expect(judge({}, false, 10)).toBe('keep')
  expect(judge({}, true)).toBe('keep')
  expect(judge({ condemnedAtMs: 1 })).toBe('remove')
  expect(judge({ condemnedAtMs: 1 }, true)).toBe('rescue')
  expect(judge({ removedAtMs: 10 })).toBe('bury')
  expect(judge({ removedAtMs: 11 })).toBe('gone')
})

describe('random clients, two replicas and collections at once', () => {
  test('over a Map', { timeout: 120_000 }, async () => {
    let removed = 0
    let damaged = 0
    let ops = 0
    await fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const store = new MapObjectStore()
        const run = await runGarbageModel({ store, prng: createPrng(seed), rounds: 12, opsPerRound: 6 })
        removed += run.removedBlobs
        damaged += run.damagedBlobs
        ops += run.ops
      }),
      { numRuns: 20 },
    )
    expect(ops).toBeGreaterThan(2_500)
    // A test in which nothing is ever removed shows nothing.
    expect(removed).toBeGreaterThan(50)
    expect(damaged).toBeGreaterThan(5)
  })

  test('over a folder', { timeout: 120_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'shoal-garbage-'))
    try {
      const store = new FilesystemObjectStore({ folder })
      await store.start()
      const prng = createPrng(20_261_121)
      const run = await runGarbageModel({ store, prng, rounds: 12, opsPerRound: 6 })
      expect(run.removedBlobs).toBeGreaterThan(0)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
})

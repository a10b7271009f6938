/**
 * Goal: clients see one registry, where a name means what it should, a tag is as new as it may be, and no misbehaviour of
 * another registry makes anybody wait, get something wrong, or read what is not theirs.
 * Method: the mirror over a folder and registries that count what they are asked, on time that the test sets.
 */

import type { Manifest } from '@shoal/oci'
import { MEDIA_TYPES, OciError } from '@shoal/oci'
import type { Reference } from '@shoal/registry'
import { UpstreamBusyError, UpstreamUnavailableError } from '@shoal/registry-client'
import { patternBytes, sha256 } from '@shoal/testing/content'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { FakeRegistry, inChunks, upstreamsOf } from '../testing/fake-registry.ts'
import { type ImageOrigin, openOrigin, silent, wholeOf } from '../testing/image-origin.ts'
import { bytesOf, imageOf, manifestOf } from '../testing/images.ts'
import { BlobFetches } from './blob-fetches.ts'
import { Mirror, type MirrorInit } from './mirror.ts'
import { isUnusable } from './mirrored-manifests.ts'

const HOST = 'registry.test'
const APP = `${HOST}/team/app`
const TTL_MS = 60_000
const REFUSED_MS = 10_000
const NEVER = new AbortController().signal
const image = imageOf('{"first":1}', patternBytes(5_000))
const newer = imageOf('{"second":2}', patternBytes(2_000, 2))
const tag = (text: string): Reference => ({ kind: 'tag', tag: text })
const byDigest = ({ digest }: Manifest): Reference => ({ kind: 'digest', digest })

let origin: ImageOrigin
let registry: FakeRegistry
let fetches: BlobFetches
let mirror: Mirror

beforeEach(async () => {
  origin = await openOrigin()
  registry = new FakeRegistry(HOST)
  registry.push('team/app', '1', image)
  mirror = mirrorOf()
})
afterEach(async () => {
  await fetches.stop()
  await origin[Symbol.asyncDispose]()
})

/** Digests and ranges that were read of what is here. */
let reads: unknown[] = []
/** Codes, as the metric has them. */
let failures: string[] = []

function mirrorOf(init: Partial<MirrorInit> = {}): Mirror {
  const { images, clock } = origin
  fetches = new BlobFetches({
    images,
    log: silent,
    onReceived: () => {},
    nowMs: () => Date.now(),
    arriving: { begin: async () => undefined },
  })
  return new Mirror(
    {
      images,
      fetches,
      readContent: (...asked) => {
        reads.push(asked.slice(0, 2))
        return images.readContent(...asked)
      },
      arriving: { find: () => undefined },
      upstreams: upstreamsOf(registry),
      log: silent,
      nowMs: () => clock.nowMs,
      onFailed: (code) => failures.push(code),
    },
    { ownHosts: ['shoal.test'], defaultUpstream: undefined, tagTtlMs: TTL_MS, ...init },
  )
}

const look = (name = APP, reference = tag('1')) => mirror.manifest(name, reference, 'look')
const digestNow = async () => (await look())?.digest
const unavailable = () => new UpstreamUnavailableError(HOST, 'it is away')
const goesAway = (error: Error = unavailable()) => {
  registry.fault = () => {
    throw error
  }
}
const later = (durationMs: number) => {
  origin.clock.nowMs += durationMs
}

async function pushTo(name: string, bytes: Uint8Array) {
  const { id } = await mirror.push.startUpload(name, {})
  await mirror.push.appendUpload(name, id, inChunks(bytes))
  return mirror.push.finishUpload(name, id, sha256(bytes))
}

describe('a manifest', () => {
  it('that cannot be used is a 404 of its own kind, and nothing of it is kept', async () => {
    failures = []
    const broken = manifestOf(MEDIA_TYPES.ociManifest, { layers: [null] })
    registry.push('team/app', '1', broken)
    const error = (await look().catch((thrown) => thrown)) as OciError
    expect(error).toMatchObject({ code: 'MANIFEST_UNKNOWN', status: 404 })
    expect([isUnusable(error), failures.splice(0)]).toEqual([true, ['MANIFEST_INVALID']])
    expect(await origin.keys('repos/')).toEqual([])
  })

  it('that came without a media type has that of its document, for the first who asks and for all others', async () => {
    const silent = { ...image.manifest, mediaType: 'application/json' }
    registry.manifests.set('team/app@1', silent)
    registry.manifests.set(`team/app@${silent.digest}`, silent)
    for (const _ of [1, 2]) expect((await look())?.mediaType).toBe(image.manifest.mediaType)
  })
})

describe('a tag', () => {
  it('is asked for once within its time to live, then compared, and fetched only where it has moved', async () => {
    expect(await digestNow()).toBe(image.manifest.digest)
    later(TTL_MS - 1)
    expect(await digestNow()).toBe(image.manifest.digest)
    expect([registry.count('head'), registry.count('manifest')]).toEqual([1, 1])
    later(1)
    expect(await digestNow()).toBe(image.manifest.digest)
    expect([registry.count('head'), registry.count('manifest')]).toEqual([2, 1])
    registry.push('team/app', '1', newer)
    expect(await digestNow()).toBe(image.manifest.digest)
    later(TTL_MS)
    expect(await digestNow()).toBe(newer.manifest.digest)
    expect([registry.count('head'), registry.count('manifest')]).toEqual([3, 2])
  })

  it('is compared once for many who ask at the same time', async () => {
    await look()
    later(TTL_MS)
    const hold = Promise.withResolvers<void>()
    registry.fault = () => hold.promise
    const asked = Array.from({ length: 100 }, () => digestNow())
    await vi.waitFor(() => expect(registry.count('head')).toBe(2))
    hold.resolve()
    expect(new Set(await Promise.all(asked))).toEqual(new Set([image.manifest.digest]))
    expect(registry.count('head')).toBe(2)
  })

  it.each([
    ['is away', unavailable(), `${HOST} cannot be asked now; this tag may be out of date`],
    [
      'limits requests',
      new UpstreamBusyError(HOST, Date.UTC(2027, 0, 1)),
      `${HOST} asks to be left alone now; this tag may be out of date`,
    ],
  ])(
    'is served as it was while its registry %s, and says so until it can be asked',
    async (_what, error, warning) => {
      await look()
      later(TTL_MS)
      goesAway(error)
      for (const _ of [1, 2]) expect(await look()).toMatchObject({ digest: image.manifest.digest, warning })
      // What is old is no refusal: it is asked for again and again.
      expect(registry.count('head')).toBe(3)
      registry.fault = () => {}
      registry.push('team/app', '1', newer)
      const now = await look()
      expect(now?.digest).toBe(newer.manifest.digest)
      expect(now?.warning).toBeUndefined()
    },
  )

  it('is served as it was when its registry is slow; what it says in the end counts for the next', async () => {
    await look()
    later(TTL_MS)
    registry.push('team/app', '1', newer)
    const hold = Promise.withResolvers<void>()
    registry.fault = () => hold.promise
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const asked = look()
      await vi.waitFor(() => expect(registry.count('head')).toBe(2), { interval: 1 })
      await vi.waitFor(() => expect(vi.getTimerCount()).toBeGreaterThan(0))
      let isAnswered = false
      void asked.then(() => {
        isAnswered = true
      })
      await vi.advanceTimersByTimeAsync(1_400)
      expect(isAnswered).toBe(false)
      await vi.advanceTimersByTimeAsync(100)
      expect(await asked).toMatchObject({
        digest: image.manifest.digest,
        warning: `${HOST} is slow; this tag may be out of date`,
      })
    } finally {
      vi.useRealTimers()
    }
    hold.resolve()
    await vi.waitFor(async () => expect(await digestNow()).toBe(newer.manifest.digest))
    // Nobody asked a second time.
    expect(registry.count('head')).toBe(2)
  })

  it('that nobody knew before is waited for, however slow', async () => {
    const hold = Promise.withResolvers<void>()
    registry.fault = () => hold.promise
    const asked = look()
    await vi.waitFor(() => expect(registry.count('head')).toBe(1))
    hold.resolve()
    expect((await asked)?.digest).toBe(image.manifest.digest)
  })

  it('goes when its registry has it no more; the image stays under its digest', async () => {
    await look()
    registry.manifests.delete('team/app@1')
    later(TTL_MS)
    expect(await look()).toBeUndefined()
    expect(await origin.images.tag(APP, '1')).toBeUndefined()
    expect((await look(APP, byDigest(image.manifest)))?.digest).toBe(image.manifest.digest)
  })

  it('that was published is as it was published, whatever its registry says', async () => {
    await origin.images.keepManifest(APP, image.manifest)
    await origin.images.putTag(APP, '1', image.manifest.digest, { isPinned: true })
    registry.push('team/app', '1', newer)
    later(100 * TTL_MS)
    expect(await digestNow()).toBe(image.manifest.digest)
    goesAway()
    expect((await look())?.warning).toBeUndefined()
    expect(registry.asked).toEqual([])
  })

  it('that is published while it is compared stays as it was published', async () => {
    await look()
    later(TTL_MS)
    registry.push('team/app', '1', newer)
    const hold = Promise.withResolvers<void>()
    registry.fault = () => hold.promise
    const asked = look()
    await vi.waitFor(() => expect(registry.count('head')).toBe(2))
    await origin.images.putTag(APP, '1', image.manifest.digest, { isPinned: true })
    hold.resolve()
    await asked
    expect(await origin.images.tag(APP, '1')).toMatchObject({
      digest: image.manifest.digest,
      isPinned: true,
    })
    expect(await digestNow()).toBe(image.manifest.digest)
  })

  it('that is published while its registry loses it stays as well', async () => {
    await look()
    later(TTL_MS)
    registry.manifests.clear()
    const hold = Promise.withResolvers<void>()
    registry.fault = () => hold.promise
    const asked = look()
    await vi.waitFor(() => expect(registry.count('head')).toBe(2))
    await origin.images.putTag(APP, '1', image.manifest.digest, { isPinned: true })
    hold.resolve()
    await asked
    expect(await digestNow()).toBe(image.manifest.digest)
  })
})

describe('a refusal', () => {
  it('is one question for many and for ten seconds', async () => {
    const asked = Array.from({ length: 50 }, () => look(APP, tag('none')))
    expect(new Set(await Promise.all(asked))).toEqual(new Set([undefined]))
    expect(registry.asked).toHaveLength(1)
    later(REFUSED_MS - 1)
    expect(await look(APP, tag('none'))).toBeUndefined()
    expect(registry.asked).toHaveLength(1)
    registry.push('team/app', 'none', image)
    later(1)
    expect((await look(APP, tag('none')))?.digest).toBe(image.manifest.digest)
  })

  it('of a registry that is away is a 404, so that clients ask it themselves, and is remembered too', async () => {
    goesAway()
    const error: unknown = await look().catch((thrown) => thrown)
    expect(error).toBeInstanceOf(OciError)
    expect(error).toMatchObject({ code: 'MANIFEST_UNKNOWN', status: 404 })
    expect(failures.splice(0)).toEqual(['UPSTREAM_UNAVAILABLE'])
    registry.fault = () => {}
    expect(await look()).toBeUndefined()
    expect(registry.asked).toHaveLength(1)
    later(REFUSED_MS)
    expect(await digestNow()).toBe(image.manifest.digest)
  })

  it('of one repository or tag says nothing of another', async () => {
    await look(APP, tag('none'))
    await look(`${HOST}/team/other`)
    expect(await digestNow()).toBe(image.manifest.digest)
  })

  it('of a blob is remembered as well, and passes', async () => {
    const bytes = bytesOf('comes later')
    expect(await mirror.blobStat(APP, sha256(bytes), 'pull')).toBeUndefined()
    expect(await mirror.blobStat(APP, sha256(bytes), 'pull')).toBeUndefined()
    expect(registry.count('blob')).toBe(1)
    registry.blobs.set(`team/app@${sha256(bytes)}`, bytes)
    later(REFUSED_MS)
    expect(await mirror.blobStat(APP, sha256(bytes), 'pull')).toMatchObject({ length: bytes.length })
    expect(await mirror.whole(APP, sha256(bytes), NEVER)).toBe(true)
  })
})

describe('a manifest', () => {
  it('by digest is fetched once for ever', async () => {
    await look(APP, byDigest(image.manifest))
    later(1_000 * TTL_MS)
    goesAway()
    expect((await look(APP, byDigest(image.manifest)))?.digest).toBe(image.manifest.digest)
    expect(registry.asked).toHaveLength(1)
  })

  it('that is none is not kept, and is a 404', async () => {
    const nonsense = manifestOf('application/vnd.test.nothing', {})
    registry.push('team/app', 'bad', nonsense)
    await expect(look(APP, tag('bad'))).rejects.toMatchObject({ code: 'MANIFEST_UNKNOWN' })
    expect(await origin.keys()).toEqual([])
  })

  it('that is pulled brings its blobs; one that is looked at does not', async () => {
    await look()
    expect(fetches.count + registry.count('blob')).toBe(0)
    await mirror.manifest(APP, tag('1'), 'pull')
    for (const bytes of image.blobs) expect(await mirror.whole(APP, sha256(bytes), NEVER)).toBe(true)
    expect(registry.count('blob')).toBe(2)
  })

  it('says how long its blobs are while they arrive', async () => {
    const hold = Promise.withResolvers<void>()
    await look()
    registry.fault = () => hold.promise
    const needed = image.blobs.map((bytes) => ({ digest: sha256(bytes), length: bytes.length }))
    expect(await mirror.arriving(APP, needed)).toEqual(needed)
    expect(
      await mirror.here(
        APP,
        needed.map(({ digest }) => digest),
      ),
    ).toEqual([])
    const [, layer] = needed
    expect(await mirror.blobStat(APP, layer!.digest, 'pull')).toMatchObject(layer!)
    hold.resolve()
    const whole = mirror.readBlob(APP, layer!.digest, { start: 0, end: layer!.length }, NEVER)
    expect(await wholeOf(whole)).toEqual(image.blobs[1])
    for (const { digest } of needed) await mirror.whole(APP, digest, NEVER)
    expect(await mirror.arriving(APP, needed)).toEqual([])
    expect(
      await mirror.here(
        APP,
        needed.map(({ digest }) => digest),
      ),
    ).toHaveLength(2)
    expect(registry.count('blob')).toBe(2)
  })
})

describe('a blob', () => {
  const layer = sha256(image.blobs[1]!)

  it('that is here is read by whoever keeps pieces of it, whichever its repository is called', async () => {
    await origin.pushImage('team/mine', '1', newer)
    const pushed = sha256(newer.blobs[1]!)
    reads = []
    const range = { start: 1, end: 3 }
    for (const name of ['team/mine', 'shoal.test/team/mine'])
      expect(await wholeOf(mirror.readBlob(name, pushed, range, NEVER))).toEqual(
        newer.blobs[1]!.subarray(1, 3),
      )
    expect(reads).toEqual([
      [pushed, range],
      [pushed, range],
    ])
    await expect(wholeOf(mirror.readBlob('team/other', pushed, range, NEVER))).rejects.toMatchObject({
      code: 'BLOB_UNKNOWN',
    })
    expect(reads).toHaveLength(2)
  })

  it('is waited for no longer than its reader stays; it arrives all the same', async () => {
    const hold = Promise.withResolvers<void>()
    registry.fault = () => hold.promise
    const leaving = new AbortController()
    const waiting = mirror.whole(APP, layer, leaving.signal)
    await vi.waitFor(() => expect(registry.count('blob')).toBe(1))
    leaving.abort(new Error('the client left'))
    await expect(waiting).rejects.toThrow('the client left')
    hold.resolve()
    expect(await mirror.whole(APP, layer, NEVER)).toBe(true)
    expect(registry.count('blob')).toBe(1)
  })

  it('with wrong bytes is not there', async () => {
    registry.body = () => inChunks(patternBytes(5_000, 9))
    await expect(mirror.whole(APP, layer, NEVER)).rejects.toMatchObject({ code: 'UPSTREAM_INVALID' })
    expect(await mirror.blobStat(APP, layer, 'pull')).toBeUndefined()
    const reading = wholeOf(mirror.readBlob(APP, layer, { start: 0, end: 1 }, NEVER))
    await expect(reading).rejects.toMatchObject({ code: 'BLOB_UNKNOWN' })
    expect(await origin.keys()).toEqual([])
    expect(registry.count('blob')).toBe(1)
  })

  it('of another repository cannot be had by naming it in a manifest, until its registry shows it there', async () => {
    const secret = bytesOf('of a private repository')
    await origin.pushBlob('private/app', secret)
    const attack = imageOf('{}', secret)
    registry.push('evil/app', '1', attack.manifest)
    const name = `${HOST}/evil/app`
    const manifest = await mirror.manifest(name, tag('1'), 'pull')
    expect(manifest?.digest).toBe(attack.manifest.digest)
    expect(await mirror.whole(name, sha256(secret), NEVER)).toBe(false)
    expect(await mirror.here(name, [sha256(secret)])).toEqual([])
    expect(await mirror.blobStat(name, sha256(secret), 'pull')).toBeUndefined()
    const reading = wholeOf(mirror.readBlob(name, sha256(secret), { start: 0, end: 1 }, NEVER))
    await expect(reading).rejects.toMatchObject({ code: 'BLOB_UNKNOWN' })
    // A registry that has it itself learns nothing.
    registry.push('evil/app', '1', attack)
    later(REFUSED_MS)
    expect(await mirror.whole(name, sha256(secret), NEVER)).toBe(true)
  })
})

describe('whose a name is', () => {
  it('a registry that nobody allowed is not asked, and its names are ours', async () => {
    expect(await look('elsewhere.test/team/app')).toBeUndefined()
    expect(await mirror.blobStat('elsewhere.test/team/app', sha256('x'), 'pull')).toBeUndefined()
    expect(await mirror.tags('elsewhere.test/team/app', { tagsMax: 10 })).toBeUndefined()
    expect(registry.asked).toEqual([])
    expect(await pushTo('elsewhere.test/team/app', bytesOf('x'))).toMatchObject({ length: 1 })
  })

  it('under its own host the seeder has what was pushed to it', async () => {
    await origin.pushImage('team/mine', '1', newer)
    const layer = sha256(newer.blobs[1]!)
    for (const name of ['team/mine', 'shoal.test/team/mine']) {
      expect((await look(name))?.digest).toBe(newer.manifest.digest)
      expect(await mirror.blobStat(name, layer, 'look')).toMatchObject({ digest: layer })
      expect(await wholeOf(mirror.readBlob(name, layer, { start: 0, end: 2_000 }, NEVER))).toEqual(
        newer.blobs[1],
      )
      expect(await mirror.tags(name, { tagsMax: 10 })).toEqual({ tags: ['1'], more: false })
      expect(await mirror.hasRepository(name)).toBe(true)
    }
    expect(registry.asked).toEqual([])
  })

  it('what is pushed or deleted under the seeder’s own host is what is pulled there', async () => {
    const name = 'shoal.test/team/new'
    for (const bytes of newer.blobs) await pushTo(name, bytes)
    const { mediaType, bytes } = newer.manifest
    await mirror.push.putManifest(name, tag('1'), mediaType, bytes, [])
    for (const each of [name, 'team/new']) expect((await look(each))?.digest).toBe(newer.manifest.digest)
    const layer = sha256(newer.blobs[1]!)
    expect(await mirror.push.mountBlob('shoal.test/team/copy', layer, name)).toMatchObject({ digest: layer })
    expect(await mirror.blobStat('team/copy', layer, 'look')).toMatchObject({ digest: layer })
    expect(await mirror.remove.removeManifest(name, tag('1'))).toBe(true)
    expect(await mirror.remove.removeBlob(name, layer)).toBe(true)
    expect(await look('team/new')).toBeUndefined()
  })

  it('an upload is gone on with and cancelled under the name where it was begun', async () => {
    const name = 'shoal.test/team/new'
    const { id } = await mirror.push.startUpload(name, {})
    await mirror.push.appendUpload(name, id, inChunks(bytesOf('half')))
    expect(await mirror.push.uploadStatus(name, id)).toEqual({ id, received: 4 })
    await expect(mirror.push.uploadStatus(APP, id)).rejects.toMatchObject({ code: 'DENIED' })
    expect(await mirror.push.uploadStatus('team/other', id)).toBeUndefined()
    expect(await mirror.push.cancelUpload(name, id)).toBe(true)
    expect(await mirror.push.uploadStatus(name, id)).toBeUndefined()
  })

  it('a mirrored repository cannot be pushed to', async () => {
    const { mediaType, bytes } = image.manifest
    const pushes = [
      () => mirror.push.startUpload(APP, {}),
      () => mirror.push.mountBlob(APP, sha256('x'), undefined),
      () => mirror.push.putManifest(APP, tag('1'), mediaType, bytes, []),
    ]
    for (const push of pushes) await expect(push()).rejects.toMatchObject({ code: 'DENIED', status: 403 })
    expect(await origin.keys()).toEqual([])
    expect(registry.asked).toEqual([])
  })
})

describe('a default registry', () => {
  beforeEach(() => {
    mirror = mirrorOf({ defaultUpstream: HOST })
  })

  it('has what nobody pushed here, under its own name as well', async () => {
    expect((await look('team/app'))?.digest).toBe(image.manifest.digest)
    const layer = sha256(image.blobs[1]!)
    expect(await mirror.whole('team/app', layer, NEVER)).toBe(true)
    const whole = mirror.readBlob('team/app', layer, { start: 0, end: 5_000 }, NEVER)
    expect(await wholeOf(whole)).toEqual(image.blobs[1])
    goesAway()
    expect((await look(APP))?.digest).toBe(image.manifest.digest)
    expect(await mirror.here('team/app', [layer])).toEqual([layer])
  })

  it('has no part in a name that somebody pushed to', async () => {
    await origin.pushImage('team/app', 'mine', newer)
    expect((await look('team/app', tag('mine')))?.digest).toBe(newer.manifest.digest)
    expect(await look('team/app', tag('1'))).toBeUndefined()
    expect(await mirror.blobStat('team/app', sha256(image.blobs[1]!), 'pull')).toBeUndefined()
    expect(await mirror.tags('team/app', { tagsMax: 10 })).toEqual({ tags: ['mine'], more: false })
    expect((await mirror.referrers('team/app', image.manifest.digest, {})).referrers).toEqual([])
    expect(registry.asked).toEqual([])
  })

  it('is not asked whether it has a blob by somebody who is about to push', async () => {
    expect(await mirror.blobStat('team/app', sha256(image.blobs[1]!), 'look')).toBeUndefined()
    expect(registry.asked).toEqual([])
  })

  it('what came from it is not promised to somebody who is about to push: the push would lack it', async () => {
    const layer = sha256(image.blobs[1]!)
    expect(await mirror.whole('team/app', layer, NEVER)).toBe(true)
    expect(await mirror.blobStat('team/app', layer, 'look')).toBeUndefined()
    expect(await mirror.blobStat('team/app', layer, 'pull')).toMatchObject({ length: 5_000 })
    for (const bytes of image.blobs)
      if ((await mirror.blobStat('team/app', sha256(bytes), 'look')) === undefined)
        await pushTo('team/app', bytes)
    const { mediaType, bytes } = image.manifest
    await expect(mirror.push.putManifest('team/app', tag('1'), mediaType, bytes, [])).resolves.toMatchObject({
      digest: image.manifest.digest,
    })
  })

  it('can be pushed beside: the pushed one is served from then on', async () => {
    expect((await look('team/app'))?.digest).toBe(image.manifest.digest)
    await origin.pushImage('team/app', '1', newer)
    expect((await look('team/app'))?.digest).toBe(newer.manifest.digest)
    expect((await look(APP))?.digest).toBe(image.manifest.digest)
  })
})

describe('lists', () => {
  const referrer = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: sha256('signature'),
    size: 9,
    urls: [],
    artifactType: 'application/vnd.test.signature',
  }

  it('of tags are the other registry’s; while it is away, those that came from it', async () => {
    registry.tags.set('team/app', ['1', '2', '3'])
    expect(await mirror.tags(APP, { tagsMax: 10 })).toEqual({ tags: ['1', '2', '3'], more: false })
    await look()
    goesAway()
    expect(await mirror.tags(APP, { tagsMax: 10 })).toEqual({ tags: ['1'], more: false })
    expect(await mirror.tags(`${HOST}/team/unknown`, { tagsMax: 10 })).toBeUndefined()
  })

  it('of a repository that does not exist are none', async () => {
    expect(await mirror.tags(`${HOST}/team/none`, { tagsMax: 10 })).toBeUndefined()
  })

  it('of referrers are the other registry’s; while it is away, those that came from it', async () => {
    const subject = image.manifest.digest
    registry.referrers.set(subject, [referrer])
    expect(await mirror.referrers(APP, subject, {})).toEqual({ referrers: [referrer] })
    const { mediaType, digest, length } = image.manifest
    const signature = manifestOf(mediaType, {
      artifactType: referrer.artifactType,
      config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: sha256('{}'), size: 2 },
      layers: [],
      subject: { mediaType, digest, size: length },
    })
    registry.push('team/app', 'signature', signature)
    await look(APP, tag('signature'))
    goesAway()
    const kept = await mirror.referrers(APP, subject, {})
    expect(kept.referrers.map((each) => each.digest)).toEqual([signature.digest])
    expect((await mirror.referrers(APP, subject, { artifactType: 'other/type' })).referrers).toEqual([])
  })

  it('fail where it is not the other registry that failed', async () => {
    goesAway(new TypeError('a mistake of ours'))
    await expect(mirror.tags(APP, { tagsMax: 10 })).rejects.toThrow(TypeError)
    await expect(mirror.referrers(APP, image.manifest.digest, {})).rejects.toThrow(TypeError)
    await expect(look()).rejects.toThrow(TypeError)
  })
})

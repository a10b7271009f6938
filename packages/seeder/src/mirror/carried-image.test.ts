/**
 * Goal: every seeder carries the image for test pulls, from the first question on and whatever happens to it, and nobody can
 * put another in its place.
 * Method: the mirror over a folder, on time that the test sets.
 */
import { DOCTOR_REPOSITORY, DOCTOR_TAG, doctorImage, OciError } from '@shoal/oci'
import { patternBytes } from '@shoal/testing/content'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PublishError } from '../publishing/errors.ts'
import { planPublish } from '../publishing/publish-plan.ts'
import { FakeRegistry, upstreamsOf } from '../testing/fake-registry.ts'
import { type ImageOrigin, openOrigin, silent, wholeOf } from '../testing/image-origin.ts'
import { imageOf } from '../testing/images.ts'
import { BlobFetches } from './blob-fetches.ts'
import { Mirror } from './mirror.ts'

const NAMES = [DOCTOR_REPOSITORY, `shoal.test/${DOCTOR_REPOSITORY}`]
const HOUR_MS = 60 * 60 * 1000
const image = doctorImage()
const tag = { kind: 'tag', tag: DOCTOR_TAG } as const
const NEVER = new AbortController().signal

let origin: ImageOrigin
let fetches: BlobFetches
let mirror: Mirror
beforeEach(async () => {
  origin = await openOrigin()
  const { images, clock } = origin
  fetches = new BlobFetches({
    images,
    log: silent,
    onReceived: () => {},
    nowMs: () => Date.now(),
    arriving: { begin: async () => undefined },
  })
  const registry = new FakeRegistry('docker.io')
  registry.push(DOCTOR_REPOSITORY, DOCTOR_TAG, imageOf('{"of":"another"}', patternBytes(100)))
  mirror = new Mirror(
    {
      images,
      fetches,
      readContent: (...asked) => images.readContent(...asked),
      arriving: { find: () => undefined },
      upstreams: upstreamsOf(registry),
      log: silent,
      nowMs: () => clock.nowMs,
    },
    { ownHosts: ['shoal.test'], defaultUpstream: 'docker.io', tagTtlMs: 60_000 },
  )
})
afterEach(async () => {
  await fetches.stop()
  await origin[Symbol.asyncDispose]()
})

async function expectPullable(name = DOCTOR_REPOSITORY): Promise<void> {
  const manifest = await mirror.manifest(name, tag, 'pull')
  expect(manifest?.digest).toBe(image.manifest.digest)
  expect(Buffer.from(manifest!.bytes).equals(image.manifest.bytes)).toBe(true)
  for (const { digest, bytes } of image.blobs) {
    const read = await wholeOf(mirror.readBlob(name, digest, { start: 0, end: bytes.length }, NEVER))
    expect(read.equals(bytes)).toBe(true)
  }
}

describe('the image', () => {
  it('is not in an origin that nobody asked for it', async () => {
    await mirror.manifest('my/app', tag, 'pull')
    expect(await origin.keys()).toEqual([])
  })

  it.each(NAMES)(
    'is there when it is asked for as %s, although another registry has one of that name',
    async (name) => {
      await expectPullable(name)
    },
  )

  it('is pushed once for all who ask, at once or later', async () => {
    await Promise.all(Array.from({ length: 20 }, () => mirror.manifest(DOCTOR_REPOSITORY, tag, 'look')))
    const keys = await origin.keys()
    await mirror.manifest(DOCTOR_REPOSITORY, tag, 'pull')
    expect(await origin.keys()).toEqual(keys)
    expect(keys.filter((key) => key.startsWith('content/'))).toHaveLength(2)
  })

  it('stays when garbage is collected', async () => {
    await expectPullable()
    for (let day = 0; day < 4; day++) {
      origin.clock.nowMs += 25 * HOUR_MS
      await origin.images.collectGarbage({ isDryRun: false })
    }
    expect((await origin.keys('content/')).length).toBe(2)
    await expectPullable()
  })

  it.each<[string, () => Promise<unknown>]>([
    ['its tag', () => mirror.remove.removeManifest(DOCTOR_REPOSITORY, tag)],
    [
      'its manifest',
      () =>
        mirror.remove.removeManifest(DOCTOR_REPOSITORY, { kind: 'digest', digest: image.manifest.digest }),
    ],
    ['its configuration', () => mirror.remove.removeBlob(DOCTOR_REPOSITORY, image.blobs[0]!.digest)],
    ['its layer', () => mirror.remove.removeBlob(DOCTOR_REPOSITORY, image.blobs[1]!.digest)],
  ])('comes back after somebody deleted %s, and the garbage was collected', async (_what, remove) => {
    await expectPullable()
    expect(await remove()).toBe(true)
    for (let day = 0; day < 4; day++) {
      origin.clock.nowMs += 25 * HOUR_MS
      await origin.images.collectGarbage({ isDryRun: false })
    }
    await expectPullable()
  })

  it('that cannot be pushed is one that is not there, and nothing worse', async () => {
    const { startUpload } = origin.images
    origin.images.startUpload = async () => {
      throw new Error('the disk is full')
    }
    for (const name of NAMES) expect(await mirror.manifest(name, tag, 'pull')).toBeUndefined()
    origin.images.startUpload = startUpload
    await expectPullable()
  })

  it('is itself again after its tag came to mean something else', async () => {
    const other = imageOf('{"other":1}', patternBytes(50))
    await origin.pushImage(DOCTOR_REPOSITORY, DOCTOR_TAG, other)
    await expectPullable()
  })
})

describe('nobody else', () => {
  const denied = (doing: Promise<unknown>) =>
    expect(doing).rejects.toSatisfy((error) => error instanceof OciError && error.code === 'DENIED')

  it.each(NAMES)('can push anything to %s', async (name) => {
    const { manifest, blobs } = image
    await denied(mirror.push.startUpload(name, {}))
    await denied(mirror.push.mountBlob(name, blobs[0]!.digest, 'my/app'))
    await denied(mirror.push.putManifest(name, tag, manifest.mediaType, manifest.bytes, []))
  })

  it('can publish to it', () => {
    expect(() => planPublish('shoal/doctor:1', 'docker.io/library/alpine', [])).toThrow(PublishError)
    expect(() => planPublish('shoal.test/shoal/doctor', 'docker.io/x/y', ['shoal.test'])).toThrow('own')
    expect(planPublish('docker.io/shoal/doctor:1', undefined, []).name).toBe('docker.io/shoal/doctor')
  })
})

/**
 * Goal: what is attached to a manifest is found, what is deleted is gone at once, and neither touches anything else.
 * Method: the routes over real sockets, and the store behind them, key by key.
 */
import { MEDIA_TYPES } from '@shoal/oci'
import { sha256 } from '@shoal/testing/content'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  codeOf,
  pushBlob,
  pushImage,
  putManifest,
  type RegistryServer,
  startRegistry,
} from './testing/registry-server.ts'

let registry: RegistryServer
beforeEach(async () => {
  registry = await startRegistry()
})
afterEach(() => registry.close())

const send = (path: string, method = 'GET') => fetch(registry.url + path, { method })

/** An artifact that is attached to `subject`. */
async function attach(subject: string, artifactType: string, note: string, repository = 'app') {
  await pushBlob(registry.url, repository, '{}')
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    artifactType,
    config: { mediaType: MEDIA_TYPES.ociEmpty, digest: sha256('{}'), size: 2 },
    layers: [],
    subject: { mediaType: MEDIA_TYPES.ociManifest, digest: subject, size: 1 },
    annotations: { note },
  })
  const answer = await putManifest(registry.url, repository, sha256(manifest), manifest)
  expect(answer.status).toBe(201)
  expect(answer.headers.get('oci-subject')).toBe(subject)
  return { mediaType: MEDIA_TYPES.ociManifest, digest: sha256(manifest), size: manifest.length, manifest }
}

async function referrers(subject: string, query = '') {
  const answer = await send(`/v2/app/referrers/${subject}${query}`)
  expect(answer.status).toBe(200)
  expect(answer.headers.get('content-type')).toBe(MEDIA_TYPES.ociIndex)
  const index = (await answer.json()) as {
    schemaVersion: 2
    mediaType: string
    manifests: { digest: string }[]
  }
  expect(index).toMatchObject({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex })
  return { manifests: index.manifests, answer }
}

describe('referrers', () => {
  test('of an image, all or of one type; of what was never pushed there are none', async () => {
    const { digest } = await pushImage(registry.url, 'app', 'v1', 'layer')
    const { manifest: _, ...signature } = await attach(digest, 'application/x-signature', 'by me')
    await attach(digest, 'application/x-sbom', 'parts')
    const all = await referrers(digest)
    expect(all.manifests).toHaveLength(2)
    expect(all.manifests).toContainEqual({
      ...signature,
      artifactType: 'application/x-signature',
      annotations: { note: 'by me' },
    })
    expect(all.answer.headers.has('oci-filters-applied')).toBe(false)
    const some = await referrers(digest, '?artifactType=application/x-signature')
    expect(some.manifests.map((each) => each.digest)).toEqual([signature.digest])
    expect(some.answer.headers.get('oci-filters-applied')).toBe('artifactType')
    expect((await referrers(digest, '?artifactType=none')).manifests).toEqual([])
    const before = registry.objects.keys()
    expect((await referrers(sha256('nowhere'))).manifests).toEqual([])
    expect(await (await send(`/v2/never/heard/of/referrers/${digest}`)).json()).toMatchObject({
      manifests: [],
    })
    expect(registry.objects.keys()).toEqual(before)
  })

  test('may come before what they are attached to', async () => {
    const subject = sha256('later')
    const { digest } = await attach(subject, 'application/x', 'early')
    expect((await referrers(subject)).manifests.map((each) => each.digest)).toEqual([digest])
  })

  test('an image that is no artifact has the type of its configuration', async () => {
    await pushBlob(registry.url, 'app', '{}')
    const subject = sha256('subject')
    const manifest = JSON.stringify({
      schemaVersion: 2,
      config: { mediaType: MEDIA_TYPES.ociConfig, digest: sha256('{}'), size: 2 },
      layers: [],
      subject: { mediaType: MEDIA_TYPES.ociManifest, digest: subject, size: 1 },
    })
    await putManifest(registry.url, 'app', 'v1', manifest)
    expect((await referrers(subject)).manifests).toMatchObject([{ artifactType: MEDIA_TYPES.ociConfig }])
  })

  test('of manifests that were stored before there was an index are found as well', async () => {
    const { digest } = await pushImage(registry.url, 'app', 'v1', 'layer')
    const attached = await attach(digest, 'application/x', 'old')
    const { objects } = registry
    for (const key of objects.keys('repos/app/_referrers/')) objects.objects.delete(key)
    // The process that stored it is gone.
    await registry.close()
    registry = { ...(await startRegistry({ parts: { objects } })), objects }
    expect((await referrers(digest)).manifests.map((each) => each.digest)).toEqual([attached.digest])
    const { calls } = objects
    const listed = calls.list
    await referrers(digest)
    expect(calls.list).toBe(listed! + 1)
  })

  test('are paged', async () => {
    const subject = sha256('popular')
    const digests = new Set<string>()
    for (let n = 0; n < 120; n++) digests.add((await attach(subject, 'application/x', `${n}`)).digest)
    const seen: string[] = []
    let query = ''
    for (let pages = 0; pages < 3; pages++) {
      const { manifests, answer } = await referrers(subject, query)
      seen.push(...manifests.map((each) => each.digest))
      const link = answer.headers.get('link')
      if (link === null) break
      expect(link).toMatch(/^<\/v2\/app\/referrers\/.*>; rel="next"$/)
      query = link.slice(link.indexOf('?'), link.indexOf('>'))
    }
    expect(seen).toHaveLength(120)
    expect(new Set(seen)).toEqual(digests)
  })

  test('a digest or a parameter that is none is refused', async () => {
    expect((await send('/v2/app/referrers/latest')).status).toBe(400)
    expect((await send(`/v2/app/referrers/${sha256('')}?last=../x`)).status).toBe(400)
  })
})

describe('deletion', () => {
  test('of a tag leaves its manifest', async () => {
    const { digest } = await pushImage(registry.url, 'app', 'v1', 'layer')
    await putManifest(
      registry.url,
      'app',
      'v2',
      (await pushImage(registry.url, 'app', 'v2', 'layer')).manifest,
    )
    expect((await send('/v2/app/manifests/v1', 'DELETE')).status).toBe(202)
    expect((await send('/v2/app/manifests/v1')).status).toBe(404)
    expect((await send('/v2/app/manifests/v2')).status).toBe(200)
    expect((await send(`/v2/app/manifests/${digest}`)).status).toBe(200)
    expect(await codeOf(await send('/v2/app/manifests/v1', 'DELETE'))).toBe('MANIFEST_UNKNOWN')
    expect(await codeOf(await send('/v2/nobody/manifests/v1', 'DELETE'))).toBe('NAME_UNKNOWN')
  })

  test('of a manifest takes its tags with it, no others, and its place among referrers', async () => {
    const { digest, manifest } = await pushImage(registry.url, 'app', 'v1', 'layer')
    await putManifest(registry.url, 'app', 'latest', manifest)
    const other = await pushImage(registry.url, 'app', 'other', 'another layer')
    const attached = await attach(other.digest, 'application/x', 'gone soon')
    expect((await send(`/v2/app/manifests/${digest}`, 'DELETE')).status).toBe(202)
    expect((await send(`/v2/app/manifests/${digest}`)).status).toBe(404)
    expect(await (await send('/v2/app/tags/list')).json()).toEqual({ name: 'app', tags: ['other'] })
    await send(`/v2/app/manifests/${attached.digest}`, 'DELETE')
    expect((await referrers(other.digest)).manifests).toEqual([])
  })

  test('of a blob takes it from this repository only', async () => {
    const digest = await pushBlob(registry.url, 'app', 'bytes')
    await pushBlob(registry.url, 'other', 'bytes')
    expect((await send(`/v2/app/blobs/${digest}`, 'DELETE')).status).toBe(202)
    for (const method of ['HEAD', 'GET', 'DELETE'])
      expect((await send(`/v2/app/blobs/${digest}`, method)).status).toBe(404)
    // Deleted in one repository it stays so, whoever reads it in another.
    expect(await (await send(`/v2/other/blobs/${digest}`)).text()).toBe('bytes')
    expect((await send(`/v2/app/blobs/${digest}`)).status).toBe(404)
  })

  test('can be switched off, for tags too', async () => {
    const kept = await startRegistry({ plugin: { allowDelete: false } })
    const { digest, layerDigests } = await pushImage(kept.url, 'app', 'v1', 'layer')
    for (const path of ['manifests/v1', `manifests/${digest}`, `blobs/${layerDigests[0]}`]) {
      const answer = await fetch(`${kept.url}/v2/app/${path}`, { method: 'DELETE' })
      expect(answer.status).toBe(405)
      expect(await codeOf(answer)).toBe('UNSUPPORTED')
      expect((await fetch(`${kept.url}/v2/app/${path}`)).status).toBe(200)
    }
    await kept.close()
  })
})

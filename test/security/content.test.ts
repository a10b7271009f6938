/**
 * Goal: whoever knows a digest knows a digest: what a repository has is read in that repository, and what was deleted there
 * is gone there. Method: a seeder and an agent by plain HTTP; two repositories that share bytes.
 */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildImage, mediaTypes } from '../support/images.ts'
import { fileLayer } from '../support/layers.ts'
import {
  type LocalSeeder,
  type LocalService,
  startLocalAgent,
  startLocalSeeder,
} from '../support/local-services.ts'
import { pullImage, pushBlob, pushImage } from '../support/push.ts'

const layerOf = (content: string | Uint8Array) => fileLayer([{ path: 'a', content }])
const secret = buildImage({ layers: [await layerOf(randomBytes(400_000))] })
const shared = await layerOf(randomBytes(200_000))
const other = buildImage({ layers: [shared], env: ['A=1'] })
const another = buildImage({ layers: [shared], env: ['B=2'] })
const [secretLayer] = secret.layers as [(typeof secret.layers)[0]]

const status = async (url: string, init?: RequestInit) => {
  const answer = await fetch(url, init)
  await answer.arrayBuffer()
  return answer.status
}

describe('a digest', () => {
  let seeder: LocalSeeder
  let agent: LocalService
  beforeAll(async () => {
    seeder = await startLocalSeeder()
    agent = await startLocalAgent(seeder.url)
    await pushImage(seeder.url, 'private/a', '1', secret)
    await pushImage(seeder.url, 'public/b', '1', other)
  })
  afterAll(async () => {
    await agent?.stop()
    await seeder?.stop()
  })

  it.each(['GET', 'HEAD'])('of another repository reads nothing from the seeder: %s', async (method) => {
    for (const { digest } of [secret.config, secretLayer])
      expect(await status(`${seeder.url}/v2/public/b/blobs/${digest}`, { method })).toBe(404)
    const { digest } = secret.manifest
    expect(await status(`${seeder.url}/v2/public/b/manifests/${digest}`, { method })).toBe(404)
  })

  it('of another repository is resolved by nobody', async () => {
    for (const query of [{ blob: secretLayer.digest }, { reference: secret.manifest.digest }]) {
      const search = new URLSearchParams({ repository: 'public/b', peerId: 'ab'.repeat(20), ...query })
      expect(await status(`${seeder.url}/api/v1/resolve?${search}`)).toBe(404)
    }
  })

  it('of another repository reads nothing from an agent that has it', async () => {
    await pullImage(agent.url, 'private/a', '1')
    await pullImage(agent.url, 'public/b', '1')
    for (const method of ['GET', 'HEAD']) {
      for (const repository of ['public/b', 'nobody/c']) {
        const { digest } = secret.manifest
        expect(await status(`${agent.url}/v2/${repository}/manifests/${digest}`, { method })).toBe(404)
        for (const blob of [secret.config, secretLayer])
          expect(
            await status(`${agent.url}/v2/${repository}/blobs/${blob.digest}`, { method }),
            `${method} ${repository}`,
          ).toBe(404)
      }
    }
    expect(await status(`${agent.url}/v2/private/a/blobs/${secretLayer.digest}`)).toBe(200)
  })

  it('in a manifest of another repository is a blob that is missing there', async () => {
    const put = await fetch(`${seeder.url}/v2/public/b/manifests/stolen`, {
      method: 'PUT',
      headers: { 'content-type': mediaTypes.oci.manifest },
      body: Buffer.from(secret.manifest.bytes),
    })
    expect(put.status).toBe(400)
    expect(await put.text()).toContain('MANIFEST_BLOB_UNKNOWN')
    expect(await status(`${seeder.url}/v2/public/b/blobs/${secretLayer.digest}`)).toBe(404)
  })

  it('in an index of another repository leads to nothing', async () => {
    const index = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: mediaTypes.oci.index,
        manifests: [
          {
            mediaType: mediaTypes.oci.manifest,
            digest: secret.manifest.digest,
            size: secret.manifest.bytes.length,
            platform: secret.platform,
          },
        ],
      }),
    )
    const put = await fetch(`${seeder.url}/v2/public/b/manifests/index`, {
      method: 'PUT',
      headers: { 'content-type': mediaTypes.oci.index },
      body: index,
    })
    expect(put.status).toBe(201)
    for (const url of [seeder.url, agent.url])
      await expect(pullImage(url, 'public/b', 'index')).rejects.toMatchObject({ status: 404 })
    const platform = `linux/${secret.platform.architecture}`
    const query = new URLSearchParams({
      repository: 'public/b',
      reference: 'index',
      platform,
      peerId: 'ab'.repeat(20),
    })
    const answer = await fetch(`${seeder.url}/api/v1/resolve?${query}`)
    expect(Buffer.from(await answer.arrayBuffer()).includes(secretLayer.digest.slice(7))).toBe(false)
  })
})

describe('what was deleted in one repository', () => {
  let seeder: LocalSeeder
  beforeAll(async () => {
    seeder = await startLocalSeeder()
    await pushImage(seeder.url, 'team/a', '1', other)
    await pushImage(seeder.url, 'team/b', '1', another)
  })
  afterAll(() => seeder?.stop())

  it('stays gone after another has read it, looked at it, mounted it and pushed it', async () => {
    const inA = `${seeder.url}/v2/team/a/blobs/${shared.digest}`
    const inB = `${seeder.url}/v2/team/b/blobs/${shared.digest}`
    expect(await status(inA)).toBe(200)
    expect(await status(inA, { method: 'DELETE' })).toBe(202)
    const isGone = async () => {
      for (const method of ['GET', 'HEAD', 'DELETE']) expect(await status(inA, { method }), method).toBe(404)
    }
    await isGone()
    for (const method of ['GET', 'HEAD']) expect(await status(inB, { method })).toBe(200)
    await isGone()
    const mount = `${seeder.url}/v2/team/c/blobs/uploads/?mount=${shared.digest}&from=`
    expect(await status(`${mount}team/a`, { method: 'POST' })).toBe(202)
    expect(await status(`${mount}team/b`, { method: 'POST' })).toBe(201)
    await isGone()
    await pushBlob(seeder.url, 'team/d', shared)
    await isGone()
    const query = new URLSearchParams({ repository: 'team/a', blob: shared.digest })
    expect(await status(`${seeder.url}/api/v1/resolve?${query}`)).toBe(404)
    // Its manifest has not become a way to it.
    expect(await status(`${seeder.url}/v2/team/a/manifests/1`)).toBe(200)
    await isGone()
  })

  it('as a manifest takes its tags along, and stays gone as well', async () => {
    const byDigest = `${seeder.url}/v2/team/a/manifests/${other.manifest.digest}`
    expect(await status(byDigest, { method: 'DELETE' })).toBe(202)
    expect(await status(`${seeder.url}/v2/team/a/manifests/1`)).toBe(404)
    await pushImage(seeder.url, 'team/e', '1', other)
    expect(await status(`${seeder.url}/v2/team/e/manifests/1`)).toBe(200)
    expect(await status(byDigest)).toBe(404)
    expect(await status(`${seeder.url}/v2/team/a/manifests/1`)).toBe(404)
  })
})

describe('where nothing may be deleted', () => {
  it.each([false, true])('tags, manifests and blobs stay (by way of an agent: %s)', async (byAgent) => {
    await using seeder = await startLocalSeeder({ allowDelete: false })
    await using agent = await startLocalAgent(seeder.url, { forwardPushes: true })
    const { url } = byAgent ? agent : seeder
    await pushImage(seeder.url, 'team/a', '1', other)
    for (const path of ['manifests/1', `manifests/${other.manifest.digest}`, `blobs/${shared.digest}`]) {
      const answer = await fetch(`${url}/v2/team/a/${path}`, { method: 'DELETE' })
      expect(answer.status, path).toBe(405)
      expect(await answer.text()).toContain('UNSUPPORTED')
    }
    expect((await pullImage(seeder.url, 'team/a', '1')).digest).toBe(other.manifest.digest)
    // An upload of one's own is not deleted by giving it up.
    const begun = await fetch(`${url}/v2/team/a/blobs/uploads/`, { method: 'POST' })
    expect(await status(new URL(begun.headers.get('location')!, url).href, { method: 'DELETE' })).toBe(204)
  })

  it('an agent that forwards no pushes deletes nothing either', async () => {
    await using seeder = await startLocalSeeder()
    await using agent = await startLocalAgent(seeder.url)
    await pushImage(seeder.url, 'team/a', '1', other)
    await pullImage(agent.url, 'team/a', '1')
    for (const path of ['manifests/1', `manifests/${other.manifest.digest}`, `blobs/${shared.digest}`])
      expect(await status(`${agent.url}/v2/team/a/${path}`, { method: 'DELETE' })).toBe(405)
    expect((await pullImage(seeder.url, 'team/a', '1')).digest).toBe(other.manifest.digest)
  })
})

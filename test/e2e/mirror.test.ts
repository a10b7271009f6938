/**
 * Goal: images of other registries come through the seeder, once for the cluster, and nothing that their registry does makes
 * a client wait in vain or get something wrong.
 * Method: another seeder as the other registry (and Debian's, where it is there), behind a proxy that counts and
 * misbehaves; agents as processes, asked as containerd and podman ask a mirror.
 */

import { startTestProxy } from '@shoal/testing/http-proxy'
import { describe, expect, it } from 'vitest'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { describeWith } from '../support/describe-with.ts'
import { startDockerRegistry } from '../support/docker-registry.ts'
import { buildImage, buildIndex, mediaTypes } from '../support/images.ts'
import { randomLayers } from '../support/layers.ts'
import { pullImage, pushBlob, pushImage, pushIndex, pushManifest } from '../support/push.ts'
import { startUpstreamProxy, type UpstreamProxy } from '../support/upstream-proxy.ts'

const HOST = 'registry.test:5000'
const MIRRORED = 'registry.test_5000/team/app'
const image = buildImage({
  layers: await randomLayers({ count: 2, contentBytes: 3_000_000, seed: 'mirror' }),
})
const other = buildImage({ layers: await randomLayers({ count: 1, contentBytes: 100_000, seed: 'newer' }) })

interface World extends AsyncDisposable {
  readonly upstream: Cluster
  readonly proxy: UpstreamProxy
  readonly cluster: Cluster
}

async function startWorld(agents: number, seederArgs: readonly string[] = []): Promise<World> {
  const upstream = await startCluster({ agents: 0 })
  const proxy = await startUpstreamProxy(upstream.seeder.url)
  const cluster = await startCluster({
    agents,
    seederArgs: ['--upstreams', `${HOST}=${proxy.url}`, ...seederArgs],
    agentArgs: ['--tag-ttl-ms', '0'],
  })
  return {
    upstream,
    proxy,
    cluster,
    async [Symbol.asyncDispose]() {
      await cluster.stop()
      await proxy[Symbol.asyncDispose]()
      await upstream.stop()
    },
  }
}

const blobsAsked = ({ asked }: UpstreamProxy) =>
  asked.filter(({ method, path }) => method === 'GET' && path.includes('/blobs/'))
const ask = (url: string, init?: RequestInit) => fetch(url, init)

describe('an image of another registry', () => {
  it('comes once for three agents, whether they name the registry by ns, in the path or before /v2/', async () => {
    await using world = await startWorld(3)
    const { upstream, proxy, cluster } = world
    await pushImage(upstream.seeder.url, 'team/app', '1', image)
    const [a, b, c] = cluster.agents.map(({ url }) => url)
    const asked = await Promise.all([
      ask(`${a}/v2/team/app/manifests/1?ns=${HOST}`),
      ask(`${b}/v2/${HOST}/team/app/manifests/1`),
      ask(`${c}/${HOST}/v2/team/app/manifests/1`),
    ])
    for (const answer of asked) {
      expect(answer.status).toBe(200)
      expect(answer.headers.get('docker-content-digest')).toBe(image.manifest.digest)
    }
    const pulled = await Promise.all(cluster.agents.map(({ url }) => pullImage(url, MIRRORED, '1')))
    for (const { digest } of pulled) expect(digest).toBe(image.manifest.digest)
    // The configuration and two layers; a range of one byte would tell of a blob that came another way.
    expect(blobsAsked(proxy)).toHaveLength(3)
    for (const agent of cluster.agents) expect((await agent.received()).origin).toBe(0)
  }, 120_000)

  it('is waited for while the seeder still receives it', async () => {
    await using world = await startWorld(2)
    const { upstream, proxy, cluster } = world
    await pushImage(upstream.seeder.url, 'team/app', '1', image)
    const hold = proxy.holdBlobs()
    const pulling = Promise.all(cluster.agents.map(({ url }) => pullImage(url, MIRRORED, '1')))
    await hold.asked
    // Who has the manifest knows its length before it is here.
    expect((await ask(`${cluster.agents[0]!.url}/v2/${MIRRORED}/manifests/1`)).status).toBe(200)
    const layer = image.layers[0]!
    const url = `${cluster.agents[0]!.url}/v2/${MIRRORED}/blobs/${layer.digest}`
    // The other agent may have been the one that asked: this one has a blob when it has a manifest that names it.
    await expect
      .poll(
        async () => {
          const head = await ask(url, { method: 'HEAD' })
          return [head.status, Number(head.headers.get('content-length'))]
        },
        { timeout: 10_000 },
      )
      .toEqual([200, layer.sizeBytes])
    hold.go()
    for (const { digest } of await pulling) expect(digest).toBe(image.manifest.digest)
  }, 120_000)

  it('of many platforms: each node gets its own', async () => {
    await using world = await startWorld(1)
    const elsewhere = buildImage({
      architecture: image.platform.architecture === 'arm64' ? 'amd64' : 'arm64',
      layers: other.layers,
    })
    const index = buildIndex([elsewhere, image])
    await pushIndex(world.upstream.seeder.url, 'team/app', 'multi', index)
    const pulled = await pullImage(world.cluster.agents[0]!.url, MIRRORED, 'multi')
    expect(pulled.digest).toBe(image.manifest.digest)
  }, 120_000)

  it('that is no image, a build cache whose manifests are blobs, gives its blobs; null is nothing', async () => {
    await using world = await startWorld(1)
    const { upstream, proxy, cluster } = world
    for (const blob of image.blobs) await pushBlob(upstream.seeder.url, 'team/app', blob)
    const [layer] = image.layers
    const entry = { digest: layer!.digest, size: layer!.sizeBytes, mediaType: mediaTypes.oci.layer }
    const config = { digest: image.config.digest, size: image.config.sizeBytes, mediaType: '' }
    const documents = {
      cache: { mediaType: mediaTypes.oci.index, manifests: [entry] },
      bare: { mediaType: mediaTypes.oci.manifest, config, layers: null, subject: null },
    }
    for (const [tag, { mediaType, ...rest }] of Object.entries(documents)) {
      const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...rest }))
      await pushManifest(upstream.seeder.url, 'team/app', tag, { mediaType, bytes, digest: '' })
      const answer = await ask(`${cluster.agents[0]!.url}/v2/${MIRRORED}/manifests/${tag}`)
      expect([answer.status, await answer.text()]).toEqual([200, bytes.toString()])
    }
    // Nobody wanted the cached layer yet.
    expect(blobsAsked(proxy).filter(({ path }) => path.includes(layer!.digest))).toEqual([])
    const blob = await ask(`${cluster.agents[0]!.url}/v2/${MIRRORED}/blobs/${layer!.digest}`)
    expect((await blob.arrayBuffer()).byteLength).toBe(layer!.sizeBytes)
  }, 120_000)

  it('that is cut in the middle is gone on with, and one with wrong bytes is not served', async () => {
    await using world = await startWorld(1)
    const { upstream, proxy, cluster } = world
    await pushImage(upstream.seeder.url, 'team/app', '1', image)
    await pushImage(upstream.seeder.url, 'team/app', 'bad', other)
    proxy.misbehaviour = { cutAfterBytes: 1_000_000 }
    const [agent] = cluster.agents
    expect((await pullImage(agent!.url, MIRRORED, '1')).digest).toBe(image.manifest.digest)
    proxy.misbehaviour = 'wrong-bytes'
    await expect(pullImage(agent!.url, MIRRORED, 'bad')).rejects.toThrow()
  }, 120_000)
})

describe('a tag of another registry', () => {
  it('moves with it, is served as it was while the registry is away and says so, and goes with it', async () => {
    await using world = await startWorld(1, ['--upstream-tag-ttl-ms', '0'])
    const { upstream, proxy, cluster } = world
    const manifest = () => ask(`${cluster.agents[0]!.url}/v2/team/app/manifests/1?ns=${HOST}`)
    const means = async () => (await manifest()).headers.get('docker-content-digest')
    await pushImage(upstream.seeder.url, 'team/app', '1', image)
    expect(await means()).toBe(image.manifest.digest)
    await pushImage(upstream.seeder.url, 'team/app', '1', other)
    expect(await means()).toBe(other.manifest.digest)
    proxy.misbehaviour = 'away'
    const stale = await manifest()
    expect(stale.status).toBe(200)
    expect(stale.headers.get('docker-content-digest')).toBe(other.manifest.digest)
    expect(stale.headers.get('warning')).toMatch(/^299 - ".*out of date"$/)
    proxy.misbehaviour = 'none'
    await ask(`${upstream.seeder.url}/v2/team/app/manifests/1`, { method: 'DELETE' })
    expect((await manifest()).status).toBe(404)
  }, 120_000)

  it('that does not exist is a fast miss, asked for once by many', async () => {
    await using world = await startWorld(2)
    const begunAt = performance.now()
    const misses = await Promise.all(
      world.cluster.agents.flatMap(({ url }) =>
        Array.from({ length: 5 }, () => ask(`${url}/v2/team/nothing/manifests/1?ns=${HOST}`)),
      ),
    )
    for (const { status } of misses) expect(status).toBe(404)
    expect(performance.now() - begunAt).toBeLessThan(3_000)
    // A HEAD and, where that says nothing, a GET.
    expect(world.proxy.asked.length).toBeLessThanOrEqual(2)
  }, 120_000)

  it('of a manifest that cannot be used is a miss, for which nobody blames the seeder; its log says why', async () => {
    await using world = await startWorld(1)
    const body = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.oci.manifest, layers: [null] })
    const headers = { 'content-type': mediaTypes.oci.manifest }
    world.proxy.misbehaviour = { status: 200, headers, body }
    const { agents, seeder } = world.cluster
    const answer = await ask(`${agents[0]!.url}/v2/team/app/manifests/1?ns=${HOST}`)
    expect(answer.status).toBe(404)
    expect(agents[0]!.process.lines.join()).not.toContain('seeder-unavailable')
    await seeder.process.waitForLine((line) => line.includes('upstream-failed'), 10_000)
    const warned = seeder.process.lines.filter((line) => line.includes('upstream-failed'))
    expect(warned).toHaveLength(1)
    expect(JSON.parse(warned[0]!)).toMatchObject({ level: 40, reason: expect.stringContaining('config') })
    expect(seeder.process.lines.join()).not.toMatch(/"level":[56]0/)
  }, 120_000)

  it('of a registry that limits requests is a miss, never a 429', async () => {
    await using world = await startWorld(1)
    world.proxy.misbehaviour = { status: 429, headers: { 'retry-after': '60' } }
    const [agent] = world.cluster.agents
    const answer = await ask(`${agent!.url}/v2/team/app/manifests/1?ns=${HOST}`)
    expect(answer.status).toBe(404)
    // And who reads it need not look at the seeder, which is well.
    expect(await answer.text()).toContain('its rate limit is used up')
    expect(agent!.process.lines.join()).not.toContain('seeder-unavailable')
  }, 120_000)
})

describe('through an HTTP proxy', () => {
  it('other registries are asked; the seeder and other agents are not', async () => {
    await using upstream = {
      cluster: await startCluster({ agents: 0 }),
      [Symbol.asyncDispose]: () => upstream.cluster.stop(),
    }
    await pushImage(upstream.cluster.seeder.url, 'team/app', '1', image)
    await using proxy = await startTestProxy({
      names: { [HOST]: new URL(upstream.cluster.seeder.url).host },
      login: 'robot:s3cret',
    })
    const url = proxy.url.replace('//', '//robot:s3cret@')
    const cluster = await startCluster({
      agents: 2,
      seederArgs: ['--upstreams', `${HOST}=http://${HOST}`],
      env: { HTTP_PROXY: url, https_proxy: url, NO_PROXY: 'elsewhere.test' },
    })
    try {
      const pulled = await Promise.all(cluster.agents.map((agent) => pullImage(agent.url, MIRRORED, '1')))
      for (const { digest } of pulled) expect(digest).toBe(image.manifest.digest)
      expect(new Set(proxy.asked.map((line) => new URL(line.split(' ')[1]!).host))).toEqual(new Set([HOST]))
      for (const { process } of [cluster.seeder, ...cluster.agents]) {
        const told = process.lines.filter((line) => line.includes('"event":"proxy"'))
        expect(JSON.parse(told[0]!)).toMatchObject({
          http: proxy.url,
          https: proxy.url,
          noProxy: ['elsewhere.test'],
        })
        expect(process.lines.join()).not.toMatch(/s3cret|cm9ib3Q6czNjcmV0/)
      }
    } finally {
      await cluster.stop()
    }
  }, 60_000)
})

describe('whom a name means', () => {
  it('a registry that nobody allowed is a miss that asks nobody', async () => {
    await using world = await startWorld(1)
    const hosts = ['localhost', '169.254.169.254', 'metadata.google.internal', '127.0.0.1:80', 'evil.test']
    for (const ns of hosts) {
      const answer = await ask(`${world.cluster.agents[0]!.url}/v2/team/app/manifests/1?ns=${ns}`)
      expect(answer.status).toBe(404)
    }
    expect(world.proxy.asked).toEqual([])
  }, 60_000)

  it('where the seeder listens, it is itself; who asks for a registry that it does not serve goes round, and that is told', async () => {
    await using world = await startWorld(1)
    const { seeder, agents } = world.cluster
    const [agent] = agents
    await pushImage(seeder.url, 'my/app', '1', other)
    const port = new URL(seeder.url).port
    for (const name of [`127.0.0.1:${port}`, `localhost:${port}`]) {
      const own = await ask(`${agent!.url}/v2/my/app/manifests/1?ns=${name}`)
      expect(own.headers.get('docker-content-digest')).toBe(other.manifest.digest)
    }
    for (let asked = 0; asked < 3; asked++)
      expect((await ask(`${agent!.url}/v2/my/app/manifests/1?ns=alias.corp:${port}`)).status).toBe(404)
    // Docker names no registry; one that is mirrored and has no such image is no reason to speak.
    await ask(`${agent!.url}/v2/library/alpine/manifests/3`)
    await ask(`${agent!.url}/v2/my/app/manifests/1?ns=${HOST}`)
    await agent!.process.waitForLine((line) => line.includes('"registry-unserved"'), 10_000)
    const told = agent!.process.lines.filter((line) => line.includes('"registry-unserved"'))
    expect(told.map((line) => JSON.parse(line).registry)).toEqual([`alias.corp:${port}`, 'docker.io'])
    const status = (await (await ask(`${agent!.url}/api/v1/status`)).json()) as Record<string, unknown>
    expect(status.unservedRegistries).toMatchObject([
      { registry: `alias.corp:${port}`, requests: 3 },
      { registry: 'docker.io', requests: 1 },
    ])
    const metrics = await (await ask(`${agent!.url}/metrics`)).text()
    expect(metrics).toContain(`shoal_agent_unserved_registry_requests_total{registry="alias.corp:${port}"} 3`)
  }, 60_000)

  it('the seeder’s own name means what was pushed to it; a default registry has what nobody pushed', async () => {
    await using world = await startWorld(1, ['--hosts', 'shoal.test', '--default-upstream', HOST])
    const { upstream, proxy, cluster } = world
    const agent = cluster.agents[0]!.url
    await pushImage(cluster.seeder.url, 'team/mine', '1', other)
    await pushImage(upstream.seeder.url, 'team/mine', '1', image)
    await pushImage(upstream.seeder.url, 'team/app', '1', image)
    const own = await ask(`${agent}/v2/team/mine/manifests/1?ns=shoal.test`)
    expect(own.headers.get('docker-content-digest')).toBe(other.manifest.digest)
    expect((await pullImage(agent, 'team/mine', '1')).digest).toBe(other.manifest.digest)
    expect(proxy.asked).toEqual([])
    expect((await pullImage(agent, 'team/app', '1')).digest).toBe(image.manifest.digest)
    expect((await ask(`${agent}/v2/team/mine/manifests/2`)).status).toBe(404)
  }, 120_000)

  it('a mirrored repository cannot be pushed to', async () => {
    await using world = await startWorld(0)
    const answer = await ask(`${world.cluster.seeder.url}/v2/${MIRRORED}/blobs/uploads/`, { method: 'POST' })
    expect(answer.status).toBe(403)
    expect(((await answer.json()) as { errors: { code: string }[] }).errors[0]!.code).toBe('DENIED')
  }, 60_000)
})

describeWith(['docker-registry'], 'Debian’s registry behind a mirror', () => {
  it('is mirrored, tags too', async () => {
    await using registry = await startDockerRegistry()
    await pushImage(registry.url, 'team/app', '1', image)
    await using cluster = await startCluster({
      agents: 2,
      seederArgs: ['--upstreams', `${HOST}=${registry.url}`],
    })
    for (const { url } of cluster.agents)
      expect((await pullImage(url, MIRRORED, '1')).digest).toBe(image.manifest.digest)
    const tags = await ask(`${cluster.agents[0]!.url}/v2/team/app/tags/list?ns=${HOST}`)
    expect(((await tags.json()) as { tags: string[] }).tags).toEqual(['1'])
  }, 120_000)
})

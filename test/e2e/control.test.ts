/**
 * Goal: CI and operators tell a seeder what to do, and it is done: images are published and warm, pushes elsewhere are
 * followed, garbage goes, and whoever shows no token or secret changes nothing.
 * Method: a seeder and agents as processes, another seeder as the registry that CI pushes to; the HTTP interface itself.
 */
import { createHmac } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { buildImage } from '../support/images.ts'
import { randomLayers } from '../support/layers.ts'
import { jsonEvent } from '../support/process.ts'
import { pullImage, pushBlob, pushImage } from '../support/push.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const HOST = 'registry.test:5000'
const MIRRORED = 'registry.test_5000/team/app'
const TOKEN = 'a-token-of-this-test'
const SECRET = 'a-secret-of-this-test'
const image = buildImage({
  layers: await randomLayers({ count: 2, contentBytes: 2_000_000, seed: 'publish' }),
})
const newer = buildImage({
  layers: await randomLayers({ count: 1, contentBytes: 200_000, seed: 'published later' }),
})

interface World extends AsyncDisposable {
  readonly upstream: Cluster
  readonly cluster: Cluster
}

async function startWorld(agents: number, seederArgs: readonly string[] = []): Promise<World> {
  const secrets = await temporaryFolder('secrets')
  const [tokenFile, secretsFile] = [join(secrets.path, 'token'), join(secrets.path, 'events')]
  await writeFile(tokenFile, `# the one of CI\n${TOKEN}\n`)
  await writeFile(secretsFile, `${SECRET}\n`)
  const upstream = await startCluster({ agents: 0 })
  const cluster = await startCluster({
    agents,
    seederArgs: [
      ...['--upstreams', `${HOST}=${upstream.seeder.url}`],
      ...['--api-token-file', tokenFile, '--event-secrets-file', secretsFile],
      ...seederArgs,
    ],
    agentArgs: ['--zone', 'eu-1'],
  })
  return {
    upstream,
    cluster,
    async [Symbol.asyncDispose]() {
      await cluster.stop()
      await upstream.stop()
      await secrets.remove()
    },
  }
}

const post = (url: string, body: unknown, headers: Record<string, string> = {}) =>
  fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
const authorization = { authorization: `Bearer ${TOKEN}` }

async function publish({ seeder }: Cluster, wish: object): Promise<Record<string, unknown>[]> {
  const answer = await post(`${seeder.url}/api/v1/publish`, { wait: true, ...wish }, authorization)
  expect(answer.status).toBe(200)
  const lines = (await answer.text()).split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line))
}

describe('publish', () => {
  it('copies an image, tells how far it is, and has nodes fetch it before anybody pulls', async () => {
    await using world = await startWorld(2)
    const { upstream, cluster } = world
    await pushImage(upstream.seeder.url, 'team/app', '1', image)
    const reference = `${HOST}/team/app:1`
    const lines = await publish(cluster, { references: [reference], warm: 'zone=eu-*' })
    expect(lines[0]).toMatchObject({ type: 'image', reference, digest: image.manifest.digest })
    const layerStates = lines.filter(({ type }) => type === 'layer').map(({ state }) => state)
    expect(layerStates.filter((state) => state === 'done')).toHaveLength(3)
    expect(lines.findLast(({ type }) => type === 'warm')).toMatchObject({ nodes: 2, ready: 2 })
    expect(lines.at(-2)).toMatchObject({ type: 'published', digest: image.manifest.digest, presentBytes: 0 })
    expect(lines.at(-1)).toEqual({ type: 'end', published: 1, failed: 0 })
    // Everything is there: nobody else is asked any more.
    await cluster.seeder.kill9()
    await upstream.seeder.kill9()
    for (const { url } of cluster.agents)
      expect((await pullImage(url, MIRRORED, '1')).digest).toBe(image.manifest.digest)
  }, 120_000)

  it('keeps what it published, whatever the other registry says later; from elsewhere under a name of ours', async () => {
    await using world = await startWorld(1, ['--upstream-tag-ttl-ms', '0'])
    const { upstream, cluster } = world
    await pushImage(upstream.seeder.url, 'team/app', '1', image)
    await publish(cluster, { references: [`${HOST}/team/app:1`] })
    await publish(cluster, { references: ['ours/app:1'], from: `${HOST}/team/app` })
    await pushImage(upstream.seeder.url, 'team/app', '1', newer)
    const agent = cluster.agents[0]!.url
    expect((await pullImage(agent, MIRRORED, '1')).digest).toBe(image.manifest.digest)
    expect((await pullImage(agent, 'ours/app', '1')).digest).toBe(image.manifest.digest)
    const again = await publish(cluster, { references: [`${HOST}/team/app:1`, 'ours/app:1'] })
    expect(again.filter(({ type }) => type === 'published')).toHaveLength(2)
    expect((await fetch(`${agent}/v2/${MIRRORED}/manifests/${newer.manifest.digest}`)).status).toBe(200)
  }, 120_000)

  it('says of each image what is wrong with it, and does the others', async () => {
    await using world = await startWorld(0)
    const { upstream, cluster } = world
    await pushImage(upstream.seeder.url, 'team/app', '1', newer)
    const references = [`${HOST}/team/app:none`, 'elsewhere.test/a:1', `${HOST}/team/app:1`, 'ours:none']
    const lines = await publish(cluster, { references })
    const failed = new Map(
      lines.filter(({ type }) => type === 'failed').map(({ reference, code }) => [reference, code]),
    )
    expect(Object.fromEntries(failed)).toEqual({
      [references[0]!]: 'PUBLISH_IMAGE_UNKNOWN',
      [references[1]!]: 'PUBLISH_REGISTRY_UNKNOWN',
      [references[3]!]: 'PUBLISH_IMAGE_UNKNOWN',
    })
    expect(lines.at(-1)).toEqual({ type: 'end', published: 1, failed: 3 })
    const [bad] = await publish(cluster, { references: [`${HOST}/team/app:1`], warm: 'rack=1' })
    expect(bad).toMatchObject({ type: 'failed', code: 'SEEDER_WARM_SELECTOR_INVALID' })
  }, 120_000)

  it('is refused without the token, and done later where nobody waits', async () => {
    await using world = await startWorld(0)
    const { upstream, cluster } = world
    const url = `${cluster.seeder.url}/api/v1/publish`
    const wish = { references: [`${HOST}/team/app:1`], wait: false }
    for (const headers of [{}, { authorization: 'Bearer wrong' }, { authorization: TOKEN }]) {
      const answer = await post(url, wish, headers as Record<string, string>)
      expect(answer.status).toBe(401)
      expect(((await answer.json()) as { code: string }).code).toBe('API_TOKEN_INVALID')
    }
    expect((await post(url, '{', authorization)).status).toBe(400)
    await pushImage(upstream.seeder.url, 'team/app', '1', newer)
    const accepted = await post(url, wish, authorization)
    expect(accepted.status).toBe(202)
    await cluster.seeder.process.waitForLine(jsonEvent('image-published'), 20_000)
    expect((await post(`${upstream.seeder.url}/api/v1/publish`, wish, authorization)).status).toBe(403)
  }, 120_000)
})

describe('a registry that tells of a push', () => {
  const event = (tag: string) => ({
    events: [
      {
        id: `event-${tag}`,
        timestamp: '2026-11-21T10:00:00Z',
        action: 'push',
        target: {
          mediaType: image.manifest.mediaType,
          digest: image.manifest.digest,
          repository: 'team/app',
          url: `http://${HOST}/v2/team/app/manifests/${image.manifest.digest}`,
          tag,
        },
      },
    ],
  })
  const told = (cluster: Cluster, body: unknown, headers: Record<string, string> = {}, query = '') =>
    post(`${cluster.seeder.url}/api/v1/events?registry=${HOST}${query}`, body, {
      'content-type': 'application/vnd.docker.distribution.events.v2+json',
      ...headers,
    })
  const secret = { authorization: `Bearer ${SECRET}` }

  it('is answered at once and followed, also when the seeder dies right after', async () => {
    await using world = await startWorld(1)
    const { upstream, cluster } = world
    await pushImage(upstream.seeder.url, 'team/app', '1', image)
    await upstream.seeder.stop()
    const answer = await told(cluster, event('1'), secret)
    expect(answer.status).toBe(202)
    expect(await answer.json()).toMatchObject({ added: 1 })
    await cluster.seeder.kill9()
    await upstream.seeder.start()
    await cluster.seeder.start()
    await cluster.seeder.process.waitForLine(jsonEvent('image-published'), 90_000)
    expect(await (await told(cluster, event('1'), secret)).json()).toMatchObject({ added: 0, known: 1 })
    await upstream.seeder.stop()
    expect((await pullImage(cluster.agents[0]!.url, MIRRORED, '1')).digest).toBe(image.manifest.digest)
  }, 180_000)

  it('must prove itself, by secret or signature, and its secret is in no log', async () => {
    await using world = await startWorld(0, ['--log-level', 'debug'])
    const { cluster } = world
    expect((await told(cluster, event('2'))).status).toBe(403)
    expect((await told(cluster, event('2'), { authorization: 'Bearer guess' })).status).toBe(403)
    const hub = { push_data: { tag: '2' }, repository: { repo_name: 'team/app' }, callback_url: '' }
    expect((await told(cluster, hub, {}, `&format=dockerhub&secret=${SECRET}`)).status).toBe(202)
    const github = JSON.stringify({ action: 'ping' })
    const signature = createHmac('sha256', SECRET).update(github).digest('hex')
    const headers = { 'x-github-event': 'ping', 'x-hub-signature-256': `sha256=${signature}` }
    expect((await told(cluster, github, headers, '&format=ghcr')).status).toBe(202)
    expect((await told(cluster, `${github} `, headers, '&format=ghcr')).status).toBe(403)
    expect((await told(cluster, 'not json', secret)).status).toBe(400)
    expect((await told(cluster, { events: [{ id: 1 }] }, secret)).status).toBe(400)
    const { lines } = cluster.seeder.process
    expect(lines.join()).toContain('format=dockerhub')
    expect(lines.join()).not.toContain(SECRET)
  }, 120_000)

  it('need not: what is watched is asked for again and again', async () => {
    await using world = await startWorld(0, ['--watch', `${HOST}/team/app:v*`, '--watch-interval-ms', '1000'])
    const { upstream, cluster } = world
    await pushImage(upstream.seeder.url, 'team/app', 'v1', newer)
    await pushImage(upstream.seeder.url, 'team/app', 'other', newer)
    const line = await cluster.seeder.process.waitForLine(jsonEvent('image-published'), 30_000)
    expect(JSON.parse(line)).toMatchObject({ name: MIRRORED, tag: 'v1', digest: newer.manifest.digest })
  }, 120_000)
})

describe('garbage', () => {
  it('is collected on demand, and by the schedule; what an image needs stays', async () => {
    await using world = await startWorld(0, ['--gc-grace-ms', '60000'])
    const { cluster } = world
    const { seeder } = cluster
    await pushImage(seeder.url, 'team/app', '1', image)
    await pushBlob(seeder.url, 'team/app', newer.layers[0]!)
    const collect = (query = '') => post(`${seeder.url}/api/v1/gc${query}`, {}, authorization)
    expect((await post(`${seeder.url}/api/v1/gc`, {})).status).toBe(401)
    const report = await (await collect('?dryRun=true')).json()
    expect(report).toMatchObject({
      isDryRun: true,
      manifests: 1,
      neededBlobs: 3,
      leasedBlobs: 1,
      removedBlobs: 0,
    })
    const both = await Promise.all([collect(), collect()])
    expect(both.map(({ status }) => status).toSorted()).toEqual([200, 409])
    expect((await fetch(`${seeder.url}/v2/team/app/manifests/1`)).status).toBe(200)
  }, 120_000)
})

describe('a push to an agent', () => {
  it('goes to the seeder where the operator allows it, and is refused otherwise', async () => {
    await using cluster = await startCluster({ agents: 1 })
    await expect(pushImage(cluster.agents[0]!.url, 'team/app', '1', newer)).rejects.toMatchObject({
      status: 405,
    })
    await using open = await startCluster({ agents: 2, agentArgs: ['--forward-pushes', 'true'] })
    const [first, second] = open.agents
    await pushImage(first!.url, 'team/app', '1', image)
    expect((await pullImage(second!.url, 'team/app', '1')).digest).toBe(image.manifest.digest)
    // What the node has itself says nothing of what the seeder has in another repository.
    await pullImage(first!.url, 'team/app', '1')
    await pushImage(first!.url, 'team/copy', '1', image)
    expect((await pullImage(second!.url, 'team/copy', '1')).digest).toBe(image.manifest.digest)
    await open.seeder.kill9()
    await vi.waitFor(() =>
      expect(pushImage(first!.url, 'team/late', '1', newer)).rejects.toMatchObject({ status: 503 }),
    )
  }, 120_000)
})

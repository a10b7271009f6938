/**
 * Goal: images of Docker Hub come to real clients through their node's agent, by the names that people write, each blob once
 * for the cluster; and where Shoal is away or has nothing, the client gets its answer elsewhere, at once.
 * Method: a registry of the test's own that the seeder mirrors as docker.io, behind a proxy that counts. The way to the real one
 * is closed and watched, so that what a client got can only have come from here.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Cluster, Node } from '../support/cluster.ts'
import { type Containerd, startContainerd } from '../support/containerd.ts'
import { startPodman, startSkopeo } from '../support/containers-image.ts'
import { describeWith } from '../support/describe-with.ts'
import {
  type DockerHubInit,
  type MirroredDockerHub,
  startMirroredDockerHub,
  startOwnDockerHub,
} from '../support/docker-hub.ts'
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts'
import { type Dockerd, startDockerd } from '../support/dockerd.ts'
import { buildImage, buildIndex, type Image, type Index } from '../support/images.ts'
import { randomLayer } from '../support/layers.ts'
import { pullImage, pushImage, pushIndex } from '../support/push.ts'
import { runnableImage } from '../support/runnable-image.ts'

const OFFICIAL = 'docker.io/library/app:1'
const HUB = 'registry-1.docker.io:443'
/** What a person takes for an answer and not for a hang; clients wait 30 s for a connection that nobody refuses. */
const PROMPT_MS = 5_000
/** How long an agent keeps the readers of a blob on its way after its seeder is gone. */
const ARRIVAL_HOPE_MS = 20_000
const FRESH_TAGS = {
  seederArgs: ['--upstream-tag-ttl-ms', '0'],
  agentArgs: ['--tag-ttl-ms', '0'],
}

let registry: Cluster
let official: Image
let organisations: Image
let multi: Index

beforeAll(async () => {
  registry = await startOwnDockerHub()
  official = await runnableImage({ args: ['official'] })
  organisations = await runnableImage({ args: ['of an organisation'], dialect: 'docker' })
  const elsewhere = buildImage({
    architecture: official.platform.architecture === 'arm64' ? 'amd64' : 'arm64',
    layers: [await randomLayer({ contentBytes: 1_500_000, seed: 'elsewhere' })],
  })
  multi = buildIndex([elsewhere, official])
  await pushOurs(registry.seeder.url)
})
afterAll(() => registry?.stop())

async function pushOurs(registryUrl: string): Promise<void> {
  await pushImage(registryUrl, 'library/app', '1', official)
  await pushImage(registryUrl, 'org/app', '1', organisations)
}

const startHub = (init: Omit<DockerHubInit, 'registryUrl'>) =>
  startMirroredDockerHub({ registryUrl: registry.seeder.url, ...init })

const onceEach = (image: Image) => image.blobs.map(() => 1)
const expectEachLeftOnce = (hub: MirroredDockerHub) => {
  expect(hub.timesLeft('library/app', official)).toEqual(onceEach(official))
  expect(hub.timesLeft('org/app', organisations)).toEqual(onceEach(organisations))
}
const bytesOfBlobs = ({ blobs }: Image) => blobs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)

/** All that this agent's clients got came to it from the swarm and nothing of it a second time. */
async function expectServed(agent: Node, image: Image): Promise<void> {
  const bytes = bytesOfBlobs(image)
  expect(await agent.metric('shoal_agent_served_bytes_total')).toBe(bytes)
  const received = await agent.received()
  expect(received).toMatchObject({ origin: 0, all: bytes })
}

async function failure(client: Promise<unknown>): Promise<{ message: string; durationMs: number }> {
  const begunAt = performance.now()
  const message = await client.then(
    () => 'it did not fail',
    (error: Error) => error.message,
  )
  return { message, durationMs: performance.now() - begunAt }
}

async function timed<T>(client: Promise<T>): Promise<number> {
  const begunAt = performance.now()
  await client
  return performance.now() - begunAt
}

describeWith(['containerd', 'ldd'], 'containerd', () => {
  it('pulls from three agents, each named in another way, and runs; each blob left Docker Hub once', async () => {
    await using hub = await startHub({ agents: 3 })
    await using stack = new AsyncDisposableStack()
    const nodes = await Promise.all(
      [
        { folder: 'docker.io', path: '' },
        { folder: 'docker.io', path: '/docker.io' },
        { folder: '_default', path: '' },
      ].map(async ({ folder, path }, i) => {
        const containerd = stack.use(await startContainerd())
        const agent = hub.cluster.agents[i]!
        await writeHosts(containerd, { folder, mirror: `${agent.url}${path}` })
        return { containerd, agent }
      }),
    )
    await Promise.all(nodes.map(({ containerd }) => pull(hub, containerd, OFFICIAL)))
    for (const { containerd, agent } of nodes) {
      expect((await containerd.run(OFFICIAL)).stdout.trim()).toBe('official')
      await expectServed(agent, official)
    }
    expect(hub.timesLeft('library/app', official)).toEqual(onceEach(official))
    expect(hub.outside.asked).toEqual([])
  })

  it('pulls its platform of an index, or all; a tag that moved is the new image', async () => {
    await using hub = await startHub({ agents: 1, ...FRESH_TAGS })
    await using containerd = await startContainerd()
    await writeHosts(containerd, { mirror: hub.cluster.agents[0]!.url })
    const name = 'docker.io/library/moving:latest'
    await pushIndex(registry.seeder.url, 'library/moving', 'latest', multi)
    await pull(hub, containerd, name)
    expect((await containerd.run(name)).stdout.trim()).toBe('official')
    const [elsewhere] = multi.images
    expect(hub.timesLeft('library/moving', elsewhere!)).toEqual([0, 0])
    await pull(hub, containerd, name, '--all-platforms')
    expect(await digestOf(containerd, name)).toBe(multi.manifest.digest)

    await pushImage(registry.seeder.url, 'library/moving', 'latest', organisations)
    await pull(hub, containerd, name)
    expect(await digestOf(containerd, name)).toBe(organisations.manifest.digest)
    expect((await containerd.run(name)).stdout.trim()).toBe('of an organisation')
    expect(hub.outside.asked).toEqual([])
  })

  it('goes on to the next host at once where Shoal has nothing, or its seeder or its agent is away', async () => {
    await using hub = await startHub({ agents: 1 })
    await using containerd = await startContainerd()
    const { seeder, agents } = hub.cluster
    const [agent] = agents
    await writeHosts(containerd, { mirror: agent!.url, server: hub.proxy.url })
    const nothing = await failure(pull(hub, containerd, 'docker.io/library/nothing:1'))
    expect(nothing.message).toContain('not found')
    expect(nothing.durationMs).toBeLessThan(PROMPT_MS)

    await seeder.stop()
    expect(await timed(pull(hub, containerd, OFFICIAL))).toBeLessThan(PROMPT_MS)
    await agent!.stop()
    expect(await timed(pull(hub, containerd, 'docker.io/org/app:1'))).toBeLessThan(PROMPT_MS)
    expect((await containerd.run('docker.io/org/app:1')).stdout.trim()).toBe('of an organisation')
  })
})

describeWith(['containerd', 'ldd'], 'containerd in the middle of a pull', () => {
  it('goes on at the next host when its agent is killed, and where that came back to a seeder that is away', async () => {
    await using hub = await startHub({
      agents: 1,
      seederArgs: ['--upload-bytes-per-second', '4000000'],
    })
    await using containerd = await startContainerd()
    const { seeder, agents } = hub.cluster
    const [agent] = agents
    await writeHosts(containerd, { mirror: agent!.url, server: hub.proxy.url })
    const data = randomBytes(12_000_000)
    const image = await runnableImage({ args: ['to its end'], files: [{ path: 'data', content: data }] })
    await pushImage(registry.seeder.url, 'library/large', '1', image)
    // The seeder has it whole, so that what the agent passes on comes slowly, and not all at once at the end.
    await pullImage(seeder.url, 'docker.io/library/large', '1')
    const pulling = pull(hub, containerd, 'docker.io/library/large:1')
    const served = () => agent!.metric('shoal_agent_served_bytes_total')
    const othersBytes = bytesOfBlobs(image) - image.layers[2]!.sizeBytes
    await expect.poll(served, { timeout: 20_000, interval: 20 }).toBeGreaterThan(othersBytes + 2_000_000)
    expect(await served()).toBeLessThan(bytesOfBlobs(image))
    await agent!.kill9()
    expect(await timed(pulling)).toBeLessThan(PROMPT_MS)
    expect((await containerd.run('docker.io/library/large:1')).stdout.trim()).toBe('to its end')

    // The agent knows the image and has a part of the layer, and there is nobody who could give it the rest.
    await seeder.kill9()
    await agent!.start()
    await using another = await startContainerd()
    await writeHosts(another, { mirror: agent!.url, server: hub.proxy.url })
    expect(await timed(pull(hub, another, 'docker.io/library/large:1'))).toBeLessThan(2 * PROMPT_MS)
    expect((await another.run('docker.io/library/large:1')).stdout.trim()).toBe('to its end')
  })

  it('gets what the seeder was still receiving from the next host when the seeder is killed', async () => {
    await using hub = await startHub({ agents: 1 })
    await using containerd = await startContainerd()
    const { seeder, agents } = hub.cluster
    await writeHosts(containerd, { mirror: agents[0]!.url, server: hub.proxy.url })
    const hold = hub.proxy.holdBlobs()
    const pulling = pull(hub, containerd, OFFICIAL)
    await hold.asked
    await seeder.kill9()
    hold.go()
    // It has the header of a layer: the agent hopes for the seeder's return before it cuts the body.
    expect(await timed(pulling)).toBeLessThan(ARRIVAL_HOPE_MS + 2 * PROMPT_MS)
    expect((await containerd.run(OFFICIAL)).stdout.trim()).toBe('official')
  })
})

describeWith(['podman', 'ldd'], 'podman', () => {
  it('pulls by full and short names through the mirror, and runs', async () => {
    await using hub = await startHub({ agents: 2 })
    for (const agent of hub.cluster.agents) {
      await using podman = await startPodman({ registries: registries(agent.host, 'docker.io') })
      const run = async (...args: string[]) =>
        (await podman.run(args, { env: hub.outside.environment })).stdout.trim()
      for (const [name, image, said] of [
        [OFFICIAL, official, 'official'],
        ['docker.io/org/app:1', organisations, 'of an organisation'],
        ['app:1', official, 'official'],
      ] as const) {
        await run('pull', '--quiet', name)
        expect(await run('image', 'inspect', '--format', '{{.Digest}}', name)).toBe(image.manifest.digest)
        expect(await run('run', '--rm', '--network', 'none', name)).toBe(said)
      }
      expect((await agent.received()).origin).toBe(0)
    }
    expectEachLeftOnce(hub)
    expect(hub.outside.asked).toEqual([])
  })

  it('asks the location itself where Shoal has nothing or is away, at once', async () => {
    await using hub = await startHub({ agents: 1 })
    const [agent] = hub.cluster.agents
    await using podman = await startPodman({ registries: registries(agent!.host, hub.proxy.host) })
    const get = (name: string) => podman.run(['pull', '--quiet', name], { env: hub.outside.environment })
    const nothing = await failure(get('docker.io/library/nothing:1'))
    expect(nothing.message).toMatch(/manifest unknown|name unknown/)
    expect(nothing.durationMs).toBeLessThan(PROMPT_MS)

    await hub.cluster.seeder.stop()
    expect(await timed(get(OFFICIAL))).toBeLessThan(PROMPT_MS)
    await agent!.stop()
    expect(await timed(get('docker.io/org/app:1'))).toBeLessThan(PROMPT_MS)
    expect(hub.outside.asked).toEqual([])
  })
})

describeWith(['skopeo', 'docker-registry', 'ldd'], 'skopeo, with Debian’s registry as Docker Hub', () => {
  let debians: DockerRegistry

  beforeAll(async () => {
    debians = await startDockerRegistry()
    await pushOurs(debians.url)
  })
  afterAll(() => debians?.stop())

  it('copies images, a whole index, and what a tag has become', async () => {
    await using hub = await startMirroredDockerHub({ agents: 2, registryUrl: debians.url, ...FRESH_TAGS })
    for (const agent of hub.cluster.agents) {
      await using skopeo = await startSkopeo({ registries: registries(agent.host, 'docker.io') })
      const copied = (name: string, ...flags: string[]) => copy(hub, skopeo, name, flags)
      expect(await copied(OFFICIAL)).toEqual(official.manifest.bytes)
      expect(await copied('app:1')).toEqual(official.manifest.bytes)
      expect(await copied('docker.io/org/app:1')).toEqual(organisations.manifest.bytes)
      await pushIndex(debians.url, 'library/moving', 'latest', multi)
      expect(await copied('moving', '--all')).toEqual(multi.manifest.bytes)
      await pushImage(debians.url, 'library/moving', 'latest', organisations)
      expect(await copied('moving')).toEqual(organisations.manifest.bytes)
    }
    expectEachLeftOnce(hub)
    expect(hub.outside.asked).toEqual([])
  })

  it('copies what the cluster has while Docker Hub refuses or is away, and hears of the rest at once', async () => {
    await using hub = await startMirroredDockerHub({ agents: 3, registryUrl: debians.url, ...FRESH_TAGS })
    const [first, ...others] = hub.cluster.agents
    const mirroredBy = ({ host }: Node) => startSkopeo({ registries: registries(host, 'docker.io') })
    await using skopeo = await mirroredBy(first!)
    expect(await copy(hub, skopeo, OFFICIAL)).toEqual(official.manifest.bytes)
    const troubles = [{ status: 429, headers: { 'retry-after': '60' } }, 'away'] as const
    for (const [i, trouble] of troubles.entries()) {
      hub.proxy.misbehaviour = trouble
      await using other = await mirroredBy(others[i]!)
      expect(await copy(hub, other, OFFICIAL)).toEqual(official.manifest.bytes)
      const byDigest = `docker.io/library/app@${official.manifest.digest}`
      expect(await copy(hub, other, byDigest)).toEqual(official.manifest.bytes)
      const { message, durationMs } = await failure(copy(hub, other, 'docker.io/org/app:1'))
      expect(message).toContain('registry-1.docker.io')
      expect(durationMs).toBeLessThan(PROMPT_MS)
    }
    expect(hub.timesLeft('library/app', official)).toEqual(onceEach(official))
  })
})

describeWith(['dockerd', 'ldd'], 'Docker Engine', () => {
  it('pulls through the agent as its mirror, and runs; a tag that moved is the new image', async () => {
    await using hub = await startHub({
      agents: 2,
      seederArgs: ['--default-upstream', 'docker.io', ...FRESH_TAGS.seederArgs],
      agentArgs: FRESH_TAGS.agentArgs,
    })
    const [first, second] = hub.cluster.agents
    await using engine = await startEngine(hub, [first!.url])
    const docker = dockerOf(engine)
    for (const [name, image, said] of [
      ['library/app:1', official, 'official'],
      ['org/app:1', organisations, 'of an organisation'],
    ] as const) {
      expect(await docker('pull', name)).toContain(`Digest: ${image.manifest.digest}`)
      expect(await docker('run', '--rm', '--network', 'none', name)).toBe(said)
    }
    await pushIndex(registry.seeder.url, 'library/moving', 'latest', multi)
    expect(await docker('pull', 'moving')).toContain(`Digest: ${multi.manifest.digest}`)
    await pushImage(registry.seeder.url, 'library/moving', 'latest', organisations)
    expect(await docker('pull', 'moving')).toContain(`Digest: ${organisations.manifest.digest}`)
    expect(await docker('run', '--rm', '--network', 'none', 'moving')).toBe('of an organisation')
    const byDigest = `library/app@${official.manifest.digest}`
    expect(await docker('pull', byDigest)).toContain(official.manifest.digest)
    // Another node, and a name that says the agent itself: the same image, of which nothing leaves Docker Hub again.
    expect(await docker('pull', `${second!.host}/library/app:1`)).toContain(official.manifest.digest)
    expectEachLeftOnce(hub)
    expect(hub.outside.asked).toEqual([])
  })

  it('turns to Docker Hub at once where the mirror has nothing or is away', async () => {
    await using hub = await startHub({ agents: 1, seederArgs: ['--default-upstream', 'docker.io'] })
    const [agent] = hub.cluster.agents
    await using engine = await startEngine(hub, [agent!.url])
    for (const stop of [async () => {}, () => hub.cluster.seeder.stop(), () => agent!.stop()]) {
      await stop()
      const asked = hub.outside.asked.length
      const { durationMs } = await failure(engine.docker(['pull', 'library/nothing:1']))
      expect(durationMs).toBeLessThan(PROMPT_MS)
      expect(hub.outside.asked.slice(asked)).toContain(HUB)
    }
  })

  it('pushes to the agent of its node what it pulled from there; another node pulls it', async () => {
    await using hub = await startHub({
      agents: 2,
      seederArgs: ['--default-upstream', 'docker.io'],
      agentArgs: ['--forward-pushes', 'true'],
    })
    await using engine = await startEngine(hub, [])
    const docker = dockerOf(engine)
    const [first, second] = hub.cluster.agents
    const local = `localhost:${first!.host.split(':')[1]}`
    await docker('pull', `${local}/org/app:1`)
    // Every layer is known to be in org/app there: a mount is asked for, of a repository that the seeder mirrors.
    await docker('tag', `${local}/org/app:1`, `${local}/team/app:1`)
    const digest = /digest: (sha256:[0-9a-f]{64})/.exec(await docker('push', `${local}/team/app:1`))?.[1]
    expect(digest).toBeDefined()
    await docker('tag', `${local}/org/app:1`, `${first!.host}/team/other:1`)
    await docker('push', `${first!.host}/team/other:1`)
    await docker('image', 'prune', '--all', '--force')
    for (const name of [`${second!.host}/team/app:1`, `${second!.host}/team/other:1`]) {
      expect(await docker('pull', name)).toContain(`Digest: ${digest}`)
      expect(await docker('run', '--rm', '--network', 'none', name)).toBe('of an organisation')
      await docker('rmi', '--force', name)
    }
    expect(hub.timesLeft('org/app', organisations)).toEqual(onceEach(organisations))
  })
})

// containerd.

/** Without a `server` the next host is the real Docker Hub. */
async function writeHosts(
  { hostsFolder }: Containerd,
  { folder = 'docker.io', mirror, server }: { folder?: string; mirror: string; server?: string },
): Promise<void> {
  const lines = [`[host."${mirror}"]`, '  capabilities = ["pull", "resolve"]']
  if (server !== undefined) lines.unshift(`server = "${server}"`)
  await mkdir(join(hostsFolder, folder))
  await writeFile(join(hostsFolder, folder, 'hosts.toml'), lines.join('\n'))
}

async function pull(
  { outside }: MirroredDockerHub,
  { ctr, hostsFolder }: Containerd,
  name: string,
  ...flags: string[]
): Promise<void> {
  await ctr(['images', 'pull', '--hosts-dir', hostsFolder, ...flags, name], { env: outside.environment })
}

async function digestOf({ ctr }: Containerd, name: string): Promise<string | undefined> {
  const { stdout } = await ctr(['images', 'list', `name==${name}`])
  return /sha256:[0-9a-f]{64}/.exec(stdout)?.[0]
}

// podman and skopeo.

/** @param location where docker.io is when the mirror does not have it */
function registries(mirror: string, location: string): string {
  return `unqualified-search-registries = ["docker.io"]
[[registry]]
prefix = "docker.io"
location = "${location}"
insecure = ${location !== 'docker.io'}
[[registry.mirror]]
location = "${mirror}/docker.io"
insecure = true
`
}

let copies = 0

/** @returns the manifest; skopeo has compared what it names with what it got */
async function copy(
  { outside }: MirroredDockerHub,
  skopeo: Awaited<ReturnType<typeof startSkopeo>>,
  name: string,
  flags: readonly string[] = [],
): Promise<Uint8Array> {
  copies += 1
  const folder = join(skopeo.folder, `copy-${copies}`)
  await skopeo.run(['copy', ...flags, `docker://${name}`, `dir:${folder}`], { env: outside.environment })
  return readFile(join(folder, 'manifest.json'))
}

// Docker Engine.

function startEngine(hub: MirroredDockerHub, registryMirrors: readonly string[]): Promise<Dockerd> {
  return startDockerd({ registryMirrors, env: hub.outside.environment })
}

function dockerOf(engine: Dockerd) {
  return async (...args: string[]) => (await engine.docker(args)).stdout.trim()
}

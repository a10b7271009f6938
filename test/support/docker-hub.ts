/**
 * A registry of the test's own that a seeder mirrors as docker.io, behind a proxy that counts; agents, and no way to the
 * real one.
 */
import { type Cluster, startCluster } from './cluster.ts'
import { startDockerRegistry } from './docker-registry.ts'
import type { Image } from './images.ts'
import { type Outside, startOutside } from './outside.ts'
import { startUpstreamProxy, type UpstreamProxy } from './upstream-proxy.ts'

export interface DockerHubInit {
  /** What plays Docker Hub; another seeder unless told. */
  readonly registry?: 'shoal' | 'docker-registry'
  readonly agents: number
  readonly seederArgs?: readonly string[]
  readonly agentArgs?: readonly string[]
}

export interface MirroredDockerHub extends AsyncDisposable {
  /** To push to: what tests do there is not counted. */
  readonly url: string
  /** To pull from, in Shoal's place. */
  readonly proxy: UpstreamProxy
  readonly cluster: Cluster
  readonly outside: Outside
  /** How often each blob of an image was fetched from that repository, those that nobody wanted too. */
  timesLeft(repository: string, image: Image): number[]
}

export async function startMirroredDockerHub(init: DockerHubInit): Promise<MirroredDockerHub> {
  await using stack = new AsyncDisposableStack()
  const outside = stack.use(await startOutside())
  const url = await startRegistry(stack, init.registry ?? 'shoal')
  const proxy = stack.use(await startUpstreamProxy(url))
  const cluster = stack.use(
    await startCluster({
      agents: init.agents,
      seederArgs: ['--upstreams', `docker.io=${proxy.url}`, ...(init.seederArgs ?? [])],
      agentArgs: init.agentArgs ?? [],
    }),
  )
  const parts = stack.move()
  return {
    url,
    proxy,
    cluster,
    outside,
    timesLeft: (repository, { blobs }) =>
      blobs.map(({ digest }) => {
        const blob = `/v2/${repository}/blobs/${digest}`
        return proxy.asked.filter(({ method, path }) => method === 'GET' && path === blob).length
      }),
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  }
}

async function startRegistry(
  stack: AsyncDisposableStack,
  kind: 'shoal' | 'docker-registry',
): Promise<string> {
  if (kind === 'docker-registry') return stack.use(await startDockerRegistry()).url
  // containerd says `?ns=docker.io` to whatever host it asks in the place of that one.
  return stack.use(await startCluster({ agents: 0, seederArgs: ['--hosts', 'docker.io'] })).seeder.url
}

/**
 * A cluster whose seeder mirrors a registry of the test's own as docker.io, through a proxy that counts; and no way to the
 * real one.
 */
import { type Cluster, startCluster } from './cluster.ts'
import type { Image } from './images.ts'
import { type Outside, startOutside } from './outside.ts'
import { startUpstreamProxy, type UpstreamProxy } from './upstream-proxy.ts'

export interface DockerHubInit {
  /** What plays Docker Hub: `http://127.0.0.1:PORT`. */
  readonly registryUrl: string
  readonly agents: number
  readonly seederArgs?: readonly string[]
  readonly agentArgs?: readonly string[]
}

export interface MirroredDockerHub extends AsyncDisposable {
  /** Where a client that goes past Shoal finds Docker Hub. */
  readonly proxy: UpstreamProxy
  readonly cluster: Cluster
  readonly outside: Outside
  /** How often each blob of an image was fetched from that repository, those that nobody wanted too. */
  timesLeft(repository: string, image: Image): number[]
}

export async function startMirroredDockerHub(init: DockerHubInit): Promise<MirroredDockerHub> {
  await using stack = new AsyncDisposableStack()
  const outside = stack.use(await startOutside())
  const proxy = stack.use(await startUpstreamProxy(init.registryUrl))
  const cluster = stack.use(
    await startCluster({
      agents: init.agents,
      seederArgs: ['--upstreams', `docker.io=${proxy.url}`, ...(init.seederArgs ?? [])],
      agentArgs: init.agentArgs ?? [],
    }),
  )
  const parts = stack.move()
  return {
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

/** Another seeder in the place of Docker Hub: containerd says `?ns=docker.io` to whatever host it asks instead. */
export function startOwnDockerHub(): Promise<Cluster> {
  return startCluster({ agents: 0, seederArgs: ['--hosts', 'docker.io'] })
}

/**
 * A seeder and some agents as processes on loopback, as a cluster runs them: each can be stopped, killed and started again
 * on its own address with its own folders.
 */
import { join } from 'node:path'
import { request } from 'undici'
import { freePort } from './free-port.ts'
import { type ShoalProcess, startShoal } from './shoal.ts'
import { temporaryFolder } from './temporary-folder.ts'

export interface ClusterInit {
  readonly agents: number
  /** A folder of the cluster's own unless told. */
  readonly origin?: string
  readonly seederArgs?: readonly string[]
  readonly agentArgs?: readonly string[]
  /** Credentials for the origin, say. */
  readonly env?: Readonly<Record<string, string>>
  /** The program of another checkout, to compare with. */
  readonly bin?: string
}

export interface Node extends AsyncDisposable {
  readonly name: string
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  /** `127.0.0.1:PORT`, as clients write it. */
  readonly host: string
  readonly peerHost: string
  /** Data of the seeder, cache of an agent. */
  readonly folder: string
  /** The process that runs now. */
  readonly process: ShoalProcess
  start(): Promise<void>
  stop(): Promise<void>
  kill9(): Promise<void>
  /** The sum of a metric's samples with these labels. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>
  /** Bytes of blobs by where they came from; agents have it. */
  received(): Promise<{ peer: number; seeder: number; origin: number; all: number }>
}

export interface Cluster extends AsyncDisposable {
  readonly seeder: Node
  readonly agents: readonly Node[]
  /** The folder of the origin, or what was given for it. */
  readonly origin: string
  readonly folder: string
  /** @param init.seederUrl another way to the seeder */
  addAgent(init?: { readonly seederUrl?: string }): Promise<Node>
  stop(): Promise<void>
}

export async function startCluster(init: ClusterInit): Promise<Cluster> {
  const folder = await temporaryFolder('cluster')
  const origin = init.origin ?? join(folder.path, 'origin')
  const env = init.env ?? {}
  const nodes: Node[] = []
  const stop = async () => {
    await Promise.all(nodes.map((node) => node.stop()))
    await folder.remove()
  }
  const add = async (name: string, args: (folder: string) => readonly string[]) => {
    const node = await createNode(name, join(folder.path, name), args, env, init.bin)
    nodes.push(node)
    await node.start()
    return node
  }
  try {
    const seeder = await add('seeder', (data) => [
      'seeder',
      '--data',
      data,
      '--origin',
      origin,
      ...(init.seederArgs ?? []),
    ])
    const addAgent: Cluster['addAgent'] = ({ seederUrl = seeder.url } = {}) =>
      add(`agent-${nodes.length}`, (cache) => [
        'agent',
        '--seeder',
        seederUrl,
        '--cache',
        cache,
        ...(init.agentArgs ?? []),
      ])
    const agents: Node[] = []
    for (let i = 0; i < init.agents; i++) agents.push(await addAgent())
    return {
      seeder,
      agents,
      origin,
      folder: folder.path,
      addAgent,
      stop,
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function createNode(
  name: string,
  folder: string,
  args: (folder: string) => readonly string[],
  env: Readonly<Record<string, string>>,
  bin: string | undefined,
): Promise<Node> {
  const host = `127.0.0.1:${await freePort()}`
  const peerHost = `127.0.0.1:${await freePort()}`
  const url = `http://${host}`
  let running: ShoalProcess | undefined
  const metrics = async () => (await request(`${url}/metrics`)).body.text()
  const metric = async (metricName: string, labels: Readonly<Record<string, string>> = {}) =>
    sumOf(await metrics(), metricName, labels)
  const node: Node = {
    name,
    url,
    host,
    peerHost,
    folder,
    get process() {
      if (running === undefined) throw new Error(`${name} is not running`)
      return running
    },
    async start() {
      const words = [...args(folder), '--listen', host, '--peer-listen', peerHost]
      running = await startShoal(words, { env }, bin)
    },
    async stop() {
      await running?.stop()
    },
    async kill9() {
      await running?.kill9()
    },
    metric,
    async received() {
      const page = await metrics()
      const from = (source: string) => sumOf(page, 'shoal_agent_received_bytes_total', { source })
      const [peer, seeder, origin] = [from('peer'), from('seeder'), from('origin')]
      return { peer, seeder, origin, all: peer + seeder + origin }
    },
    [Symbol.asyncDispose]: () => node.stop(),
  }
  return node
}

function sumOf(page: string, name: string, labels: Readonly<Record<string, string>>): number {
  let sum = 0
  for (const [, metric, given = '', value] of page.matchAll(/^([a-z_]\w*)(?:\{(.*)\})? (\S+)$/gim)) {
    if (metric !== name) continue
    const matches = Object.entries(labels).every(([key, label]) => given.includes(`${key}="${label}"`))
    if (matches) sum += Number(value)
  }
  return sum
}

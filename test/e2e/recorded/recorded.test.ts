/**
 * Goal: clients that Debian does not have pull as well as those that it has: from the seeder, and from an agent to which the
 * blobs are still on their way.
 * Method: what these clients send, written down as data under `clients/`, is sent over raw sockets, bodies are left where the
 * clients leave them, and each answer is compared with the image. Every replay has an image of its own, so that caches are cold.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Cluster, type Node, startCluster } from '../../support/cluster.ts'
import { parseLine } from '../../support/process.ts'
import { pullImage } from '../../support/push.ts'
import { abandonedConnections } from './abandoned-connections.ts'
import { buildkit } from './clients/buildkit.ts'
import {
  containerdCancelled,
  containerdChunks,
  containerdEarlyRanges,
  containerdMisses,
  containerdResume,
} from './clients/containerd.ts'
import { crio, zstdChunked } from './clients/containers-image.ts'
import { dockerEngine } from './clients/docker-engine.ts'
import { kaniko } from './clients/go-containerregistry.ts'
import { mirroredName } from './mirrored.ts'
import { replay } from './replay.ts'
import { pushSubject, type Subject } from './subject.ts'

const RECORDERS = {
  containerdEarlyRanges,
  containerdCancelled,
  containerdChunks,
  containerdResume,
  containerdMisses,
  crio,
  zstdChunked,
  buildkit,
  kaniko,
  dockerEngine,
}
/** A layer of 12 MB is on its way for more than a second. */
const SEEDER_BYTES_PER_SECOND = 10_000_000

let cluster: Cluster
beforeAll(async () => {
  const seederArgs = ['--upload-bytes-per-second', String(SEEDER_BYTES_PER_SECOND)]
  cluster = await startCluster({ agents: 1, seederArgs })
})
afterAll(() => cluster?.stop())

const portOf = ({ host }: Node) => Number(host.split(':')[1])

/**
 * The blobs are on their way, and not here yet.
 * @param before bytes that the agent had received before they were asked for
 */
async function expectArriving(agent: Node, { layers }: Subject, before: number): Promise<void> {
  await expect
    .poll(() => agent.metric('shoal_agent_downloads'), { interval: 5, timeout: 10_000 })
    .toBeGreaterThan(0)
  expect((await agent.received()).all - before).toBeLessThan(layers[0]!.bytes.length)
}

/** Whatever was left unread: nothing waits for it, nobody calls it a fault, and the next pull is right. */
async function expectSettled(node: Node, { repository, tag, image }: Subject): Promise<void> {
  // A seeder downloads nothing, ever.
  await expect.poll(() => node.metric('shoal_agent_downloads'), { timeout: 20_000 }).toBe(0)
  await expect.poll(() => abandonedConnections(portOf(node)), { timeout: 5_000 }).toBe(0)
  expect((await pullImage(node.url, mirroredName(repository), tag)).digest).toBe(image.manifest.digest)
  expect(node.process.lines.filter(isComplaint)).toEqual([])
}

/**
 * A line of the log that asks for an operator's attention; pino counts warnings from 40. That a client asks for a registry which
 * nobody mirrors is true of one of those recorded.
 */
function isComplaint(line: string): boolean {
  const { level, event } = parseLine(line) ?? {}
  return Number(level) >= 40 && event !== 'registry-unserved'
}

describe.each(Object.entries(RECORDERS))('%s', (name, recorder) => {
  const repository = `team/${name.toLowerCase()}`

  it('pulls from an agent while the blobs arrive', async () => {
    const [agent] = cluster.agents as [Node]
    const subject = await pushSubject(cluster.seeder.url, repository)
    const before = (await agent.received()).all
    const isColdPull = recorder !== containerdMisses
    await Promise.all([
      replay(recorder(subject), portOf(agent)),
      isColdPull && expectArriving(agent, subject, before),
    ])
    await expectSettled(agent, subject)
  })

  it('pulls from the seeder', async () => {
    const { seeder } = cluster
    const subject = await pushSubject(seeder.url, `${repository}-seeder`)
    await replay(recorder(subject), portOf(seeder))
    await expectSettled(seeder, subject)
  })
})

it('all of them at once share one download', async () => {
  const [agent] = cluster.agents as [Node]
  const subject = await pushSubject(cluster.seeder.url, 'team/all')
  const before = (await agent.received()).all
  await Promise.all(Object.values(RECORDERS).map((recorder) => replay(recorder(subject), portOf(agent))))
  await expectSettled(agent, subject)
  // Beside the blobs, what was asked for twice at the very end.
  expect((await agent.received()).all - before).toBeLessThan(subject.image.sizeBytes * 1.1)
})

it('a miss is told as fast while the seeder is silent', async () => {
  const [agent] = cluster.agents as [Node]
  const subject = await pushSubject(cluster.seeder.url, 'team/silent')
  const { client, steps } = containerdMisses(subject)
  cluster.seeder.process.signal('SIGSTOP')
  try {
    await replay({ client, steps: [steps.flat()] }, portOf(agent))
  } finally {
    cluster.seeder.process.signal('SIGCONT')
  }
})

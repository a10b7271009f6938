/**
 * The faces that the specification is held against: a seeder over a folder, a seeder over S3, an agent in front of a seeder.
 * A section of the specification is a function of a face; what a face cannot do is data here, and the section decides what
 * then must be refused.
 */
import { afterAll, beforeAll, describe } from 'vitest'
import { type CephRgw, startCephRgw } from '../support/ceph-rgw.ts'
import { type Cluster, type ClusterInit, startCluster } from '../support/cluster.ts'
import { describeWith } from '../support/describe-with.ts'

export interface Face {
  readonly title: string
  /** The registry under test, `http://host:port`. */
  readonly url: string
  /** Where content is put for the tests that read: the face itself, or the seeder behind it where the face refuses. */
  readonly pushUrl: string
  /** Whether `url` takes blobs and manifests. */
  readonly canPush: boolean
  readonly canDelete: boolean
  /** The services behind the face. */
  readonly cluster: Cluster
  start(): Promise<void>
  stop(): Promise<void>
}

/** One section of the specification: declares its tests, starts nothing itself. */
export type Section = (face: Face) => void

interface FaceInit {
  readonly title: string
  readonly agents: 0 | 1
  readonly canPush: boolean
  readonly canDelete: boolean
  readonly agentArgs?: readonly string[]
}

/** What an agent believes of a tag for a while would hide what the tests have just changed. */
const FRESH_TAGS = ['--tag-ttl-ms', '0']

export const SEEDER = { title: 'a seeder over a folder', agents: 0, canPush: true, canDelete: true } as const
const SEEDER_OVER_S3 = { ...SEEDER, title: 'a seeder over S3' } as const
export const AGENT = {
  title: 'an agent',
  agents: 1,
  canPush: false,
  canDelete: false,
  agentArgs: FRESH_TAGS,
} as const
export const FORWARDING_AGENT = {
  ...AGENT,
  title: 'an agent that forwards pushes',
  canPush: true,
  agentArgs: [...FRESH_TAGS, '--forward-pushes', 'true'],
} as const
/** Its layers arrive so slowly that a test can look at them in between. */
export const SLOW_AGENT = {
  ...AGENT,
  title: 'an agent whose blobs are still arriving',
  agentArgs: [...FRESH_TAGS, '--download-bytes-per-second', '1MB'],
} as const

/** Sections against one face, which is started once for all of them: starting it would take longer than most sections. */
export function describeFace(init: FaceInit, sections: readonly Section[]): void {
  const face = createFace(init)
  describe(init.title, () => {
    beforeAll(() => face.start())
    afterAll(() => face.stop())
    for (const section of sections) section(face)
  })
}

/**
 * The same over one Ceph, with some at once.
 * @param init.alone sections that use up what others need
 */
export function describeSeederOverS3(init: {
  readonly together: readonly Section[]
  readonly alone: readonly Section[]
}): void {
  let ceph: CephRgw | undefined
  const face = createFace(SEEDER_OVER_S3, async () => {
    ceph = await startCephRgw()
    await ceph.createBucket('conformance')
    const { endpoint, region, environment } = ceph
    const query = new URLSearchParams({ endpoint, region, forcePathStyle: 'true' })
    return { origin: `s3://conformance/images?${query}`, env: environment }
  })
  describeWith(['ceph-rgw'], face.title, () => {
    beforeAll(() => face.start())
    afterAll(async () => {
      await face.stop()
      await ceph?.stop()
    })
    describe('tests at once', { concurrent: true }, () => {
      for (const section of init.together) section(face)
    })
    for (const section of init.alone) section(face)
  })
}

function createFace(
  { title, agents, canPush, canDelete, agentArgs = [] }: FaceInit,
  surroundings: () => Promise<Pick<ClusterInit, 'origin' | 'env'>> = async () => ({}),
): Face {
  let cluster: Cluster | undefined
  const running = () => {
    if (cluster === undefined) throw new Error(`${title} is not running`)
    return cluster
  }
  const url = () => (running().agents[0] ?? running().seeder).url
  return {
    title,
    canPush,
    canDelete,
    get cluster() {
      return running()
    },
    get url() {
      return url()
    },
    get pushUrl() {
      return canPush ? url() : running().seeder.url
    },
    async start() {
      cluster = await startCluster({ agents, agentArgs, ...(await surroundings()) })
    },
    async stop() {
      await cluster?.stop()
    },
  }
}

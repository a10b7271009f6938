/**
 * Goal: a list is as long as a client can read, whatever was attached to an image, and making it costs little however many ask;
 * who walks all pages finds every signature, at the seeder and through an agent.
 * Method: a seeder and an agent as processes; referrers that consist of annotations, with small signatures among them; the
 * seeder's peak of memory before and after thirty ask at once.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { memoryBlob } from '../support/layers.ts'
import { pushBlob } from '../support/push.ts'

const MIB = 1024 * 1024
const LONG = 60
const SIGNATURES = 12
const MEDIA_TYPE = 'application/vnd.oci.image.manifest.v1+json'
const subject = { mediaType: MEDIA_TYPE, digest: `sha256:${'7'.repeat(64)}`, size: 500 }
const config = memoryBlob(Buffer.from('{}'))

let cluster: Cluster
let signatures: string[]
let all: string[]
beforeAll(async () => {
  cluster = await startCluster({ agents: 1 })
  await pushBlob(cluster.seeder.url, 'team/app', config)
  const filler = 'x'.repeat(2_400_000)
  const long = []
  for (let i = 0; i < LONG; i++) long.push(await attach('application/x-flood', { n: `${i}`, filler }))
  signatures = []
  for (let i = 0; i < SIGNATURES; i++) signatures.push(await attach('application/x-signature', { n: `${i}` }))
  all = [...long, ...signatures]
}, 120_000)
afterAll(() => cluster?.stop())

async function attach(artifactType: string, annotations: Record<string, string>): Promise<string> {
  const descriptor = {
    mediaType: 'application/vnd.oci.empty.v1+json',
    digest: config.digest,
    size: config.sizeBytes,
  }
  const document = { schemaVersion: 2, mediaType: MEDIA_TYPE, artifactType, config: descriptor, layers: [] }
  const bytes = Buffer.from(JSON.stringify({ ...document, subject, annotations }))
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  const answer = await fetch(`${cluster.seeder.url}/v2/team/app/manifests/${digest}`, {
    method: 'PUT',
    headers: { 'content-type': MEDIA_TYPE },
    body: bytes,
  })
  expect(answer.status).toBe(201)
  return digest
}

interface Walked {
  readonly digests: string[]
  readonly pages: number[]
}

/** Follows the links as a client does. */
async function walk(url: string, query = ''): Promise<Walked> {
  const digests: string[] = []
  const pages: number[] = []
  let at: string | undefined = `/v2/team/app/referrers/${subject.digest}${query}`
  while (at !== undefined) {
    const answer = await fetch(new URL(at, url))
    const text = await answer.text()
    expect(answer.status, text.slice(0, 200)).toBe(200)
    pages.push(text.length)
    const { manifests } = JSON.parse(text) as { manifests: { digest: string }[] }
    digests.push(...manifests.map(({ digest }) => digest))
    at = /<([^>]+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1]
  }
  return { digests, pages }
}

async function peakMib(): Promise<number> {
  const status = await readFile(`/proc/${cluster.seeder.process.pid}/status`, 'utf8')
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024
}

describe('referrers that consist of annotations', () => {
  it.each(['the seeder', 'an agent'])(
    'are all found by who walks the pages of %s, signatures too',
    async (who) => {
      const { url } = who === 'an agent' ? cluster.agents[0]! : cluster.seeder
      const walked = await walk(url)
      expect(walked.digests.toSorted()).toEqual(all.toSorted())
      expect(Math.max(...walked.pages)).toBeLessThan(4 * MIB)
      const filtered = await walk(url, '?artifactType=application/x-signature')
      expect(filtered.digests.toSorted()).toEqual(signatures.toSorted())
    },
    60_000,
  )

  it('cost a seeder little memory, though many ask at once', async () => {
    const before = await peakMib()
    const first = `/v2/team/app/referrers/${subject.digest}`
    const ask = async () => (await (await fetch(new URL(first, cluster.seeder.url))).arrayBuffer()).byteLength
    const lengths = await Promise.all(Array.from({ length: 30 }, ask))
    for (const length of lengths) expect(length).toBeLessThan(4 * MIB)
    // A page of all of them was 140 MB, in every one of thirty answers.
    expect((await peakMib()) - before).toBeLessThan(300)
  }, 60_000)
})

/**
 * Pulls the tiny image that every seeder carries from this node's agent, as a client would, checks every digest, and says
 * where its bytes came from as far as the agent's counters tell.
 */
import { createHash } from 'node:crypto'
import { MetricsPage } from '@shoal/fanout/processes'
import { DOCTOR_REPOSITORY, DOCTOR_TAG, type DoctorContent, doctorImage } from '@shoal/oci'
import type { HttpClient } from '@shoal/service'
import { type Asked, ask, jsonOf, problemOf } from '../ask.ts'
import { type Finding, failure, ok } from '../check-result.ts'
import { bytesText } from './quantities.ts'

const IMAGE = `${DOCTOR_REPOSITORY}:${DOCTOR_TAG}`
/** Agents answer a manifest within 3 s, whatever happens. */
const ANSWER_TIMEOUT_MS = 5_000
const METRICS_TIMEOUT_MS = 1_000
const METRICS_BYTES_MAX = 4 * 1024 ** 2
const SOURCES = ['peer', 'seeder', 'origin', 'upstream'] as const

type Received = Readonly<Record<(typeof SOURCES)[number], number>>

/** @param url the agent's. Never throws */
export async function testPull(url: string, connections: HttpClient): Promise<Finding> {
  const image = doctorImage()
  const before = await received(url, connections)
  const startedAt = performance.now()
  const repository = `${url}/v2/${DOCTOR_REPOSITORY}`
  const manifest = await fetched(`${repository}/manifests/${DOCTOR_TAG}`, image.manifest, connections)
  if (manifest !== undefined) return manifest
  for (const blob of image.blobs) {
    const found = await fetched(`${repository}/blobs/${blob.digest}`, blob, connections)
    if (found !== undefined) return found
  }
  const tookMs = Math.round(performance.now() - startedAt)
  const bytes = image.blobs.reduce((sum, blob) => sum + blob.bytes.length, image.manifest.bytes.length)
  const from = differenceOf(before, await received(url, connections))
  const measured = {
    image: IMAGE,
    digest: image.manifest.digest,
    bytes,
    tookMs,
    ...(from !== undefined && { received: from }),
  }
  return ok(
    `${IMAGE}, ${bytesText(bytes)} in ${tookMs} ms, every digest right; ${originText(from)}`,
    measured,
  )
}

/** @returns undefined when it is exactly what it should be */
async function fetched(
  url: string,
  expected: DoctorContent,
  connections: HttpClient,
): Promise<Finding | undefined> {
  const what = `${IMAGE} (${expected.mediaType})`
  const measured = { image: IMAGE, url }
  let asked: Asked
  try {
    asked = await ask(url, {
      accept: expected.mediaType,
      timeoutMs: ANSWER_TIMEOUT_MS,
      bytesMax: 1024 ** 2,
      connections,
    })
  } catch (error) {
    return failure(
      `the agent did not give ${what} (${problemOf(error)})`,
      'See the agent’s log for source-failed and transfer-failed.',
      measured,
    )
  }
  if (asked.status !== 200)
    return failure(
      `the agent answered ${asked.status} for ${what}${reasonOf(asked)}`,
      'If the checks before this one are well, see whether the seeder is of an older version, which does not carry the image, and the logs of both (image-not-carried, seeder-unavailable).',
      { ...measured, status: asked.status },
    )
  const digest = `sha256:${createHash('sha256').update(asked.body).digest('hex')}`
  if (digest === expected.digest && asked.body.length === expected.bytes.length) return undefined
  return failure(
    `the agent gave ${what} with the digest ${digest} instead of ${expected.digest}`,
    'If the seeder and this node have the same version, something between client and seeder changes content: do not trust this node’s pulls before it is found.',
    { ...measured, digest },
  )
}

function reasonOf({ body }: Asked): string {
  const errors = jsonOf(body)?.errors
  const message = Array.isArray(errors) ? (errors[0] as { message?: unknown } | null)?.message : undefined
  return typeof message === 'string' ? ` (${message.slice(0, 200)})` : ''
}

/** @returns undefined where the counters cannot be read: the pull counts, not they */
async function received(url: string, connections: HttpClient): Promise<Received | undefined> {
  try {
    const init = { timeoutMs: METRICS_TIMEOUT_MS, bytesMax: METRICS_BYTES_MAX, connections }
    const page = new MetricsPage(url, (await ask(`${url}/metrics`, init)).body.toString())
    const from = (source: string) => page.sum('shoal_agent_received_bytes_total', { source })
    return {
      peer: from('peer'),
      seeder: from('seeder'),
      origin: from('origin'),
      upstream: from('upstream'),
    }
  } catch {
    return undefined
  }
}

function differenceOf(before: Received | undefined, after: Received | undefined): Received | undefined {
  if (before === undefined || after === undefined) return undefined
  const of = (source: keyof Received) => after[source] - before[source]
  return { peer: of('peer'), seeder: of('seeder'), origin: of('origin'), upstream: of('upstream') }
}

/** Other pulls of this moment are counted with it: the counters know no images. */
function originText(from: Received | undefined): string {
  if (from === undefined) return 'where it came from is not known'
  const parts = SOURCES.filter((source) => from[source] > 0).map(
    (source) => `${bytesText(from[source])} from ${source === 'peer' ? 'other agents' : `the ${source}`}`,
  )
  return parts.length === 0 ? 'all of it was in this node’s cache' : parts.join(', ')
}

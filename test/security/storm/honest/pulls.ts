/** Clients that pull in the middle of it: images by tag, blobs in whole and in part. Every byte and every tag is checked. */
import { createHash } from 'node:crypto'
import type { Prng } from '@shoal/core'
import { request } from 'undici'
import { mediaTypes } from '../../../support/images.ts'
import { pause } from '../attacker.ts'
import { oneOf } from '../random-messages.ts'
import type { PushedImage, Pushes } from './pushes.ts'

export interface PullPoint {
  readonly name: string
  readonly url: string
  /** Behind a bad road nothing need come; what comes must be right all the same. */
  readonly mayFail: boolean
  /** Whether it could not ask the seeder at some time since: then it gives what a tag meant before. */
  couldNotAsk(sinceMs: number): boolean
}

/** `wrong` is what must never be; `failed` is a client that was not served. */
export type PullOutcome =
  | { readonly kind: 'right' | 'missing' }
  | { readonly kind: 'wrong' | 'failed'; readonly why: string }

const PULL_MS_MAX = 45_000
const ATTEMPTS_MAX = 3
const RETRY_MS = 1_000
/** An agent may believe a tag for `tagTtlMs` from when it was told, and was told up to this long after the seeder had looked. */
const ANSWER_MS_MAX = 3_000
const ACCEPT = [mediaTypes.oci.manifest, mediaTypes.oci.index].join(', ')

class Refused extends Error {}

/** Tries again what was not served, as clients do: at a busy machine a question may time out. What is wrong stays wrong. */
export async function withRetries(
  pull: () => Promise<PullOutcome>,
  signal: AbortSignal,
): Promise<PullOutcome> {
  for (let attempt = 1; ; attempt++) {
    const outcome = await pull()
    if (outcome.kind !== 'failed' || attempt === ATTEMPTS_MAX || signal.aborted) return outcome
    await pause(RETRY_MS, signal)
  }
}

/** An image by its tag, as a client does: the manifest, then everything that it names. */
export function pullTag(
  point: PullPoint,
  pushes: Pushes,
  { repository, tag }: Pick<PushedImage, 'repository' | 'tag'>,
  tagTtlMs: number,
): Promise<PullOutcome> {
  return outcomeOf(async () => {
    const sinceMs = performance.now() - tagTtlMs - ANSWER_MS_MAX
    const { bytes } = await get(`${point.url}/v2/${repository}/manifests/${tag}`)
    const digest = digestOf(bytes)
    const verdict = pushes.judge(repository, tag, digest, sinceMs)
    const isExcused = verdict === 'old' && (point.mayFail || point.couldNotAsk(sinceMs))
    if (verdict !== 'right' && !isExcused)
      return `${repository}:${tag} at ${point.name} is ${digest}, which is ${verdict}`
    const { config, layers } = JSON.parse(Buffer.from(bytes).toString()) as {
      config: { digest: string }
      layers: { digest: string }[]
    }
    for (const part of [config, ...layers]) {
      const got = await get(`${point.url}/v2/${repository}/blobs/${part.digest}`)
      if (digestOf(got.bytes) !== part.digest) return `${part.digest} at ${point.name} has other bytes`
    }
    return undefined
  })
}

/** Some bytes in the middle of a layer, or its end. */
export function pullRange(
  point: PullPoint,
  { repository, image, bytes }: PushedImage,
  prng: Prng,
): Promise<PullOutcome> {
  return outcomeOf(async () => {
    const from = prng.below(bytes.length)
    const to = Math.min(bytes.length - 1, from + prng.below(200_000))
    const isSuffix = prng.below(4) === 0
    const expected = isSuffix ? bytes.subarray(bytes.length - 1 - (to - from)) : bytes.subarray(from, to + 1)
    const range = isSuffix ? `bytes=-${to - from + 1}` : `bytes=${from}-${to}`
    const digest = image.layers[0]!.digest
    const got = await get(`${point.url}/v2/${repository}/blobs/${digest}`, { range })
    if (Buffer.from(got.bytes).equals(expected)) return undefined
    return `${range} of ${digest} at ${point.name} has other bytes (${got.bytes.length} of ${expected.length})`
  })
}

/** An image of a registry that lies: what comes has its digest, or nothing comes. */
export async function pullMirrored(
  point: PullPoint,
  number: number,
  manifestDigest: string,
  prng: Prng,
): Promise<PullOutcome> {
  const name = `docker.io/library/x${number}`
  const reference = oneOf(['1', manifestDigest], prng)
  const outcome = await outcomeOf(async () => {
    const manifest = await get(`${point.url}/v2/${name}/manifests/${reference}`)
    if (digestOf(manifest.bytes) !== manifestDigest)
      return `${name}:${reference} at ${point.name} is not the registry’s`
    const { layers } = JSON.parse(Buffer.from(manifest.bytes).toString()) as { layers: { digest: string }[] }
    for (const { digest } of layers) {
      const got = await get(`${point.url}/v2/${name}/blobs/${digest}`)
      if (digestOf(got.bytes) !== digest) return `${digest} of ${name} at ${point.name} has other bytes`
    }
    return undefined
  })
  return outcome.kind === 'failed' ? { kind: 'missing' } : outcome
}

/** @param pull what is wrong, if anything */
async function outcomeOf(pull: () => Promise<string | undefined>): Promise<PullOutcome> {
  try {
    const wrong = await pull()
    return wrong === undefined ? { kind: 'right' } : { kind: 'wrong', why: wrong }
  } catch (error) {
    const { message, cause } = error as Error
    return { kind: 'failed', why: cause === undefined ? message : `${message}: ${(cause as Error).message}` }
  }
}

/** @throws Error where the answer is no success, or breaks off */
async function get(
  url: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ bytes: Uint8Array }> {
  const signal = AbortSignal.timeout(PULL_MS_MAX)
  const answer = await request(url, { headers: { accept: `${ACCEPT}, */*`, ...headers }, signal }).catch(
    (cause) => {
      throw new Error(`GET ${url}`, { cause })
    },
  )
  const expected = headers.range === undefined ? 200 : 206
  if (answer.statusCode !== expected) {
    const text = await answer.body.text().catch(() => '')
    throw new Refused(
      `GET ${url} ${headers.range ?? ''} was answered with ${answer.statusCode}: ${text.slice(0, 300)}`,
    )
  }
  try {
    const bytes = new Uint8Array(await answer.body.arrayBuffer())
    return { bytes }
  } catch (cause) {
    throw new Error(`GET ${url} broke off`, { cause })
  }
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

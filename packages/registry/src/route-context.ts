/** One request inside `/v2/`, with what every route needs to answer it. */
import type { Digest } from '@shoal/core'
import { tryParseDigest } from '@shoal/core'
import { isTag, OciError } from '@shoal/oci'
import type { BodyPlaces } from '@shoal/service'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Reference, RegistryBackend, RegistryPush, RegistryRemove } from './backend.ts'

export interface RegistryLimits {
  /** How long a client may neither send nor take a byte that is waited for. */
  readonly idleTimeoutMs: number
  readonly manifestBytesMax: number
  /** Whether tags, manifests and blobs may be deleted. */
  readonly allowDelete: boolean
  /** Tags in one answer, whatever the client asks for; a `Link` leads to the rest. */
  readonly tagsMax: number
}

/** Who may have a body on its way here. */
export interface Places {
  readonly uploads: BodyPlaces
  readonly manifests: BodyPlaces
  /** Blobs on their way to clients. */
  readonly blobs: BodyPlaces
}

export interface RouteContext {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly backend: RegistryBackend
  readonly limits: RegistryLimits
  readonly places: Places
  readonly query: URLSearchParams
  /** Aborts when the client goes away before it has its answer. */
  readonly signal: AbortSignal
}

/** @throws OciError UNSUPPORTED on a registry that cannot be pushed to */
export function pushOf(context: RouteContext): RegistryPush {
  const { push } = context.backend
  if (push === undefined) throw new OciError('UNSUPPORTED', 'this registry cannot be pushed to')
  return push
}

/** @throws OciError UNSUPPORTED on a registry where nothing can be deleted */
export function removeOf(context: RouteContext): RegistryRemove {
  const { remove } = context.backend
  if (remove === undefined || !context.limits.allowDelete)
    throw new OciError('UNSUPPORTED', 'nothing can be deleted from this registry')
  return remove
}

/** @throws OciError DIGEST_INVALID */
export function digestOf(text: string | null): Digest {
  const digest = tryParseDigest(text ?? '')
  if (digest === undefined) {
    throw new OciError('DIGEST_INVALID', 'not a sha256 or sha512 digest', {
      detail: { digest: (text ?? '').slice(0, 160) },
    })
  }
  return digest
}

/**
 * How many entries a client wants of a list. Any whole number is one; how many are given is bounded elsewhere.
 * @throws OciError PAGINATION_NUMBER_INVALID
 */
export function pageSizeOf(text: string | null): number | undefined {
  if (text === null) return undefined
  if (/^[0-9]{1,20}$/.test(text)) return Number(text)
  throw new OciError('PAGINATION_NUMBER_INVALID', 'n is not a whole number', {
    detail: { n: text.slice(0, 32) },
  })
}

/** @returns undefined when the text is neither a tag nor meant as a digest, so that nothing can be stored under it */
export function referenceOf(text: string): Reference | undefined {
  if (text.includes(':')) return { kind: 'digest', digest: digestOf(text) }
  return isTag(text) ? { kind: 'tag', tag: text } : undefined
}

/** Whether the client already has what carries this digest: `If-None-Match` (RFC 9110, 13.1.2; weak comparison). */
export function isKnownToClient(request: FastifyRequest, digest: Digest): boolean {
  const header = request.headers['if-none-match']
  if (header === undefined) return false
  if (header.trim() === '*') return true
  // A header of thousands of other tags is not taken apart.
  if (!header.includes(etagOf(digest))) return false
  return header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etagOf(digest))
}

export function etagOf(digest: Digest): string {
  return `"${digest}"`
}

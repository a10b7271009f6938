/**
 * Manifests of other registries, kept here once they were fetched. A digest means the same for ever; a tag is compared with
 * its registry when what is known of it is older than its time to live. While that registry is away the tag is served as it
 * was, marked so. What a registry denies is remembered briefly.
 */
import type { Digest } from '@shoal/core'
import { type Manifest, OciError } from '@shoal/oci'
import type { ImageStore, Reference } from '@shoal/registry'
import { UpstreamBusyError, UpstreamError, UpstreamInvalidError } from '@shoal/registry-client'
import { within } from '@shoal/service'
import type { Logger } from 'pino'
import { REFUSAL_AGE_MS, type RecentRefusals } from './recent-refusals.ts'
import type { UpstreamRepository } from './upstreams.ts'

export interface MirroredManifestsParts {
  readonly images: ImageStore
  readonly refusals: RecentRefusals
  readonly log: Logger
  readonly nowMs: () => number
  /** Another registry gave no manifest, or none that can be used. @param code of the error */
  readonly onFailed?: (code: string) => void
}

export interface MirroredManifestsInit {
  readonly tagTtlMs: number
}

/** A registry is given this long, whoever has left in the meantime: the next who asks finds what it said. */
const QUESTION_TIMEOUT_MS = 30_000
/** Clients turn to another registry after 3 s: what is known, although old, is better than that. */
const PATIENCE_MS = 1_500

export class MirroredManifests {
  readonly #parts: MirroredManifestsParts
  readonly #tagTtlMs: number
  readonly #questions = new Map<string, Promise<Manifest | undefined>>()

  constructor(parts: MirroredManifestsParts, init: MirroredManifestsInit) {
    this.#parts = parts
    this.#tagTtlMs = init.tagTtlMs
  }

  /** @throws OciError MANIFEST_UNKNOWN when the registry gave none */
  async find(from: UpstreamRepository, reference: Reference): Promise<Manifest | undefined> {
    const { images, nowMs } = this.#parts
    if (reference.kind === 'digest') {
      const here = await images.manifest(from.name, reference)
      return here ?? this.#ask(from, reference.digest, () => this.#fetch(from, reference.digest))
    }
    const known = await images.tag(from.name, reference.tag)
    const isFresh = known !== undefined && nowMs() - known.updatedAtMs < this.#tagTtlMs
    const stored = known && (await images.manifest(from.name, { kind: 'digest', digest: known.digest }))
    if (stored !== undefined && (isFresh || known!.isPinned === true)) return stored
    const asked = this.#ask(from, reference.tag, () => this.#revalidate(from, reference.tag, stored))
    if (stored === undefined) return asked
    const said = await within(
      asked.then((manifest) => ({ manifest })),
      PATIENCE_MS,
    )
    if (said !== undefined) return said.manifest
    return { ...stored, warning: `${from.host} is slow; this tag may be out of date` }
  }

  /** One question for all who ask the same at once, and for those who ask shortly after a no. */
  #ask(
    from: UpstreamRepository,
    reference: string,
    question: () => Promise<Manifest | undefined>,
  ): Promise<Manifest | undefined> {
    const key = `${from.name}@${reference}`
    const { refusals, nowMs } = this.#parts
    if (refusals.has(key, nowMs())) return Promise.resolve(undefined)
    let asked = this.#questions.get(key)
    if (asked === undefined) {
      asked = question()
        .then((answer) => {
          if (answer === undefined) refusals.add(key, nowMs() + REFUSAL_AGE_MS)
          return answer
        })
        .catch((error: unknown) => {
          if (!(error instanceof UpstreamError) && !(error instanceof OciError)) throw error
          refusals.add(key, nowMs() + REFUSAL_AGE_MS)
          const { host: upstream } = from
          const reason = error.message
          this.#parts.onFailed?.(error.code)
          this.#parts.log.warn({ event: 'upstream-failed', upstream, key, reason }, 'upstream failed')
          throw unknownNow(from, error)
        })
        .finally(() => this.#questions.delete(key))
      this.#questions.set(key, asked)
      asked.catch(() => {})
    }
    return asked
  }

  async #revalidate(
    from: UpstreamRepository,
    tag: string,
    stored: Manifest | undefined,
  ): Promise<Manifest | undefined> {
    const { images, log } = this.#parts
    try {
      const signal = AbortSignal.timeout(QUESTION_TIMEOUT_MS)
      const now = await from.client.manifestDigest(from.repository, tag, signal)
      if (now === undefined) {
        const published = await this.#published(from.name, tag)
        if (published !== undefined) return published
        if (stored !== undefined) await images.removeManifest(from.name, { kind: 'tag', tag })
        return undefined
      }
      const reference = { kind: 'digest', digest: now.digest } as const
      const manifest = (await images.manifest(from.name, reference)) ?? (await this.#fetch(from, now.digest))
      const published = await this.#published(from.name, tag)
      if (published !== undefined) return published
      if (manifest !== undefined) await images.putTag(from.name, tag, manifest.digest)
      return manifest
    } catch (error) {
      if (stored === undefined || !(error instanceof UpstreamError)) throw error
      const isBusy = error instanceof UpstreamBusyError
      const { name, host: upstream } = from
      const reason = error.message
      log.warn({ event: 'tag-served-stale', name, tag, upstream, reason }, 'a tag is served as it was')
      const state = isBusy ? 'asks to be left alone' : 'cannot be asked'
      return { ...stored, warning: `${from.host} ${state} now; this tag may be out of date` }
    }
  }

  /** What somebody made the tag mean on purpose, perhaps while its registry was asked. */
  async #published(name: string, tag: string): Promise<Manifest | undefined> {
    const { images } = this.#parts
    const known = await images.tag(name, tag)
    return known?.isPinned === true
      ? images.manifest(name, { kind: 'digest', digest: known.digest })
      : undefined
  }

  async #fetch(from: UpstreamRepository, digest: Digest): Promise<Manifest | undefined> {
    const signal = AbortSignal.timeout(QUESTION_TIMEOUT_MS)
    const manifest = await from.client.manifest(from.repository, digest, { signal })
    if (manifest === undefined || manifest === 'not-modified') return undefined
    const kept = await this.#parts.images.keepManifest(from.name, manifest)
    this.#parts.log.info({ event: 'manifest-arrived', name: from.name, digest }, 'manifest arrived')
    return kept
  }
}

/** Whether a registry gave something that is no manifest, so that who asks again will hear no better. */
export function isUnusable(error: OciError): boolean {
  return error.cause instanceof OciError || error.cause instanceof UpstreamInvalidError
}

/** 404, so that the client goes on to the next registry, which is the one that could not be asked from here. */
function unknownNow({ host, name }: UpstreamRepository, cause: Error): OciError {
  return new OciError('MANIFEST_UNKNOWN', `${host} gave no manifest: ${cause.message}`, {
    detail: { name },
    cause,
  })
}

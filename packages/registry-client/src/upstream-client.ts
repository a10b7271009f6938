/**
 * Asks another registry for manifests, blobs, tags and referrers, and believes nothing that it can check.
 * OCI distribution specification, "Pull" and "Content Discovery"; Docker's token authentication.
 */
import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { assert, type Digest, digestAlgorithm, digestHex, tryParseDigest } from '@shoal/core'
import type { Manifest, ManifestStat } from '@shoal/oci'
import { type Descriptor, isTag, MANIFEST_MEDIA_TYPES, MEDIA_TYPES, mediaTypeOfHeader } from '@shoal/oci'
import type { Proxies } from '@shoal/service'
import type { ByteRange } from '@shoal/storage'
import type { Logger } from 'pino'
import { repositoryAt, type UpstreamAddress } from './address.ts'
import { Authorizer } from './authorizer.ts'
import { blobBody, spanOf } from './blob-body.ts'
import { type UpstreamAnswer, UpstreamConnections, type UpstreamTls } from './connections.ts'
import type { Credentials } from './credentials.ts'
import { EcrLogins } from './ecr.ts'
import {
  UpstreamDeniedError,
  UpstreamInvalidError,
  UpstreamRangeRefusedError,
  UpstreamUnavailableError,
} from './errors.ts'
import { type Question, UpstreamExchange } from './exchange.ts'
import { UPSTREAM_LIMITS, type UpstreamLimits } from './limits.ts'
import { nextPage, readReferrers, readTags, type UpstreamTags } from './lists.ts'
import type { RateLimit } from './rate-limit.ts'
import { type Patience, retrying } from './retry.ts'

export interface UpstreamClientParts {
  readonly credentials: Credentials
  readonly nowMs: () => number
  readonly log: Logger
  /** Shared by clients, since a login is good for a whole region. */
  readonly ecr?: EcrLogins
  readonly proxies?: Proxies
  /** In [0, 1); how long to wait before asking again. */
  readonly random?: () => number
  readonly pause?: Patience['pause']
}

export interface UpstreamClientInit {
  readonly address: UpstreamAddress
  readonly limits?: Partial<UpstreamLimits>
  readonly tls?: UpstreamTls
  /** Hosts of token servers on other domains than the registry's that may be given its credentials. */
  readonly trustedRealmHosts?: readonly string[]
}

export interface UpstreamBlob {
  /** Of the whole blob, whatever the range; undefined where neither the answer nor whoever asks says it. */
  readonly length: number | undefined
  /** The registry sends it from its first byte, whatever the range. */
  readonly isWhole: boolean
  /** Must be read, or its signal aborted: until then it holds a connection. Not verified: whoever reads it checks the digest. */
  readonly body: AsyncIterable<Uint8Array>
}

/** Pages of referrers that are read for one list, as far as they are not longer together than one may be. */
const REFERRER_PAGES_MAX = 16
/** Pages of tags that are read for one answer: those without a tag, which some registries give, and those of a whole list. */
const TAG_PAGES_MAX = 64
/**
 * What storages behind registries answer to a range that they do not want to give (registry.k8s.io#333), beside 200 with the
 * whole. 416 also where the range lies outside, which the whole then shows.
 */
const RANGE_REFUSED: readonly number[] = [400, 416, 501]
/** Everything that is stored, and whatever else is there: the caller says what it cannot use. */
const ACCEPT = [...MANIFEST_MEDIA_TYPES, '*/*'].join(', ')

export class UpstreamClient {
  readonly address: UpstreamAddress
  readonly #limits: UpstreamLimits
  readonly #connections: UpstreamConnections
  readonly #exchange: UpstreamExchange
  readonly #patience: Patience

  constructor(parts: UpstreamClientParts, init: UpstreamClientInit) {
    const { credentials, nowMs, log, ecr = new EcrLogins({ nowMs }) } = parts
    const { address, tls, trustedRealmHosts = [] } = init
    this.address = address
    this.#limits = { ...UPSTREAM_LIMITS, ...init.limits }
    this.#connections = new UpstreamConnections(address, this.#limits, tls, parts.proxies)
    const connections = this.#connections
    const authorizer = new Authorizer(
      { credentials, ecr, connections, nowMs, log },
      address,
      trustedRealmHosts,
    )
    this.#exchange = new UpstreamExchange({ connections, authorizer, nowMs, log }, address)
    const { retriesMax, retryDelayMs } = this.#limits
    const { random = Math.random, pause = (durationMs, signal) => delay(durationMs, undefined, { signal }) } =
      parts
    this.#patience = { retriesMax, retryDelayMs, random, pause }
  }

  /** What the registry has last said about how often it may be asked. */
  get rateLimit(): RateLimit | undefined {
    return this.#exchange.rateLimit
  }

  /** Until when manifests are not asked for; undefined while they are. */
  get busyUntilMs(): number | undefined {
    return this.#exchange.busyUntilMs
  }

  /**
   * @param reference a tag or a digest
   * @param options.ifNoneMatch what the caller has already
   * @returns undefined when there is no such manifest
   * @throws UpstreamError; UpstreamInvalidError when the bytes are not the digest's
   */
  async manifest(
    repository: string,
    reference: string,
    { ifNoneMatch, signal }: { readonly ifNoneMatch?: Digest; readonly signal: AbortSignal },
  ): Promise<Manifest | 'not-modified' | undefined> {
    const question = this.#manifestQuestion('GET', repository, reference)
    const headers = {
      accept: ACCEPT,
      ...(ifNoneMatch === undefined ? {} : { 'if-none-match': `"${ifNoneMatch}"` }),
    }
    return await this.#small({ ...question, headers }, signal, async (answer, deadline) => {
      if (answer.status === 404) return undefined
      if (answer.status === 304 && ifNoneMatch !== undefined) return 'not-modified'
      this.#expectStatus(answer, 200)
      const bytes = await this.#connections.collect(answer, this.#limits.manifestBytesMax, deadline)
      const digest = this.#verified(bytes, tryParseDigest(reference), answer)
      return { digest, length: bytes.length, mediaType: mediaTypeIn(answer), bytes }
    })
  }

  /**
   * What a reference stands for, without fetching it where the registry allows: several do not count a HEAD.
   * @returns undefined when there is no such manifest
   */
  async manifestDigest(
    repository: string,
    reference: string,
    signal: AbortSignal,
  ): Promise<ManifestStat | undefined> {
    const question = { ...this.#manifestQuestion('HEAD', repository, reference), headers: { accept: ACCEPT } }
    const found = await this.#small(question, signal, async (answer) => {
      if (answer.status === 404) return undefined
      return answer.status === 200 ? (this.#statIn(answer, tryParseDigest(reference)) ?? 'ask') : 'ask'
    }).catch((error: unknown) => {
      // Firewalls and proxies before a registry let GET through and not HEAD; who really says no says it again.
      if (error instanceof UpstreamDeniedError || error instanceof UpstreamInvalidError) return 'ask' as const
      throw error
    })
    if (found !== 'ask') return found
    const manifest = await this.manifest(repository, reference, { signal })
    if (manifest === undefined || manifest === 'not-modified') return undefined
    const { digest, length, mediaType } = manifest
    return { digest, length, mediaType }
  }

  /**
   * @param options.range within the blob; less is given where the blob ends earlier. Of a registry that gives no ranges the
   * bytes in front come too, and are thrown away; an empty chunk stands for those.
   * @param options.isRangeOnly fails with UpstreamRangeRefusedError instead
   * @param options.length of the blob, where a manifest says it: several registries do not
   * @returns undefined when there is no such blob
   * @throws UpstreamError, also from the iteration of the body when it is cut short
   */
  async blob(
    repository: string,
    digest: Digest,
    options: {
      readonly range?: ByteRange
      readonly isRangeOnly?: boolean
      readonly length?: number
      readonly signal: AbortSignal
    },
  ): Promise<UpstreamBlob | undefined> {
    const { range, isRangeOnly = false, length, signal } = options
    assert(range === undefined || (range.start >= 0 && range.start < range.end), 'a range has bytes')
    const name = repositoryAt(this.address, repository)
    const path = `blobs/${digest}`
    const whole: Question = {
      method: 'GET',
      repository: name,
      path,
      isManifest: false,
      lane: 'blob',
      signal,
    }
    const part = range && {
      ...whole,
      headers: { range: `bytes=${range.start}-${range.end - 1}` },
      meaningful: RANGE_REFUSED,
    }
    return await retrying(this.#patience, signal, async () => {
      let answer = await this.#exchange.ask(part ?? whole)
      const isRefused = part !== undefined && RANGE_REFUSED.includes(answer.status)
      if (isRangeOnly && (isRefused || answer.status === 200)) {
        await answer.discard()
        throw new UpstreamRangeRefusedError(this.address.host)
      }
      if (isRefused) {
        await answer.discard()
        answer = await this.#exchange.ask(whole)
      }
      if (answer.status === 200 || answer.status === 206)
        return await this.#blobIn(answer, range, length, signal)
      await answer.discard()
      if (answer.status === 404) return undefined
      throw this.#unexpected(answer)
    })
  }

  /**
   * @param page.after a tag; or `next` of the page before, since what continues a list is the registry's own business
   * @returns undefined when there is no such repository
   */
  async tags(
    repository: string,
    page: { readonly tagsMax: number; readonly after?: string; readonly next?: string },
    signal: AbortSignal,
  ): Promise<UpstreamTags | undefined> {
    const query = new URLSearchParams({ n: String(page.tagsMax) })
    if (page.after !== undefined) query.set('last', page.after)
    let path = `tags/list?${page.next ?? query}`
    for (let pages = 1; ; pages++) {
      const found = await this.#list(repository, path, signal, (bytes, answer) =>
        readTags(this.address.host, bytes, page, nextPage(answer)),
      )
      // A page without a tag is not the end of the list where it leads on.
      const leadsOn = found?.tags.length === 0 && found.next !== undefined
      if (!leadsOn || pages === TAG_PAGES_MAX) return found
      path = `tags/list?${found.next}`
    }
  }

  /** The first `tagsMax` tags, over as many pages as the registry makes of them; none where there is no such repository. */
  async allTags(repository: string, tagsMax: number, signal: AbortSignal): Promise<readonly string[]> {
    const tags: string[] = []
    let page: { readonly tagsMax: number; readonly next?: string } = { tagsMax }
    for (let pages = 1; pages <= TAG_PAGES_MAX; pages++) {
      const found = await this.tags(repository, page, signal)
      tags.push(...(found?.tags ?? []))
      if (found?.next === undefined || tags.length >= tagsMax) break
      page = { tagsMax, next: found.next }
    }
    return tags.slice(0, tagsMax)
  }

  /**
   * What is attached to a manifest: signatures, SBOMs. Asks for the tag of older registries where there is no such list.
   * @returns an empty list when nothing is attached
   */
  async referrers(
    repository: string,
    digest: Digest,
    { artifactType }: { readonly artifactType?: string },
    signal: AbortSignal,
  ): Promise<readonly Descriptor[]> {
    const filter = artifactType === undefined ? '' : new URLSearchParams({ artifactType }).toString()
    const found =
      (await this.#referrerPages(repository, digest, filter, signal)) ??
      (await this.#referrersTag(repository, digest, signal))
    // Registries need not filter.
    return artifactType === undefined ? found : found.filter((one) => one.artifactType === artifactType)
  }

  /** Cuts what is under way. */
  async close(): Promise<void> {
    await this.#connections.close()
  }

  async #referrerPages(
    repository: string,
    digest: Digest,
    filter: string,
    signal: AbortSignal,
  ): Promise<readonly Descriptor[] | undefined> {
    const found: Descriptor[] = []
    let query: string | undefined = filter
    let bytes = 0
    const isWithin = (pages: number) => pages < REFERRER_PAGES_MAX && bytes < this.#limits.listBytesMax
    for (let pages = 0; query !== undefined && isWithin(pages); pages++) {
      const path: string = `referrers/${digest}${query === '' ? '' : `?${query}`}`
      const page: { list: readonly Descriptor[]; next: string | undefined } | undefined = await this.#list(
        repository,
        path,
        signal,
        (body, answer) => {
          bytes += body.length
          return { list: readReferrers(this.address.host, body), next: nextPage(answer) }
        },
      )
      if (page === undefined) return pages === 0 ? undefined : found
      found.push(...page.list)
      query = page.next
    }
    return found
  }

  /** OCI distribution specification, "Referrers Tag Schema". */
  async #referrersTag(
    repository: string,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<readonly Descriptor[]> {
    const tag = `${digestAlgorithm(digest)}-${digestHex(digest)}`.slice(0, 128)
    const manifest = await this.manifest(repository, tag, { signal })
    if (manifest === undefined || manifest === 'not-modified') return []
    return manifest.mediaType === MEDIA_TYPES.ociIndex ? readReferrers(this.address.host, manifest.bytes) : []
  }

  async #list<T>(
    repository: string,
    path: string,
    signal: AbortSignal,
    read: (bytes: Buffer, answer: UpstreamAnswer) => T,
  ): Promise<T | undefined> {
    const question = {
      method: 'GET',
      repository: repositoryAt(this.address, repository),
      path,
      headers: { accept: 'application/json, */*' },
      isManifest: false,
      lane: 'talk',
    } as const
    return await this.#small(question, signal, async (answer, deadline) => {
      if (answer.status === 404) return undefined
      this.#expectStatus(answer, 200)
      return read(await this.#connections.collect(answer, this.#limits.listBytesMax, deadline), answer)
    })
  }

  /** A question whose whole answer is read here, by a deadline, and asked again where that helps. */
  async #small<T>(
    question: Omit<Question, 'signal'>,
    signal: AbortSignal,
    read: (answer: UpstreamAnswer, deadline: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const asked = retrying(this.#patience, signal, async () => {
      const timeout = AbortSignal.timeout(this.#limits.answerTimeoutMs)
      const deadline = AbortSignal.any([signal, timeout])
      let answer: UpstreamAnswer | undefined
      try {
        answer = await this.#exchange.ask({ ...question, signal: deadline })
        return await read(answer, deadline)
      } catch (error) {
        if (signal.aborted || !timeout.aborted) throw error
        const what = `no complete answer within ${this.#limits.answerTimeoutMs} ms`
        throw new UpstreamUnavailableError(this.address.host, what, { cause: error })
      } finally {
        await answer?.discard()
      }
    })
    return await asked.catch((error: unknown) => {
      // Whoever leaves has reasons of his own; if his time is up, also because many ask at once, the registry was too slow.
      if (!isTimeUp(signal) || error !== signal.reason) throw error
      const what = 'no answer before its time was up'
      throw new UpstreamUnavailableError(this.address.host, what, { cause: error })
    })
  }

  #manifestQuestion(method: 'GET' | 'HEAD', repository: string, reference: string): Omit<Question, 'signal'> {
    assert(
      isTag(reference) || tryParseDigest(reference) !== undefined,
      'a reference was checked where it came in',
    )
    const name = repositoryAt(this.address, repository)
    return { method, repository: name, path: `manifests/${reference}`, isManifest: true, lane: 'talk' }
  }

  async #blobIn(
    answer: UpstreamAnswer,
    range: ByteRange | undefined,
    length: number | undefined,
    signal: AbortSignal,
  ): Promise<UpstreamBlob> {
    const { host } = this.address
    let span: ReturnType<typeof spanOf>
    try {
      span = spanOf(host, answer, range, { length, bytesMax: this.#limits.unsaidLengthBytesMax })
    } catch (error) {
      await answer.discard()
      throw error
    }
    const failure = (error: unknown, given: number) =>
      this.#connections.failure(error, signal, `a blob was cut after ${given} of ${span.bytes} bytes`)
    return {
      length: span.length,
      isWhole: answer.status === 200,
      body: blobBody(host, answer, span, failure),
    }
  }

  /** The digest of the bytes: the one that was asked for, the one that the registry names, or sha256. */
  #verified(bytes: Buffer, expected: Digest | undefined, answer: UpstreamAnswer): Digest {
    const named = this.#namedDigest(answer)
    for (const claim of [expected, named]) {
      if (claim === undefined || digestOf(bytes, claim) === claim) continue
      throw new UpstreamInvalidError(
        this.address.host,
        `${this.#connections.placeOf(answer.url)} has other bytes than those of ${claim}; nothing of it was kept`,
      )
    }
    return expected ?? named ?? digestOf(bytes, undefined)
  }

  /** @returns undefined when the headers do not say enough */
  #statIn(answer: UpstreamAnswer, expected: Digest | undefined): ManifestStat | undefined {
    const digest = this.#namedDigest(answer)
    const length = answer.header('content-length') ?? ''
    if (digest === undefined || !/^[0-9]{1,9}$/.test(length)) return undefined
    // Both digests may be right, by different algorithms: the bytes decide.
    if (expected !== undefined && digestAlgorithm(digest) !== digestAlgorithm(expected)) return undefined
    if (expected !== undefined && digest !== expected) {
      throw new UpstreamInvalidError(this.address.host, `it was asked for ${expected} and names ${digest}`)
    }
    return { digest, length: Number(length), mediaType: mediaTypeIn(answer) }
  }

  #namedDigest(answer: UpstreamAnswer): Digest | undefined {
    const text = answer.header('docker-content-digest')
    if (text === undefined || text === '') return undefined
    const digest = tryParseDigest(text)
    if (digest !== undefined) return digest
    // A digest by an algorithm that is not computed here proves nothing.
    if (/^(?!sha(256|512):)[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/.test(text)) return undefined
    throw new UpstreamInvalidError(
      this.address.host,
      `the digest that it names for ${this.#connections.placeOf(answer.url)} is none`,
    )
  }

  #expectStatus(answer: UpstreamAnswer, status: number): void {
    if (answer.status !== status) throw this.#unexpected(answer)
  }

  #unexpected({ status, url }: UpstreamAnswer): UpstreamInvalidError {
    return new UpstreamInvalidError(
      this.address.host,
      `an unexpected status ${status} from ${url.host}; is this a registry?`,
    )
  }
}

function isTimeUp({ reason }: AbortSignal): boolean {
  return reason instanceof DOMException && reason.name === 'TimeoutError'
}

function digestOf(bytes: Buffer, like: Digest | undefined): Digest {
  const algorithm = like === undefined ? 'sha256' : digestAlgorithm(like)
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` as Digest
}

/**
 * `application/json` when nothing was said, which is how `oci` reads "look into the document". File servers and stores that
 * registries are kept on say no more with these, and containerd goes by the document as well when it has the manifest.
 */
function mediaTypeIn(answer: UpstreamAnswer): string {
  const mediaType = mediaTypeOfHeader(answer.header('content-type'))
  return mediaType === undefined || SAYS_NOTHING.has(mediaType) ? 'application/json' : mediaType
}

const SAYS_NOTHING: ReadonlySet<string> = new Set([
  'application/octet-stream',
  'binary/octet-stream',
  'text/plain',
])

/**
 * What the agent asks of others over HTTP: a resolution (of the seeder, or of another agent in its place), and bytes of a
 * blob (of the seeder's registry, or of the origin by presigned URL).
 *
 * What is answered at once and what waits never share connections: questions, questions that wait for a blob on its way, bytes
 * of blobs that are there, and bytes of blobs on their way have their own. A deadline runs from when a question is asked, not
 * while it waits for its turn.
 */
import { type Digest, isAddress, isHostName, type MayDial } from '@shoal/core'
import { looksLikeHost, type Referrer, splitMirroredName } from '@shoal/oci'
import { discardAnswer, Gate } from '@shoal/service'
import type { ByteRange } from '@shoal/storage'
import { peerLookup } from '@shoal/swarm'
import {
  ARRIVAL_WAIT_MS,
  BLOB_RESOLUTION_BYTES_MAX,
  CONTACT_ANSWER_BYTES_MAX,
  decodeResolution,
  RESOLUTION_BYTES_MAX,
  RESOLVE_PATH,
  type Resolution,
  STREAM_SECRET_HEADER,
  UNSERVED_REGISTRY_HEADER,
  UPSTREAM_PROBLEM_STATUS,
  WireError,
} from '@shoal/wire'
import type { Dispatcher } from 'undici'
import { SourceUnavailableError } from './errors.ts'
import { HttpAgent, request } from './http-client.ts'
import type { OriginProxy } from './origin-proxy.ts'

export interface ResolveQuestion {
  readonly repository: string
  /** A tag, or the digest of a manifest; absent when `blob` is given. */
  readonly reference?: string
  /** The digest of one blob. */
  readonly blob?: string
  /** `os/architecture` of this node: its manifest of an index comes along. */
  readonly platform: string
  /** Who asks: it is taken into the swarms. */
  readonly peerId: string
  /** To wait for a blob that is still on its way to the seeder, where its end is not told over the announce stream. */
  readonly wait?: 'true'
  /** The asker knows what to do with hashes of pieces that came out of turn; an earlier version would refuse the answer. */
  readonly later?: 'true'
}

export interface ReferrersQuery {
  readonly artifactType?: string
  readonly after?: string
}

/** A miss must take less than 3 s for clients to fall back: a seeder that needs longer counts as away, then contacts are asked. */
const RESOLVE_TIMEOUT_MS = 2_000
/** The seeder may have to ask another registry first; there is nobody else to ask then, and 3 s is still the limit. */
const MIRRORED_TIMEOUT_MS = 2_800
/** Longer than the seeder lets anybody wait. */
const ARRIVAL_TIMEOUT_MS = ARRIVAL_WAIT_MS + 2_000
const CONTACT_TIMEOUT_MS = 900
export const BLOB_IDLE_TIMEOUT_MS = 5_000
export const CONNECTIONS_PER_HOST_MAX = 8
/** Questions to the seeder at a time: those of some images of many layers. */
const QUESTIONS_AT_ONCE = 32
/** The same of those that wait for a blob on its way: as many as blobs may arrive at a time. */
const WAITS_AT_ONCE = 64
/** Bodies of blobs on their way, and requests that have the seeder fetch what somebody waits for. */
const ARRIVING_BODIES_AT_ONCE = 64
/** An upstream may pause; clients turn elsewhere after this. */
const ARRIVING_IDLE_TIMEOUT_MS = 20_000
/** Of an answer that says why another registry could not be asked, and of the sentence in it. */
const PROBLEM_BYTES_MAX = 16 * 1024
const PROBLEM_CHARS_MAX = 1_024
const TAG_LIST_BYTES_MAX = 4 * 1024 * 1024
/** A page and the longest manifest's annotations. */
const REFERRERS_BYTES_MAX = 16 * 1024 * 1024

export interface HttpSourcesParts {
  /** Of contacts, of whom strangers tell. The seeder is where the settings say. */
  readonly mayDial: MayDial
  /** Shows the seeder that a question comes from the agent whose announce stream is open; undefined while none is. */
  readonly streamSecret: () => string | undefined
  /** The seeder does not serve the registry that was asked for. */
  readonly onUnserved?: (registry: string) => void
  /** Where a proxy leads to a URL of the origin. */
  readonly originProxy?: OriginProxy
}

export class HttpSources {
  readonly #parts: HttpSourcesParts
  readonly #questions = connectionsTo(QUESTIONS_AT_ONCE, MIRRORED_TIMEOUT_MS, BLOB_IDLE_TIMEOUT_MS)
  readonly #questionGate = new Gate(QUESTIONS_AT_ONCE)
  readonly #waits = connectionsTo(WAITS_AT_ONCE, ARRIVAL_TIMEOUT_MS, BLOB_IDLE_TIMEOUT_MS)
  readonly #waitGate = new Gate(WAITS_AT_ONCE)
  readonly #bodies = connectionsTo(CONNECTIONS_PER_HOST_MAX, BLOB_IDLE_TIMEOUT_MS, BLOB_IDLE_TIMEOUT_MS)
  readonly #arrivingBodies = connectionsTo(
    ARRIVING_BODIES_AT_ONCE,
    ARRIVING_IDLE_TIMEOUT_MS,
    ARRIVING_IDLE_TIMEOUT_MS,
  )
  /** Strangers' answers are in memory one of each at a time, however many questions there are. */
  readonly #contacts: HttpAgent

  constructor(parts: HttpSourcesParts) {
    this.#parts = parts
    this.#contacts = new HttpAgent({
      connections: 1,
      // The port is the dialled one's own business here: who asks itself is answered, at no harm.
      connect: { timeout: CONTACT_TIMEOUT_MS, lookup: peerLookup(parts.mayDial, 0) },
      headersTimeout: CONTACT_TIMEOUT_MS,
      bodyTimeout: CONTACT_TIMEOUT_MS,
    })
  }

  async stop(): Promise<void> {
    const agents = [this.#questions, this.#waits, this.#bodies, this.#arrivingBodies, this.#contacts]
    await Promise.all(agents.map((agent) => agent.destroy()))
  }

  /** Opens a connection that the first question finds ready. Never rejects: the question itself tells what is wrong. */
  async greet(baseUrl: string): Promise<void> {
    try {
      const signal = AbortSignal.timeout(RESOLVE_TIMEOUT_MS)
      const answer = await request(new URL('/healthz', baseUrl), { dispatcher: this.#questions, signal })
      await discardAnswer(answer)
    } catch {
      // Nothing is lost by it.
    }
  }

  /**
   * @returns undefined when who was asked knows no such reference
   * @throws SourceUnavailableError
   */
  async resolve(
    baseUrl: string,
    question: ResolveQuestion,
    who: 'seeder' | 'contact',
    signal?: AbortSignal,
  ): Promise<Resolution | undefined> {
    const url = new URL(RESOLVE_PATH, baseUrl)
    for (const [key, value] of Object.entries(question)) url.searchParams.set(key, value)
    if (who === 'contact' && !this.#mayAsk(url))
      throw new SourceUnavailableError(url.host, 'nobody may lead this node there')
    // The contacts' own bound is one of memory; with many questions to few of them they are given up, not waited for.
    if (who === 'contact') return this.#resolve(url, question, this.#contacts, who, signal)
    const [gate, dispatcher] =
      question.wait === undefined ? [this.#questionGate, this.#questions] : [this.#waitGate, this.#waits]
    return gate.run(() => this.#resolve(url, question, dispatcher, who, signal))
  }

  async #resolve(
    url: URL,
    question: ResolveQuestion,
    dispatcher: HttpAgent,
    who: 'seeder' | 'contact',
    signal: AbortSignal | undefined,
  ): Promise<Resolution | undefined> {
    signal?.throwIfAborted()
    const secret = who === 'seeder' ? this.#parts.streamSecret() : undefined
    const deadline = AbortSignal.timeout(timeoutOf(question, who))
    try {
      const answer = await request(url, {
        dispatcher,
        ...(secret !== undefined && { headers: { [STREAM_SECRET_HEADER]: secret } }),
        signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
      })
      if (answer.statusCode === 404) {
        await discardAnswer(answer)
        const registry = answer.headers[UNSERVED_REGISTRY_HEADER]
        if (who === 'seeder' && typeof registry === 'string' && looksLikeHost(registry))
          this.#parts.onUnserved?.(registry)
        return undefined
      }
      if (answer.statusCode === UPSTREAM_PROBLEM_STATUS && who === 'seeder') {
        const upstreamProblem = problemIn(await collect(answer.body, PROBLEM_BYTES_MAX))
        if (upstreamProblem !== undefined)
          throw new SourceUnavailableError(url.host, upstreamProblem, { upstreamProblem })
        throw new SourceUnavailableError(url.host, `status ${answer.statusCode}`)
      }
      if (answer.statusCode !== 200) {
        await discardAnswer(answer)
        throw new SourceUnavailableError(url.host, `status ${answer.statusCode}`)
      }
      return decodeResolution(await collect(answer.body, answerBytesMax(question, who)))
    } catch (cause) {
      if (cause instanceof SourceUnavailableError) throw cause
      signal?.throwIfAborted()
      if (cause instanceof WireError) throw new SourceUnavailableError(url.host, cause.message, { cause })
      const reason = 'it cannot be reached in time'
      throw new SourceUnavailableError(url.host, reason, { cause, isUnanswered: true })
    }
  }

  /** By the address in the URL; of a name, its addresses are looked at when they are dialled. */
  #mayAsk({ hostname, port }: URL): boolean {
    const host = hostname.replace(/^\[|\]$/g, '')
    return isAddress(host) ? this.#parts.mayDial(host, Number(port)) : isHostName(host)
  }

  /**
   * A page of the seeder's tag list.
   * @returns undefined when the seeder knows no such repository
   * @throws SourceUnavailableError
   */
  async tags(
    seederUrl: string,
    repository: string,
    page: { tagsMax: number; after?: string },
    given: AbortSignal,
  ): Promise<{ tags: string[]; more: boolean } | undefined> {
    const url = new URL(`/v2/${repository}/tags/list`, seederUrl)
    url.searchParams.set('n', String(page.tagsMax))
    if (page.after !== undefined) url.searchParams.set('last', page.after)
    return this.#questionGate.run(() => this.#tags(url, given))
  }

  async #tags(url: URL, given: AbortSignal): Promise<{ tags: string[]; more: boolean } | undefined> {
    try {
      const signal = AbortSignal.any([given, AbortSignal.timeout(RESOLVE_TIMEOUT_MS)])
      const answer = await request(url, { dispatcher: this.#questions, signal })
      if (answer.statusCode === 404) {
        await discardAnswer(answer)
        return undefined
      }
      const list = JSON.parse(Buffer.from(await collect(answer.body, TAG_LIST_BYTES_MAX)).toString())
      if (answer.statusCode !== 200 || !isTagList(list)) {
        throw new SourceUnavailableError('the seeder', `status ${answer.statusCode} for a list of tags`)
      }
      return { tags: list.tags, more: answer.headers.link !== undefined }
    } catch (cause) {
      if (cause instanceof SourceUnavailableError) throw cause
      throw new SourceUnavailableError('the seeder', 'it cannot be reached in time', {
        cause,
        isUnanswered: true,
      })
    }
  }

  /**
   * A page of what is attached to a manifest.
   * @throws SourceUnavailableError
   */
  async referrers(
    seederUrl: string,
    repository: string,
    subject: Digest,
    query: ReferrersQuery,
    signal: AbortSignal,
  ): Promise<{ readonly referrers: readonly Referrer[]; readonly next?: string }> {
    const url = new URL(`/v2/${repository}/referrers/${subject}`, seederUrl)
    if (query.artifactType !== undefined) url.searchParams.set('artifactType', query.artifactType)
    if (query.after !== undefined) url.searchParams.set('last', query.after)
    return this.#questionGate.run(() => this.#referrers(url, signal))
  }

  async #referrers(
    url: URL,
    signal: AbortSignal,
  ): Promise<{ readonly referrers: readonly Referrer[]; readonly next?: string }> {
    signal.throwIfAborted()
    try {
      const answer = await request(url, {
        dispatcher: this.#questions,
        signal: AbortSignal.any([signal, AbortSignal.timeout(RESOLVE_TIMEOUT_MS)]),
      })
      const list = JSON.parse(Buffer.from(await collect(answer.body, REFERRERS_BYTES_MAX)).toString())
      if (answer.statusCode !== 200 || !Array.isArray(list.manifests))
        throw new SourceUnavailableError('the seeder', `status ${answer.statusCode} for a list of referrers`)
      const next = /[?&]last=([^&>]+)/.exec(String(answer.headers.link ?? ''))?.[1]
      return {
        referrers: list.manifests,
        ...(next === undefined ? {} : { next: decodeURIComponent(next) }),
      }
    } catch (cause) {
      if (cause instanceof SourceUnavailableError) throw cause
      signal.throwIfAborted()
      throw new SourceUnavailableError('the seeder', 'it cannot be reached in time', {
        cause,
        isUnanswered: true,
      })
    }
  }

  /**
   * The bytes of `range`, exactly, as they arrive.
   * @param url never logged: it may be a secret
   * @param source for messages
   * @throws SourceUnavailableError when fewer or other bytes are given
   */
  bytes(
    url: string | URL,
    range: ByteRange,
    source: string,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const dispatcher = this.#parts.originProxy?.dispatcherFor(url) ?? this.#bodies
    return this.#bytes(dispatcher, url, range, source, signal)
  }

  /**
   * The same of a blob that is still on its way to the seeder: the bytes may be long in coming, and the last of them does when
   * the whole was found right.
   * @throws SourceUnavailableError when fewer or other bytes are given, or none for long
   */
  arrivingBytes(
    url: URL,
    range: ByteRange,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    return this.#bytes(this.#arrivingBodies, url, range, 'the seeder', signal)
  }

  async *#bytes(
    dispatcher: Dispatcher,
    url: string | URL,
    range: ByteRange,
    source: string,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    let received = 0
    try {
      const answer = await request(url, {
        dispatcher,
        headers: { range: `bytes=${range.start}-${range.end - 1}` },
        signal,
      })
      if (answer.statusCode !== 206) {
        await discardAnswer(answer, signal)
        throw new SourceUnavailableError(source, `status ${answer.statusCode} for a range`)
      }
      for await (const chunk of answer.body) {
        received += chunk.length
        yield chunk
      }
    } catch (cause) {
      if (cause instanceof SourceUnavailableError) throw cause
      signal.throwIfAborted()
      throw new SourceUnavailableError(source, 'the connection failed', { cause })
    }
    if (received !== range.end - range.start)
      throw new SourceUnavailableError(source, 'the body was cut short')
  }
}

/** @param connections to each host */
function connectionsTo(connections: number, headersTimeout: number, bodyTimeout: number): HttpAgent {
  return new HttpAgent({ connections, connect: { timeout: 1_000 }, headersTimeout, bodyTimeout })
}

function answerBytesMax({ blob }: ResolveQuestion, who: 'seeder' | 'contact'): number {
  if (who === 'contact') return CONTACT_ANSWER_BYTES_MAX
  return blob === undefined ? RESOLUTION_BYTES_MAX : BLOB_RESOLUTION_BYTES_MAX
}

function timeoutOf({ repository, wait }: ResolveQuestion, who: 'seeder' | 'contact'): number {
  if (who === 'contact') return CONTACT_TIMEOUT_MS
  if (wait !== undefined) return ARRIVAL_TIMEOUT_MS
  return splitMirroredName(repository) === undefined ? RESOLVE_TIMEOUT_MS : MIRRORED_TIMEOUT_MS
}

async function collect(body: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of body) {
    length += part.length
    if (length > bytesMax) throw new SourceUnavailableError('the answer', `longer than ${bytesMax} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

function isTagList(value: unknown): value is { tags: string[] } {
  const tags = typeof value === 'object' && value !== null && 'tags' in value ? value.tags : undefined
  return Array.isArray(tags) && tags.every((tag) => typeof tag === 'string')
}

/** The first message of an OCI error; undefined where a proxy in between says something else. */
function problemIn(body: Uint8Array): string | undefined {
  try {
    const message: unknown = JSON.parse(Buffer.from(body).toString()).errors[0].message
    return typeof message === 'string' ? message.slice(0, PROBLEM_CHARS_MAX) : undefined
  } catch {
    return undefined
  }
}

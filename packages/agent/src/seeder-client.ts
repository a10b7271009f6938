/**
 * Asks the seeder what images are, and other agents, which answer the same question in its place.
 *
 * What is answered at once and what waits never share connections: questions, and questions that wait for a blob on its way, have
 * their own. A deadline runs from when a question is asked, not while it waits for its turn.
 */
import { type Digest, isAddress, isHostName, type MayDial } from '@shoal/core'
import { looksLikeHost, type Referrer, splitMirroredName } from '@shoal/oci'
import { discardAnswer, Gate, type HttpAnswer, HttpClient, readShortBody } from '@shoal/service'
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
} from '@shoal/wire'
import { SourceUnavailableError } from './errors.ts'
import { sourceFailure } from './source-failure.ts'

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
const CONNECT_TIMEOUT_MS = 1_000
/** How long an answer may stand still. */
const ANSWER_IDLE_TIMEOUT_MS = 5_000
/** Questions to the seeder at a time: those of some images of many layers. */
const QUESTIONS_AT_ONCE = 32
/** The same of those that wait for a blob on its way: as many as blobs may arrive at a time. */
const WAITS_AT_ONCE = 64
/** Of an answer that says why another registry could not be asked, and of the sentence in it. */
const PROBLEM_BYTES_MAX = 16 * 1024
const PROBLEM_CHARS_MAX = 1_024
const TAG_LIST_BYTES_MAX = 4 * 1024 * 1024
/** A page and the longest manifest's annotations. */
const REFERRERS_BYTES_MAX = 16 * 1024 * 1024

export interface SeederClientParts {
  /** Of contacts, of whom strangers tell. The seeder is where the settings say. */
  readonly mayDial: MayDial
  /** Shows the seeder that a question comes from the agent whose announce stream is open; undefined while none is. */
  readonly streamSecret: () => string | undefined
  /** The seeder does not serve the registry that was asked for. */
  readonly onUnserved?: (registry: string) => void
}

/** Everything about a question but what its answer means. */
interface Asked {
  readonly client: HttpClient
  /** For messages. */
  readonly source: string
  readonly headers?: Readonly<Record<string, string>>
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

export class SeederClient {
  readonly #parts: SeederClientParts
  readonly #questions = clientOf(QUESTIONS_AT_ONCE, MIRRORED_TIMEOUT_MS)
  readonly #questionGate = new Gate(QUESTIONS_AT_ONCE)
  readonly #waits = clientOf(WAITS_AT_ONCE, ARRIVAL_TIMEOUT_MS)
  readonly #waitGate = new Gate(WAITS_AT_ONCE)
  /** Strangers' answers are in memory one of each at a time, however many questions there are. */
  readonly #contacts: HttpClient

  constructor(parts: SeederClientParts) {
    this.#parts = parts
    this.#contacts = new HttpClient({
      connectionsMax: 1,
      connectTimeoutMs: CONTACT_TIMEOUT_MS,
      headersTimeoutMs: CONTACT_TIMEOUT_MS,
      bodyIdleTimeoutMs: CONTACT_TIMEOUT_MS,
      // The port is the dialled one's own business here: who asks itself is answered, at no harm.
      lookup: peerLookup(parts.mayDial, 0),
    })
  }

  async stop(): Promise<void> {
    await Promise.all([this.#questions, this.#waits, this.#contacts].map((client) => client.close()))
  }

  /** Opens a connection that the first question finds ready. Never rejects: the question itself tells what is wrong. */
  async greet(baseUrl: string): Promise<void> {
    try {
      const signal = AbortSignal.timeout(RESOLVE_TIMEOUT_MS)
      await discardAnswer(await this.#questions.request(new URL('/healthz', baseUrl), { signal }))
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
    const [gate, client] =
      question.wait === undefined ? [this.#questionGate, this.#questions] : [this.#waitGate, this.#waits]
    return gate.run(() => this.#resolve(url, question, client, who, signal))
  }

  #resolve(
    url: URL,
    question: ResolveQuestion,
    client: HttpClient,
    who: 'seeder' | 'contact',
    signal: AbortSignal | undefined,
  ): Promise<Resolution | undefined> {
    const secret = who === 'seeder' ? this.#parts.streamSecret() : undefined
    const asked: Asked = {
      client,
      source: url.host,
      ...(secret !== undefined && { headers: { [STREAM_SECRET_HEADER]: secret } }),
      timeoutMs: timeoutOf(question, who),
      signal,
    }
    return ask(url, asked, async (answer) => {
      if (answer.status === 404) {
        const registry = answer.header(UNSERVED_REGISTRY_HEADER)
        if (who === 'seeder' && registry !== undefined && looksLikeHost(registry))
          this.#parts.onUnserved?.(registry)
        return undefined
      }
      if (answer.status === UPSTREAM_PROBLEM_STATUS && who === 'seeder') {
        const upstreamProblem = problemIn(await bodyOf(url.host, answer, PROBLEM_BYTES_MAX))
        if (upstreamProblem !== undefined)
          throw new SourceUnavailableError(url.host, upstreamProblem, { upstreamProblem })
      }
      expectOk(url.host, answer)
      return decodeResolution(await bodyOf(url.host, answer, answerBytesMax(question, who)))
    })
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
    signal: AbortSignal,
  ): Promise<{ tags: string[]; more: boolean } | undefined> {
    const url = new URL(`/v2/${repository}/tags/list`, seederUrl)
    url.searchParams.set('n', String(page.tagsMax))
    if (page.after !== undefined) url.searchParams.set('last', page.after)
    return this.#list(url, signal, async (answer) => {
      if (answer.status === 404) return undefined
      expectOk(SEEDER, answer)
      const list = jsonIn(await bodyOf(SEEDER, answer, TAG_LIST_BYTES_MAX))
      if (!isTagList(list)) throw new SourceUnavailableError(SEEDER, 'what it gives is no list of tags')
      return { tags: list.tags, more: answer.header('link') !== undefined }
    })
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
    return this.#list(url, signal, async (answer) => {
      expectOk(SEEDER, answer)
      const list = jsonIn(await bodyOf(SEEDER, answer, REFERRERS_BYTES_MAX))
      if (!isReferrerList(list))
        throw new SourceUnavailableError(SEEDER, 'what it gives is no list of referrers')
      const next = /[?&]last=([^&>]+)/.exec(answer.header('link') ?? '')?.[1]
      return { referrers: list.manifests, ...(next === undefined ? {} : { next: lastIn(next) }) }
    })
  }

  #list<T>(url: URL, signal: AbortSignal, read: (answer: HttpAnswer) => Promise<T>): Promise<T> {
    const asked = { client: this.#questions, source: SEEDER, timeoutMs: RESOLVE_TIMEOUT_MS, signal }
    return this.#questionGate.run(() => ask(url, asked, read))
  }
}

const SEEDER = 'the seeder'

/** One question, within its time. What is left of the answer once `read` has ended is given up. */
async function ask<T>(url: URL, asked: Asked, read: (answer: HttpAnswer) => Promise<T>): Promise<T> {
  const { client, source, headers = {}, timeoutMs, signal } = asked
  signal?.throwIfAborted()
  const deadline = AbortSignal.timeout(timeoutMs)
  let answer: HttpAnswer | undefined
  try {
    const either = signal === undefined ? deadline : AbortSignal.any([signal, deadline])
    answer = await client.request(url, { headers, signal: either })
    return await read(answer)
  } catch (cause) {
    const hasBegun = answer !== undefined
    throw sourceFailure(source, cause, { signal, deadline: { signal: deadline, ms: timeoutMs }, hasBegun })
  } finally {
    if (answer !== undefined) await discardAnswer(answer)
  }
}

/** @param connectionsMax to each host */
function clientOf(connectionsMax: number, headersTimeoutMs: number): HttpClient {
  return new HttpClient({
    connectionsMax,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    headersTimeoutMs,
    bodyIdleTimeoutMs: ANSWER_IDLE_TIMEOUT_MS,
  })
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

/** What an answer of another status says is not what was asked for, whatever its body is. */
function expectOk(source: string, { status }: HttpAnswer): void {
  if (status !== 200) throw new SourceUnavailableError(source, `status ${status}`)
}

async function bodyOf(source: string, answer: HttpAnswer, bytesMax: number): Promise<Uint8Array> {
  const body = await readShortBody(answer, bytesMax)
  if (body === undefined)
    throw new SourceUnavailableError(source, `its answer is longer than ${bytesMax} bytes`)
  return body
}

/** @returns undefined when it is none */
function jsonIn(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString())
  } catch {
    return undefined
  }
}

function isTagList(value: unknown): value is { tags: string[] } {
  const tags = typeof value === 'object' && value !== null && 'tags' in value ? value.tags : undefined
  return Array.isArray(tags) && tags.every((tag) => typeof tag === 'string')
}

function isReferrerList(value: unknown): value is { manifests: Referrer[] } {
  return typeof value === 'object' && value !== null && 'manifests' in value && Array.isArray(value.manifests)
}

/** What a link's `last` says; a plus is one, as in a path. */
function lastIn(encoded: string): string {
  return new URLSearchParams(`last=${encoded.replaceAll('+', '%2B')}`).get('last') ?? ''
}

/** The first message of an OCI error; undefined where a proxy in between says something else. */
function problemIn(body: Uint8Array): string | undefined {
  const { errors } = (jsonIn(body) ?? {}) as { errors?: readonly { message?: unknown }[] }
  const message = Array.isArray(errors) ? errors[0]?.message : undefined
  return typeof message === 'string' ? message.slice(0, PROBLEM_CHARS_MAX) : undefined
}

/**
 * One question to a registry, with everything that can come between it and the answer: a challenge, redirects, a busy or
 * failing server. Whoever asks gets an answer that means something, or an error.
 */
import type { Logger } from 'pino'
import type { UpstreamAddress } from './address.ts'
import type { Authorizer } from './authorizer.ts'
import type { UpstreamAnswer, UpstreamConnections, UpstreamRequest } from './connections.ts'
import {
  UpstreamBusyError,
  UpstreamDeniedError,
  UpstreamInvalidError,
  UpstreamRedirectRefusedError,
  UpstreamUnavailableError,
} from './errors.ts'
import type { Grant } from './grant.ts'
import { type RateLimit, readRateLimit, readRetryAtMs } from './rate-limit.ts'
import { isRedirect, redirectTarget } from './redirect.ts'

export interface Question {
  readonly method: 'GET' | 'HEAD'
  readonly repository: string
  /** Below `/v2/<repository>/`, with the query. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** Manifests are what registries count, so they are not asked for while the limit is used up. */
  readonly isManifest: boolean
  readonly lane: UpstreamRequest['lane']
  /** Statuses that whoever asks makes something of, beside those that always mean something. */
  readonly meaningful?: readonly number[]
  readonly signal: AbortSignal
}

export interface ExchangeParts {
  readonly connections: UpstreamConnections
  readonly authorizer: Authorizer
  readonly nowMs: () => number
  readonly log: Logger
}

/** An answer, and what it was given for. */
interface Authorized {
  readonly answer: UpstreamAnswer
  readonly grant: Grant | undefined
}

/** Statuses that whoever asked makes something of. */
const MEANINGFUL: readonly number[] = [200, 206, 304, 404, 405, 416]
const PASSING: readonly number[] = [502, 503, 504]

export class UpstreamExchange {
  /** What the registry has last said, for metrics. */
  rateLimit: RateLimit | undefined
  #busyUntilMs = Number.NEGATIVE_INFINITY

  readonly #parts: ExchangeParts
  readonly #address: UpstreamAddress

  constructor(parts: ExchangeParts, address: UpstreamAddress) {
    this.#parts = parts
    this.#address = address
  }

  get busyUntilMs(): number | undefined {
    return this.#busyUntilMs > this.#parts.nowMs() ? this.#busyUntilMs : undefined
  }

  /**
   * @returns an answer of status 200, 206, 304, 404, 405 or 416, or one that is `meaningful`; its body is the caller's
   * @throws UpstreamError
   */
  async ask(question: Question): Promise<UpstreamAnswer> {
    const { host } = this.#address
    if (question.isManifest && this.busyUntilMs !== undefined)
      throw new UpstreamBusyError(host, this.busyUntilMs)
    const answer = await this.#followed(question, await this.#authorized(question).catch(this.#noteBusy))
    const { meaningful = [] } = question
    if (MEANINGFUL.includes(answer.status) || meaningful.includes(answer.status)) return answer
    await answer.discard()
    throw this.#refusal(answer)
  }

  async #authorized(question: Question): Promise<Authorized> {
    const { authorizer } = this.#parts
    const known = await authorizer.known(question.repository, question.signal)
    const first = await this.#send(question, known)
    if (first.status !== 401) return { answer: first, grant: known }
    await first.discard()
    const grant = await authorizer.answer(first, question.repository, known, question.signal)
    const second = await this.#send(question, grant)
    if (second.status !== 401) return { answer: second, grant }
    // What was just granted is not accepted: asking a third time would go on for ever.
    authorizer.deny(question.repository, grant)
    await second.discard()
    throw new UpstreamDeniedError(
      this.#address.host,
      `no access to ${question.repository}; it does not exist, or the credentials for this registry are missing or not enough`,
    )
  }

  #send(question: Question, grant: Grant | undefined): Promise<UpstreamAnswer> {
    const { repository, path } = question
    return this.#request(question, new URL(`${this.#address.url}/v2/${repository}/${path}`), grant)
  }

  async #request(
    { method, headers, lane, signal }: Question,
    url: URL,
    grant: Grant | undefined,
  ): Promise<UpstreamAnswer> {
    const { connections, nowMs } = this.#parts
    const answer = await connections.request({
      method,
      url,
      headers: { ...headers, ...(grant === undefined ? {} : { authorization: grant.authorization }) },
      lane,
      signal,
    })
    if (connections.isOwn(url)) this.rateLimit = readRateLimit(answer.header, nowMs()) ?? this.rateLimit
    return answer
  }

  /** Goes where the registry points, at most a few times. */
  async #followed(question: Question, first: Authorized): Promise<UpstreamAnswer> {
    const { connections } = this.#parts
    const { redirectsMax } = connections.limits
    const { host } = this.#address
    let { answer, grant } = first
    for (let redirects = 0; isRedirect(answer.status); redirects++) {
      await answer.discard()
      if (redirects === redirectsMax) {
        throw new UpstreamRedirectRefusedError(host, `it redirects more than ${redirects} times`)
      }
      const target = redirectTarget(host, answer.url, answer.header('location'))
      // What is said to the registry is for the registry. Once elsewhere, nothing of it comes back by another redirect.
      if (!connections.isOwn(target)) grant = undefined
      answer = await this.#request(question, target, grant)
    }
    return answer
  }

  #refusal({ status, header, url }: UpstreamAnswer): Error {
    const { host } = this.#address
    const { connections } = this.#parts
    const where = connections.placeOf(url)
    if (status === 429 || (status === 503 && header('retry-after') !== undefined)) {
      const busy = new UpstreamBusyError(host, readRetryAtMs(header, this.#parts.nowMs()))
      // A storage that is busy says nothing of the registry's manifests.
      return connections.isOwn(url) ? this.#remembered(busy) : busy
    }
    if (status === 401 || status === 403) {
      return new UpstreamDeniedError(
        host,
        `no access to ${where} (${status}); check the credentials for this registry and what they may pull`,
      )
    }
    if (status >= 500) {
      return new UpstreamUnavailableError(host, `${where} failed with status ${status}`, {
        isPassing: PASSING.includes(status),
      })
    }
    return new UpstreamInvalidError(
      host,
      `${where} was answered with status ${status}, which means nothing here`,
    )
  }

  /** A token server that is busy keeps everybody out, too. */
  readonly #noteBusy = (error: unknown): never => {
    throw error instanceof UpstreamBusyError ? this.#remembered(error) : error
  }

  #remembered(busy: UpstreamBusyError): UpstreamBusyError {
    const { retryAtMs } = busy
    this.#busyUntilMs = Math.max(this.#busyUntilMs, retryAtMs)
    this.#parts.log.warn({ event: 'upstream-busy', upstream: this.#address.host, retryAtMs }, 'upstream busy')
    return busy
  }
}

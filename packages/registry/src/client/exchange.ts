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
  readonly signal: AbortSignal
}

export interface ExchangeParts {
  readonly connections: UpstreamConnections
  readonly authorizer: Authorizer
  readonly nowMs: () => number
  readonly log: Logger
}

/** Statuses that whoever asked makes something of. */
const MEANINGFUL: readonly number[] = [200, 206, 304, 404, 405, 416]
const PASSING: readonly number[] = [502, 503, 504]

export class UpstreamExchange {
  /** What the registry has last said, for metrics. */
  rateLimit: RateLimit | undefined
  #busyUntilMs = Number.NEGATIVE_INFINITY

  constructor(
    private readonly parts: ExchangeParts,
    private readonly address: UpstreamAddress,
  ) {}

  get busyUntilMs(): number | undefined {
    return this.#busyUntilMs > this.parts.nowMs() ? this.#busyUntilMs : undefined
  }

  /**
   * @returns an answer of status 200, 206, 304, 404, 405 or 416; its body is the caller's
   * @throws UpstreamError
   */
  async ask(question: Question): Promise<UpstreamAnswer> {
    const { host } = this.address
    if (question.isManifest && this.busyUntilMs !== undefined)
      throw new UpstreamBusyError(host, this.busyUntilMs)
    const answer = await this.#followed(question, await this.#authorized(question))
    if (MEANINGFUL.includes(answer.status)) return answer
    await answer.discard()
    throw this.#refusal(answer)
  }

  async #authorized(question: Question): Promise<UpstreamAnswer> {
    const { authorizer } = this.parts
    const known = await authorizer.known(question.repository, question.signal)
    const first = await this.#send(question, known)
    if (first.status !== 401) return first
    await first.discard()
    const grant = await authorizer.answer(first, question.repository, known, question.signal)
    const second = await this.#send(question, grant)
    if (second.status !== 401) return second
    // What was just granted is not accepted: asking a third time would go on for ever.
    authorizer.deny(question.repository, grant)
    await second.discard()
    throw new UpstreamDeniedError(
      this.address.host,
      `no access to ${question.repository}; it does not exist, or the credentials for this registry are missing or not enough`,
    )
  }

  async #send({ method, repository, path, headers, lane, signal }: Question, grant: Grant | undefined) {
    const { connections, nowMs } = this.parts
    const answer = await connections.request({
      method,
      url: new URL(`${this.address.url}/v2/${repository}/${path}`),
      headers: { ...headers, ...(grant === undefined ? {} : { authorization: grant.authorization }) },
      lane,
      signal,
    })
    this.rateLimit = readRateLimit(answer.header, nowMs()) ?? this.rateLimit
    return answer
  }

  /** Goes where the registry points, at most a few times, and without its authorization. */
  async #followed(question: Question, first: UpstreamAnswer): Promise<UpstreamAnswer> {
    const { connections } = this.parts
    const { host } = this.address
    let answer = first
    for (let redirects = 0; isRedirect(answer.status); redirects++) {
      await answer.discard()
      if (redirects === connections.limits.redirectsMax) {
        throw new UpstreamRedirectRefusedError(host, `it redirects more than ${redirects} times`)
      }
      // The location authorizes by itself where that is needed; what is said to the registry is for the registry.
      answer = await connections.request({
        method: question.method,
        url: redirectTarget(host, answer.url, answer.header('location')),
        headers: question.headers ?? {},
        lane: question.lane,
        signal: question.signal,
      })
    }
    return answer
  }

  #refusal({ status, header, url }: UpstreamAnswer): Error {
    const { host } = this.address
    // The path of a foreign host may be a secret of its own.
    const where =
      url.origin === new URL(this.address.url).origin ? url.pathname : `the storage at ${url.host}`
    if (status === 429 || (status === 503 && header('retry-after') !== undefined)) return this.#busy(header)
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

  #busy(header: UpstreamAnswer['header']): UpstreamBusyError {
    const { nowMs, log } = this.parts
    const retryAtMs = readRetryAtMs(header, nowMs())
    this.#busyUntilMs = Math.max(this.#busyUntilMs, retryAtMs)
    log.warn({ event: 'upstream-busy', upstream: this.address.host, retryAtMs }, 'upstream busy')
    return new UpstreamBusyError(this.address.host, retryAtMs)
  }
}

/** Asks the API server of the cluster: reads only, every wait and every answer bounded, repeated while that can help. */
import { setTimeout as pause } from 'node:timers/promises'
import { createSecureContext } from 'node:tls'
import { HttpClient, isTransportFailure, readShortBody, transportReason } from '@shoal/service'
import { printable } from '../control-client/printable.ts'
import {
  ApiServerAnswerError,
  ApiServerBusyError,
  ApiServerRefusedError,
  ApiServerUnreachableError,
} from './errors.ts'
import type { Cluster } from './in-cluster.ts'

export interface ApiServerInit {
  readonly tries: number
  /** Before the second try; twice as long before each further one. */
  readonly firstPauseMs: number
  readonly silentMsMax: number
}

/** Half a minute of an API server that restarts: what a pod's own restarts take over from. */
const API_SERVER_DEFAULTS: ApiServerInit = { tries: 6, firstPauseMs: 1_000, silentMsMax: 10_000 }
const CONNECT_TIMEOUT_MS = 5_000
const ANSWER_BYTES_MAX = 16 * 1024 ** 2
const SAID_SHOWN_MAX = 300

/** What is read, in the words of a role: `get`, `nodes`. */
export interface Right {
  readonly verb: 'get' | 'list'
  readonly resource: string
}

export class ApiServer {
  readonly #cluster: Cluster
  readonly #init: ApiServerInit
  readonly #client: HttpClient

  constructor(parts: { cluster: Cluster }, init: ApiServerInit = API_SERVER_DEFAULTS) {
    this.#cluster = parts.cluster
    this.#init = init
    this.#client = new HttpClient({
      secureContext: createSecureContext({ ca: parts.cluster.authority }),
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      headersTimeoutMs: init.silentMsMax,
      bodyIdleTimeoutMs: init.silentMsMax,
    })
  }

  get namespace(): string {
    return this.#cluster.namespace
  }

  /**
   * @param path with the query
   * @param right what a role must allow, for the message of a refusal
   * @throws ApiServerUnreachableError, ApiServerRefusedError, ApiServerAnswerError, or the signal's reason
   */
  async get(path: string, right: Right, signal: AbortSignal): Promise<unknown> {
    const url = this.#cluster.url + path
    let trouble: unknown
    for (let tried = 0; tried < this.#init.tries; tried += 1) {
      if (tried > 0) await pause(this.#init.firstPauseMs * 2 ** (tried - 1), undefined, { signal })
      const answer = await this.#ask(url, right, signal)
      if ('value' in answer) return answer.value
      trouble = answer.trouble
    }
    throw new ApiServerUnreachableError(url, this.#init.tries, transportReason(trouble), { cause: trouble })
  }

  async stop(): Promise<void> {
    await this.#client.close()
  }

  /** @returns the value, or what may be gone at the next try */
  async #ask(
    url: string,
    right: Right,
    signal: AbortSignal,
  ): Promise<{ value: unknown } | { trouble: unknown }> {
    const token = await this.#cluster.token()
    let status: number
    let body: Buffer | undefined
    try {
      const answer = await this.#client.request(url, {
        signal,
        headers: { authorization: `Bearer ${token}`, accept: 'application/json' },
      })
      status = answer.status
      body = await readShortBody(answer, ANSWER_BYTES_MAX)
    } catch (trouble) {
      signal.throwIfAborted()
      if (!isTransportFailure(trouble)) throw trouble
      return { trouble }
    }
    if (body === undefined) throw new ApiServerAnswerError(url, `it is longer than ${ANSWER_BYTES_MAX} bytes`)
    const value = jsonOf(body)
    const said = printable(messageIn(value).replaceAll(token, '…')).slice(0, SAID_SHOWN_MAX)
    if (status === 429 || status >= 500) return { trouble: new ApiServerBusyError(status, said) }
    if (status !== 200) throw new ApiServerRefusedError(url, status, said, adviceOn(status, right))
    if (typeof value === 'object' && value !== null) return { value }
    throw new ApiServerAnswerError(url, 'it is no JSON object')
  }
}

function adviceOn(status: number, { verb, resource }: Right): string {
  if (status === 401)
    return 'the token of the service account is not accepted; restart the pod to get another'
  if (status === 403) return `allow the service account of this pod "${verb}" on "${resource}" by a role`
  if (status === 404) return 'check the name, and whether it is still there'
  return 'look at the log of the API server'
}

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}

/** Of a refusal, a Status object. */
function messageIn(value: unknown): string {
  const message = (value as { message?: unknown } | null | undefined)?.message
  return typeof message === 'string' ? message : ''
}

/**
 * What is started and stopped as a whole: its parts begin one after the other, each says how it ends, and they end in reverse.
 * One that cannot begin ends those that have, so that a start that fails leaves nothing behind.
 */
import { assert, formatHostPort, type HostPort } from '@shoal/core'
import type { Logger } from 'pino'
import { type CutRequest, cutRequestUnderWay } from './request-under-way.ts'

export interface Running {
  /** Where clients come. */
  readonly listen: HostPort
  /** Where peers connect. */
  readonly peerListen: HostPort
  /** An error came up that nobody handled. */
  onUncaughtError(): void
}

/** @param begun takes how each part ends, once it has begun */
export type Begin = (begun: AsyncDisposableStack) => Promise<Running>

export class Service {
  readonly #begin: Begin
  readonly #log: Logger
  #begun: AsyncDisposableStack | undefined
  #running: Running | undefined

  constructor(parts: { readonly begin: Begin; readonly log: Logger }) {
    this.#begin = parts.begin
    this.#log = parts.log
  }

  /** Where clients come. */
  get url(): string {
    assert(this.#running !== undefined, 'the service is started')
    return `http://${formatHostPort(this.#running.listen)}`
  }

  /** Where peers connect, `host:port`. */
  get peerAddress(): string {
    assert(this.#running !== undefined, 'the service is started')
    return formatHostPort(this.#running.peerListen)
  }

  /** @throws what the part says that could not begin */
  async start(): Promise<void> {
    const begun = new AsyncDisposableStack()
    try {
      this.#running = await this.#begin(begun)
      this.#begun = begun
    } catch (error) {
      // Why it did not start says more than what did not end then.
      await begun.disposeAsync().catch((err: unknown) => {
        this.#log.error({ event: 'stop-failed', err }, 'a part that had begun could not be ended')
      })
      throw error
    }
  }

  /** Ends every part, also those after one that cannot end. */
  async stop(): Promise<void> {
    const begun = this.#begun
    this.#begun = undefined
    this.#running = undefined
    await begun?.disposeAsync()
  }

  /** An error came up that nobody handled: it is counted, and the request that it belongs to, if any, is cut. */
  onUncaughtError(): CutRequest | undefined {
    this.#running?.onUncaughtError()
    return cutRequestUnderWay()
  }
}

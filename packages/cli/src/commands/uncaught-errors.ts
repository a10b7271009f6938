/**
 * What becomes of an error that nobody handled, thrown or rejected: docs/decisions/uncaught-errors.md. A service that serves
 * a whole cluster tells of it, cuts the request that it concerns if it is some request's, and goes on; one that is not ready
 * yet ends. Tests have it end in any case, so that no bug hides in them.
 */
import type { Logger } from 'pino'

/** A bug that comes up with every packet is counted to the last; these lines tell enough of it. */
const LINES_PER_MINUTE_MAX = 60
const MINUTE_MS = 60_000

export interface UncaughtErrorsInit {
  readonly name: string
  readonly log: Logger
  /** Whether the process ends with the first one even where it serves. */
  readonly isFatal: boolean
}

export class UncaughtErrors {
  readonly #init: UncaughtErrorsInit
  #onError: (() => object | undefined) | undefined
  #minuteBeganAtMs = Number.NEGATIVE_INFINITY
  #lines = 0

  constructor(init: UncaughtErrorsInit) {
    this.#init = init
  }

  /** From now on they are met; rejections that nobody handles come here as well. */
  listen(): void {
    process.on('uncaughtException', (error, origin) => this.#met(error, origin))
  }

  /**
   * The service serves: from now on it survives them.
   * @param onError counts it, cuts the request that it belongs to, and returns what the log may say of that
   */
  survive(onError: () => object | undefined): void {
    if (!this.#init.isFatal) this.#onError = onError
  }

  #met(error: unknown, origin: string): void {
    const { name, log } = this.#init
    if (this.#onError === undefined) {
      log.fatal({ event: 'crashed', err: error }, `the ${name} met an error that nobody handled`)
      process.exit(1)
    }
    // An error thrown in here would end the process after all.
    try {
      const request = this.#onError()
      if (!this.#mayWriteLine()) return
      log.error(
        { event: 'uncaught-error', origin, ...request, err: error },
        `the ${name} met an error that nobody handled, and goes on; please report it`,
      )
    } catch {
      // The error is counted; a log that fails is no reason to end.
    }
  }

  #mayWriteLine(): boolean {
    const nowMs = performance.now()
    if (nowMs - this.#minuteBeganAtMs >= MINUTE_MS) {
      this.#minuteBeganAtMs = nowMs
      this.#lines = 0
    }
    return ++this.#lines <= LINES_PER_MINUTE_MAX
  }
}

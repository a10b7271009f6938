import { ShoalError, UsageError } from '@shoal/core'

/** What goes wrong between the command line and a seeder's control API. */
abstract class ControlClientError extends ShoalError {}

/** What to do, by the seeder's code. */
const ADVICE: Readonly<Record<string, string>> = {
  API_TOKEN_INVALID: 'check --token-file or SHOAL_API_TOKEN',
  API_TOKEN_UNSET: 'configure a token at the seeder, and give the same one here',
  GC_BUSY: 'a garbage collection is under way already; wait until it has ended',
}

export class SeederRefusedError extends ControlClientError {
  readonly code = 'CLI_SEEDER_REFUSED'
  readonly url: string
  readonly status: number
  /** The seeder's own. */
  readonly refusal: string

  constructor(url: string, status: number, refusal: string, message: string) {
    const said = message === '' ? refusal : `${message} (${refusal})`
    const advice = Object.hasOwn(ADVICE, refusal) ? `; ${ADVICE[refusal]}` : ''
    super(`${url} answered with ${status}: ${said}${advice}`)
    this.url = url
    this.status = status
    this.refusal = refusal
  }
}

/** An answer that no seeder gives: something else listens there, or another version. */
export class SeederAnswerError extends ControlClientError {
  readonly code = 'CLI_SEEDER_ANSWER'
  readonly url: string

  constructor(url: string, reason: string, options?: ErrorOptions) {
    super(
      `${url} gave an answer that cannot be used: ${reason}; is it a seeder, of the same version as this program?`,
      options,
    )
    this.url = url
  }
}

export class SeederUnreachableError extends ControlClientError {
  readonly code = 'CLI_SEEDER_UNREACHABLE'
  readonly url: string

  constructor(url: string, reason: string, options?: ErrorOptions) {
    super(`the seeder at ${url} cannot be reached: ${reason}; check --seeder or SHOAL_SEEDER`, options)
    this.url = url
  }
}

export class SeederSilentError extends ControlClientError {
  readonly code = 'CLI_SEEDER_SILENT'
  readonly url: string
  readonly silentMs: number

  constructor(url: string, silentMs: number) {
    super(
      `${url} said nothing for ${silentMs / 1_000} s; it may still be at work: look at its log, or ask it again`,
    )
    this.url = url
    this.silentMs = silentMs
  }
}

/** The connection ended before the seeder said that it had done everything. */
export class PublishCutError extends ControlClientError {
  readonly code = 'CLI_PUBLISH_CUT'
  readonly url: string

  constructor(url: string, reason: string, options?: ErrorOptions) {
    super(
      `${url} was cut off before everything was published (${reason}); ask again, what is there already is not copied twice`,
      options,
    )
    this.url = url
  }
}

export class LineTooLongError extends ControlClientError {
  readonly code = 'CLI_LINE_TOO_LONG'
  readonly lineBytesMax: number

  constructor(lineBytesMax: number) {
    super(`a line is longer than ${lineBytesMax} bytes`)
    this.lineBytesMax = lineBytesMax
  }
}

/** No token, or one that is none. Says nothing of what is in it. */
export class TokenError extends UsageError {
  readonly code = 'CLI_TOKEN'
  /** @param source `--token-file FILE`, `SHOAL_API_TOKEN` */
  constructor(source: string, reason: string, options?: ErrorOptions) {
    super(`${source}: ${reason}`, options)
  }
}

export class SeederUrlError extends UsageError {
  readonly code = 'CLI_SEEDER_URL'
  constructor(source: string, reason: string) {
    super(`${source}: ${reason}`)
  }
}

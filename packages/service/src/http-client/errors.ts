/** What goes wrong between this process and a server that it asks over HTTP. Callers branch on class or code. */
import { ShoalError } from '@shoal/core'

abstract class HttpClientError extends ShoalError {}

export type HttpPhase = 'connect' | 'send' | 'headers' | 'body'

const WAITED_FOR: Readonly<Record<HttpPhase, string>> = {
  connect: 'no connection stood',
  send: 'it took nothing more of the request',
  headers: 'it did not begin to answer',
  body: 'no more of its answer came',
}

export class HttpTimeoutError extends HttpClientError {
  readonly code: 'HTTP_CONNECT_TIMEOUT' | 'HTTP_SEND_TIMEOUT' | 'HTTP_HEADERS_TIMEOUT' | 'HTTP_BODY_TIMEOUT'
  readonly host: string
  readonly phase: HttpPhase
  constructor(host: string, phase: HttpPhase, afterMs: number) {
    super(
      `${host}: ${WAITED_FOR[phase]} within ${afterMs} ms; check that it is well and can be reached from here`,
    )
    this.host = host
    this.phase = phase
    this.code = `HTTP_${phase.toUpperCase() as Uppercase<HttpPhase>}_TIMEOUT`
  }
}

/** A proxy on the way does not let the request through. */
export class ProxyRefusedError extends HttpClientError {
  readonly code = 'HTTP_PROXY_REFUSED'
  readonly status: number
  constructor(host: string, status: number) {
    super(
      `the proxy on the way to ${host} refused to go on (status ${status}); check what it lets through, and for whom`,
    )
    this.status = status
  }
}

export class HttpClientClosedError extends HttpClientError {
  readonly code = 'HTTP_CLIENT_CLOSED'
  constructor() {
    super('the connections were closed; nothing can be asked over them any more')
  }
}

/**
 * Whether an error is of the connection or of the server at its end, and not of this code: what Node says of sockets, names,
 * TLS and HTTP has a code. A bug (TypeError, RangeError and the like) is none, also where Node gave it a code.
 */
export function isTransportFailure(error: unknown): boolean {
  if (error instanceof HttpClientError) return true
  // A name with several addresses fails once for each.
  if (error instanceof AggregateError)
    return error.errors.length > 0 && error.errors.every(isTransportFailure)
  if (!(error instanceof Error) || error instanceof ShoalError) return false
  if (error instanceof TypeError || error instanceof RangeError || error instanceof SyntaxError) return false
  return 'code' in error && typeof error.code === 'string'
}

/** What an error of the connection says. A host with several addresses fails once for each, and says nothing itself. */
export function transportReason(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0)
    return error.errors.map(transportReason).join('; ')
  return error instanceof Error ? error.message || error.name : String(error)
}

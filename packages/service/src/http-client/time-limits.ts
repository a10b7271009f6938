/**
 * Ends a request that stands still: while it is sent, until its answer begins, in the answer's body, and where its own body goes on
 * although the answer has ended.
 */
import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { HttpTimeoutError } from './errors.ts'

/** Zero stands for no limit. */
export interface TimeLimits {
  /** From the request's last byte to the answer's headers, and between two bytes of a request. */
  readonly headersTimeoutMs: number
  /** How long a body may stand still while somebody reads it. */
  readonly bodyIdleTimeoutMs: number
}

/** No timer of Node is longer. */
const TIMER_MS_MAX = 2 ** 31 - 1
/** A server that has answered may go on taking the request's body for so long; many stop reading it, and say nothing of that. */
const REST_OF_REQUEST_MS_MAX = 2_000

/** To be called before the request has its connection. */
export function limitTimes(
  asked: ClientRequest,
  host: string,
  { headersTimeoutMs, bodyIdleTimeoutMs }: TimeLimits,
): void {
  let received: IncomingMessage | undefined
  let headersTimer: NodeJS.Timeout | undefined
  let restTimer: NodeJS.Timeout | undefined
  // The socket's own timer is moved by every byte in either direction.
  const idle = (socket: Socket) => {
    if (received === undefined) {
      if (!socket.connecting && !asked.writableFinished)
        asked.destroy(new HttpTimeoutError(host, 'send', headersTimeoutMs))
    } else if (received.readableLength > 0 || bodyIdleTimeoutMs === 0) {
      // Whoever reads is slower than who sends.
      socket.setTimeout(timerMs(bodyIdleTimeoutMs))
    } else received.destroy(new HttpTimeoutError(host, 'body', bodyIdleTimeoutMs))
  }
  asked.once('socket', (socket: Socket) => {
    const onIdle = () => idle(socket)
    socket.setTimeout(timerMs(headersTimeoutMs)).on('timeout', onIdle)
    asked.once('close', () => socket.off('timeout', onIdle))
  })
  asked.once('finish', () => {
    if (received !== undefined || headersTimeoutMs === 0) return
    const giveUp = () => asked.destroy(new HttpTimeoutError(host, 'headers', headersTimeoutMs))
    headersTimer = setTimeout(giveUp, headersTimeoutMs)
  })
  asked.once('response', (body: IncomingMessage) => {
    clearTimeout(headersTimer)
    received = body
    body.socket.setTimeout(timerMs(bodyIdleTimeoutMs))
    body.once('close', () => {
      if (asked.writableFinished || asked.destroyed) return
      restTimer = setTimeout(() => asked.destroy(), REST_OF_REQUEST_MS_MAX)
    })
  })
  asked.once('close', () => {
    clearTimeout(headersTimer)
    clearTimeout(restTimer)
  })
}

function timerMs(ms: number): number {
  return Math.min(ms, TIMER_MS_MAX)
}

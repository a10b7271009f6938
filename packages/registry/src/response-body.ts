/**
 * Moves a blob's bytes to the client, under back-pressure and with an exact length: the body is whole, or the
 * connection is cut; a short body never ends as if it were complete.
 */
import type { ServerResponse } from 'node:http'
import {
  type BodyOnItsWay,
  type BodyPlaces,
  ClientLeftError,
  inPlace,
  steadyMs,
  within,
} from '@shoal/service'
import type { FastifyReply } from 'fastify'
import { BodyLengthError, ClientStalledError } from './oci-errors.ts'

/**
 * Written to the socket at once. A client that takes this much within every idle timeout is slow, not gone: 256 KiB in
 * two minutes is 2 KiB/s.
 */
const WRITE_BYTES_MAX = 256 * 1024

export interface BodyInit {
  /** Bytes that `Content-Length` announces. */
  readonly bytes: number
  /** The header is sent after this, whether or not there is a byte to follow it. */
  readonly headerWithinMs: number
  /** How long the client may take nothing. */
  readonly idleTimeoutMs: number
  readonly signal: AbortSignal
  /** Where a body that is longer than a few buffers needs a place. */
  readonly places: BodyPlaces
}

/** Shorter ones are no more than the answer itself. */
const PLACELESS_BYTES_MAX = 64 * 1024

/** As the places see it: a client that is waited for is one that does not take what was written. */
class BodyToClient implements BodyOnItsWay {
  readonly ip: string
  #waitingSinceMs: number | undefined

  readonly raw: ServerResponse

  constructor(raw: ServerResponse) {
    this.raw = raw
    this.ip = raw.socket?.remoteAddress ?? ''
  }

  stalledMs(): number {
    return this.#waitingSinceMs === undefined ? 0 : steadyMs() - this.#waitingSinceMs
  }

  giveWay(): void {
    this.raw.destroy(new Error('the client took nothing, and others waited'))
  }

  /** Resolves when the system has taken the bytes. @throws ClientLeftError */
  async write(bytes: Uint8Array, idleTimeoutMs: number): Promise<void> {
    this.#waitingSinceMs = steadyMs()
    try {
      await write(this.raw, bytes, idleTimeoutMs)
    } finally {
      this.#waitingSinceMs = undefined
    }
  }
}

/**
 * Sends status and headers of `reply` and then `body`. The first chunk is awaited before the headers leave, for a while: until
 * then a failure can still be told as an error.
 */
export async function sendBody(
  reply: FastifyReply,
  body: AsyncIterable<Uint8Array>,
  init: BodyInit,
): Promise<void> {
  const client = new BodyToClient(reply.raw)
  const send = async () => {
    const chunks = body[Symbol.asyncIterator]()
    try {
      const first = chunks.next()
      first.catch(() => {})
      const early = await within(first, init.headerWithinMs)
      if (early?.done === true && init.bytes > 0) throw new BodyLengthError(init.bytes, 0)
      reply.hijack()
      await sendChunks(reply, client, early ?? first, chunks, init)
    } finally {
      await chunks.return?.()
    }
  }
  await (init.bytes <= PLACELESS_BYTES_MAX ? send() : inPlace(init.places, client, init.signal, send))
}

async function sendChunks(
  reply: FastifyReply,
  client: BodyToClient,
  first: IteratorResult<Uint8Array> | Promise<IteratorResult<Uint8Array>>,
  chunks: AsyncIterator<Uint8Array>,
  init: BodyInit,
): Promise<void> {
  const { raw } = reply
  // A socket that dies is noticed through `close`; its error says nothing more.
  raw.on('error', () => {})
  raw.writeHead(reply.statusCode, reply.getHeaders() as Record<string, string>)
  // Otherwise they leave with the first bytes, in one packet.
  if (first instanceof Promise) raw.flushHeaders()
  let sent = 0
  try {
    for (let next = await first; next.done !== true; next = await chunks.next()) {
      sent += next.value.length
      if (sent > init.bytes) throw new BodyLengthError(init.bytes, sent)
      await writeAll(client, next.value, init.idleTimeoutMs)
    }
    if (sent !== init.bytes) throw new BodyLengthError(init.bytes, sent)
    raw.end()
  } catch (err) {
    raw.destroy()
    // Clients close early as a matter of course: containerd reads one chunk of an open-ended range and leaves. A write may
    // fail before anything else tells of it.
    if (init.signal.aborted || err instanceof ClientLeftError)
      reply.log.debug({ event: 'client-left', sent, bytes: init.bytes }, 'client left before the body ended')
    else reply.log.warn({ event: 'body-cut', err, sent, bytes: init.bytes }, 'body cut')
  }
}

async function writeAll(client: BodyToClient, chunk: Uint8Array, idleTimeoutMs: number): Promise<void> {
  for (let offset = 0; offset < chunk.length; offset += WRITE_BYTES_MAX) {
    if (client.raw.destroyed) throw new ClientLeftError()
    await client.write(chunk.subarray(offset, offset + WRITE_BYTES_MAX), idleTimeoutMs)
  }
}

/**
 * Resolves when the system has taken the bytes, so that their memory may be used again.
 * @throws ClientLeftError
 */
function write(raw: ServerResponse, bytes: Uint8Array, idleTimeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error) => {
      clearTimeout(timer)
      raw.off('close', onClose)
      if (error) reject(error)
      else resolve()
    }
    const onClose = () => settle(new ClientLeftError())
    const timer = setTimeout(() => settle(new ClientStalledError(idleTimeoutMs)), idleTimeoutMs)
    raw.on('close', onClose)
    // A reset, a broken pipe: all that a socket can fail with.
    raw.write(bytes, (cause) => settle(cause ? new ClientLeftError({ cause }) : undefined))
  })
}

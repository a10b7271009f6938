/**
 * Moves the body of a request to whoever consumes it, chunk by chunk under back-pressure: the socket is read when the
 * consumer asks. A body that stops before it is complete throws, so that nothing half-received passes for whole.
 */
import type { IncomingMessage } from 'node:http'
import { OciError } from '@shoal/oci'
import type { BodyOnItsWay } from '@shoal/service'
import { ClientLeftError, hasBody, steadyMs } from '@shoal/service'
import { RequestCutError } from './oci-errors.ts'

/** What a refused body may still send while the client learns of the refusal, and for how long. */
const DISCARD_BYTES_MAX = 16 * 1024 * 1024
const DISCARD_MS_MAX = 5_000

/**
 * The least that a client may send, over all the time that it is waited for: a `docker push` sends five layers at once, and
 * over a line of 256 kbit/s, the slowest from which somebody pushes, each of them gets 6 KiB/s.
 */
const RATE_MIN_BYTES_PER_MS = (4 * 1024) / 1_000
/** Who has brought so much has come on; a byte now and then is nothing. */
const PROGRESS_BYTES = 64 * 1024
/** Chunks that are shorter are joined with what has piled up behind them. */
const CRUMB_BYTES = 4 * 1024

/** The body of one request; can be iterated once. */
export class RequestBody implements BodyOnItsWay, AsyncIterable<Uint8Array> {
  readonly ip: string
  #chunks: ChunkReader | undefined
  #hasGivenWay = false

  readonly #raw: IncomingMessage
  readonly #idleTimeoutMs: number

  /**
   * @param idleTimeoutMs how long the client may be waited for, beyond what its bytes take at 4 KiB/s; the time that the
   * consumer takes does not count
   */
  constructor(raw: IncomingMessage, idleTimeoutMs: number) {
    this.#raw = raw
    this.#idleTimeoutMs = idleTimeoutMs
    this.ip = raw.socket.remoteAddress ?? ''
  }

  stalledMs(): number {
    return this.#chunks?.stalledMs ?? 0
  }

  giveWay(): void {
    this.#hasGivenWay = true
    this.#chunks?.fail(gaveWay())
  }

  /** @throws RequestCutError when the client goes away or stays silent, OciError when the body gave way */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    if (this.#hasGivenWay) throw gaveWay()
    let received = 0
    const chunks = new ChunkReader(this.#raw, this.#idleTimeoutMs)
    this.#chunks = chunks
    try {
      for (let chunk = await chunks.next(); chunk !== undefined; chunk = await chunks.next()) {
        received += chunk.length
        yield chunk
      }
    } catch (cause) {
      if (cause instanceof OciError) throw cause
      throw new RequestCutError(received, { cause })
    } finally {
      chunks.release()
      this.#chunks = undefined
    }
    if (this.#raw.complete === false) throw new RequestCutError(received)
  }
}

function gaveWay(): OciError {
  return new OciError('TOOMANYREQUESTS', 'the body came too slowly, and others wait; try again')
}

/**
 * Collects a small body.
 * @throws OciError 413, as soon as more than `bytesMax` are received
 */
export async function collectBody(body: RequestBody, bytesMax: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of body) {
    length += part.length
    if (length > bytesMax) throw bodyTooLong(bytesMax)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

export function bodyTooLong(bytesMax: number): OciError {
  const what = `longer than the ${bytesMax} bytes that are allowed`
  return new OciError('MANIFEST_INVALID', what, { status: 413 })
}

/**
 * Reads and forgets what the client still sends, within bounds: most clients read the answer only after they have sent
 * everything, and lose it when the connection is reset under them.
 *
 * @returns whether the body came to its end, so that the connection can serve another request
 */
export function discardBody(raw: IncomingMessage): Promise<boolean> {
  if (raw.complete || raw.readableEnded || raw.destroyed || !hasBody(raw)) return Promise.resolve(true)
  return new Promise((resolve) => {
    let bytes = 0
    const settle = (isWhole: boolean) => {
      clearTimeout(timer)
      raw.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose)
      if (!isWhole) raw.pause()
      resolve(isWhole)
    }
    const onData = (chunk: Uint8Array) => {
      bytes += chunk.length
      if (bytes > DISCARD_BYTES_MAX) settle(false)
    }
    const onEnd = () => settle(true)
    const onClose = () => settle(false)
    const timer = setTimeout(onClose, DISCARD_MS_MAX)
    raw.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose)
    raw.resume()
  })
}

/**
 * One chunk at a time, as the socket gave it. The stream's own iterator would join what has piled up into a new buffer,
 * and destroy the connection when the consumer stops early, while an answer is still to be sent.
 */
class ChunkReader {
  #chunk: Uint8Array | undefined
  #isEnded = false
  #error: Error | undefined
  #wake: () => void = () => {}
  /** How long the client was waited for, less what its bytes take at the least rate. */
  #owedMs = 0
  /** Since the client came on last: how long it was waited for, and what came. */
  #waitedMs = 0
  #cameBytes = 0
  #lastBytes = CRUMB_BYTES
  #waitingSinceMs: number | undefined

  readonly #raw: IncomingMessage
  readonly #idleTimeoutMs: number

  constructor(raw: IncomingMessage, idleTimeoutMs: number) {
    this.#raw = raw
    this.#idleTimeoutMs = idleTimeoutMs
    this.#isEnded = raw.readableEnded
    raw.on('data', this.#onData).on('end', this.#onEnd).on('error', this.#onError).on('close', this.#onClose)
    raw.pause()
  }

  /** @returns undefined at the end */
  async next(): Promise<Uint8Array | undefined> {
    if (this.#chunk === undefined && !this.#isEnded && this.#error === undefined) await this.#arrival()
    const chunk = this.#chunk
    this.#chunk = undefined
    if (chunk === undefined && this.#error !== undefined) throw this.#error
    return chunk
  }

  release(): void {
    this.#raw
      .off('data', this.#onData)
      .off('end', this.#onEnd)
      .off('error', this.#onError)
      .off('close', this.#onClose)
    // Whatever happens to the request now was seen here or concerns nobody.
    this.#raw.on('error', () => {})
  }

  /** How long the client has been waited for since it came on last; 0 while it is not waited for. */
  get stalledMs(): number {
    const since = this.#waitingSinceMs
    return since === undefined ? 0 : this.#waitedMs + steadyMs() - since
  }

  /** Whoever waits for the next chunk gets this instead. */
  fail(error: Error): void {
    this.#onError(error)
  }

  async #arrival(): Promise<void> {
    if (this.#raw.destroyed) return this.#onClose()
    const raw = this.#raw
    const idleTimeoutMs = this.#idleTimeoutMs
    const sinceMs = steadyMs()
    this.#waitingSinceMs = sinceMs
    const timer = setTimeout(
      () => raw.destroy(new Error('less than 4 KiB/s were sent for too long')),
      Math.max(0, idleTimeoutMs - this.#owedMs),
    )
    try {
      // What a client sends in crumbs is taken together, a turn later: each costs as much as a chunk.
      const isCrumbs = this.#lastBytes < CRUMB_BYTES
      if (isCrumbs) await new Promise((resolve) => setImmediate(resolve))
      if (this.#isEnded || this.#error !== undefined) return
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        if (isCrumbs && raw.readableLength > 0) raw.read()
        else raw.resume()
      })
    } finally {
      clearTimeout(timer)
      this.#waitingSinceMs = undefined
    }
    const waitedMs = steadyMs() - sinceMs
    const came = this.#chunk?.length ?? 0
    this.#owedMs = Math.max(0, this.#owedMs + waitedMs - came / RATE_MIN_BYTES_PER_MS)
    this.#waitedMs += waitedMs
    this.#cameBytes += came
    this.#lastBytes = came
    if (this.#cameBytes < PROGRESS_BYTES) return
    this.#cameBytes = 0
    this.#waitedMs = 0
  }

  readonly #onData = (chunk: Uint8Array) => {
    this.#raw.pause()
    this.#chunk = chunk
    this.#wake()
  }

  readonly #onEnd = () => {
    this.#isEnded = true
    this.#wake()
  }

  readonly #onError = (error: Error) => {
    this.#error ??= error
    this.#wake()
  }

  readonly #onClose = () => {
    if (!this.#isEnded) this.#onError(new ClientLeftError())
  }
}

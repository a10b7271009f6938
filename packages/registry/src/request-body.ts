/**
 * Moves the body of a request to whoever consumes it, chunk by chunk under back-pressure: the socket is read when the
 * consumer asks. A body that stops before it is complete throws, so that nothing half-received passes for whole.
 */
import type { IncomingMessage } from 'node:http'
import { OciError } from '@shoal/oci'
import { RequestCutError } from './oci-errors.ts'

/** What a refused body may still send while the client learns of the refusal, and for how long. */
const DISCARD_BYTES_MAX = 16 * 1024 * 1024
const DISCARD_MS_MAX = 5_000

/**
 * Waiting counts from one of these marks to the next: who sends a byte just before every timeout would otherwise hold an
 * upload, of which there are few, for ever. 64 KiB in two minutes is half a KiB/s.
 */
const PROGRESS_BYTES = 64 * 1024

/** Bytes that the client announced; undefined when it did not. */
export function announcedBytes(raw: IncomingMessage): number | undefined {
  const header = raw.headers['content-length']
  // Node's parser has refused what is not digits, and a length beside Transfer-Encoding.
  return header === undefined ? undefined : Number(header)
}

/** Whether a body follows the headers (RFC 9112, 6.3). */
export function hasBody(raw: IncomingMessage): boolean {
  return raw.headers['transfer-encoding'] !== undefined || (announcedBytes(raw) ?? 0) > 0
}

/**
 * @param idleTimeoutMs how long the client may be waited for until it has sent 64 KiB, or all; the time that the consumer
 * takes does not count
 * @throws RequestCutError from the iteration, when the client goes away or stays silent
 */
export async function* readBody(raw: IncomingMessage, idleTimeoutMs: number): AsyncGenerator<Uint8Array> {
  let received = 0
  const chunks = new ChunkReader(raw, idleTimeoutMs)
  try {
    for (let chunk = await chunks.next(); chunk !== undefined; chunk = await chunks.next()) {
      received += chunk.length
      yield chunk
    }
  } catch (cause) {
    throw new RequestCutError(received, { cause })
  } finally {
    chunks.release()
  }
  if (raw.complete === false) throw new RequestCutError(received)
}

/**
 * Collects a small body.
 * @throws OciError 413, as soon as more than `bytesMax` are announced or received
 */
export async function collectBody(
  raw: IncomingMessage,
  bytesMax: number,
  idleTimeoutMs: number,
): Promise<Uint8Array> {
  const tooLarge = () =>
    new OciError('MANIFEST_INVALID', `longer than the ${bytesMax} bytes that are allowed`, { status: 413 })
  if ((announcedBytes(raw) ?? 0) > bytesMax) throw tooLarge()
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of readBody(raw, idleTimeoutMs)) {
    length += part.length
    if (length > bytesMax) throw tooLarge()
    parts.push(part)
  }
  return Buffer.concat(parts)
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
  /** Since the last mark: how long was waited, and what came. */
  #waitedMs = 0
  #cameBytes = 0

  constructor(
    private readonly raw: IncomingMessage,
    private readonly idleTimeoutMs: number,
  ) {
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
    this.raw
      .off('data', this.#onData)
      .off('end', this.#onEnd)
      .off('error', this.#onError)
      .off('close', this.#onClose)
    // Whatever happens to the request now was seen here or concerns nobody.
    this.raw.on('error', () => {})
  }

  async #arrival(): Promise<void> {
    if (this.raw.destroyed) return this.#onClose()
    const { raw, idleTimeoutMs } = this
    const begunAtMs = performance.now()
    const timer = setTimeout(
      () => raw.destroy(new Error(`${this.#cameBytes} bytes were sent in ${idleTimeoutMs} ms`)),
      Math.max(0, idleTimeoutMs - this.#waitedMs),
    )
    try {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        raw.resume()
      })
    } finally {
      clearTimeout(timer)
      this.#waitedMs += performance.now() - begunAtMs
    }
    this.#cameBytes += this.#chunk?.length ?? 0
    if (this.#cameBytes < PROGRESS_BYTES) return
    this.#cameBytes = 0
    this.#waitedMs = 0
  }

  readonly #onData = (chunk: Uint8Array) => {
    this.raw.pause()
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
    if (!this.#isEnded) this.#onError(new Error('the connection closed'))
  }
}

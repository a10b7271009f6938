/**
 * Bytes of a blob over HTTP: of the seeder's registry, or of the origin by presigned URL. Those of blobs that are there and those of
 * blobs on their way never share connections.
 */
import { discardAnswer, type HttpAnswer, HttpClient } from '@shoal/service'
import type { ByteRange } from '@shoal/storage'
import { SourceUnavailableError } from './errors.ts'
import type { OriginProxy } from './origin-proxy.ts'
import { sourceFailure } from './source-failure.ts'

const CONNECT_TIMEOUT_MS = 1_000
export const BLOB_IDLE_TIMEOUT_MS = 5_000
export const CONNECTIONS_PER_HOST_MAX = 8
/** Bodies of blobs on their way, and requests that have the seeder fetch what somebody waits for. */
const ARRIVING_BODIES_AT_ONCE = 64
/** An upstream may pause; clients turn elsewhere after this. */
const ARRIVING_IDLE_TIMEOUT_MS = 20_000

export interface HttpSourcesParts {
  /** Where a proxy leads to a URL of the origin. */
  readonly originProxy?: OriginProxy
}

export class HttpSources {
  readonly #parts: HttpSourcesParts
  readonly #bodies = clientOf(CONNECTIONS_PER_HOST_MAX, BLOB_IDLE_TIMEOUT_MS)
  readonly #arrivingBodies = clientOf(ARRIVING_BODIES_AT_ONCE, ARRIVING_IDLE_TIMEOUT_MS)

  constructor(parts: HttpSourcesParts = {}) {
    this.#parts = parts
  }

  async stop(): Promise<void> {
    await Promise.all([this.#bodies.close(), this.#arrivingBodies.close()])
  }

  /**
   * The bytes of `range`, exactly, as they arrive.
   * @param url never logged: it may be a secret
   * @param source for messages
   * @throws SourceUnavailableError when fewer or other bytes are given
   */
  bytes(
    url: string | URL,
    range: ByteRange,
    source: string,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const client = this.#parts.originProxy?.clientFor(url) ?? this.#bodies
    return bytesOf(client, url, range, source, signal)
  }

  /**
   * The same of a blob that is still on its way to the seeder: the bytes may be long in coming, and the last of them does when
   * the whole was found right.
   * @throws SourceUnavailableError when fewer or other bytes are given, or none for long
   */
  arrivingBytes(
    url: URL,
    range: ByteRange,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    return bytesOf(this.#arrivingBodies, url, range, 'the seeder', signal)
  }
}

async function* bytesOf(
  client: HttpClient,
  url: string | URL,
  range: ByteRange,
  source: string,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const headers = { range: `bytes=${range.start}-${range.end - 1}` }
  const wanted = range.end - range.start
  let received = 0
  let answer: HttpAnswer | undefined
  try {
    answer = await client.request(url, { headers, signal })
    if (answer.status !== 206) {
      await discardAnswer(answer)
      throw new SourceUnavailableError(source, `status ${answer.status} for a range`)
    }
    for await (const chunk of answer.body) {
      received += chunk.length
      if (received > wanted)
        throw new SourceUnavailableError(source, 'it gave more bytes than were asked for')
      yield chunk
    }
  } catch (cause) {
    throw sourceFailure(source, cause, { signal, hasBegun: answer !== undefined })
  }
  if (received !== wanted) throw new SourceUnavailableError(source, 'the body was cut short')
}

/** @param connectionsMax to each host */
function clientOf(connectionsMax: number, idleTimeoutMs: number): HttpClient {
  return new HttpClient({
    connectionsMax,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    headersTimeoutMs: idleTimeoutMs,
    bodyIdleTimeoutMs: idleTimeoutMs,
  })
}

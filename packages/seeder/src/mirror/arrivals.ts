/**
 * Blobs on their way from other registries into the origin: each is fetched once for the whole cluster, however many ask,
 * and gone on with where the connection broke.
 */
import { randomInt } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { type Digest, digestAlgorithm } from '@shoal/core'
import { OciError } from '@shoal/oci'
import { Gate, type ImageStore } from '@shoal/registry'
import { UpstreamInvalidError, UpstreamUnavailableError } from '@shoal/registry/client'
import type { Logger } from 'pino'
import type { ArrivingBlob, ArrivingBlobs } from '../arriving/arriving-blobs.ts'
import type { UpstreamRepository } from './upstreams.ts'

export interface ArrivalsParts {
  readonly images: ImageStore
  readonly log: Logger
  readonly onReceived: (bytes: number) => void
  /** Where agents have pieces of blobs that are still arriving. */
  readonly arriving: Pick<ArrivingBlobs, 'begin'>
}

/** Blobs fetched at once: enough for an upstream that limits each connection, few enough for its rate limits. */
const FETCHES_AT_ONCE = 8
/** Connections that may break during one blob. */
const ATTEMPTS_MAX = 5
/** More than anybody guesses. */
const SAMPLE_BYTES = 1_024

export class Arrival {
  receivedBytes = 0
  /** Bytes of the whole blob, once somebody has said it. */
  length: number | undefined
  readonly #known = Promise.withResolvers<number | undefined>()
  readonly #whole = Promise.withResolvers<boolean>()

  constructor(
    readonly digest: Digest,
    length: number | undefined,
  ) {
    this.#known.promise.catch(() => {})
    this.#whole.promise.catch(() => {})
    if (length !== undefined) this.learn(length)
  }

  /** Its length; undefined when there is no such blob. @throws UpstreamError */
  get known(): Promise<number | undefined> {
    return this.#known.promise
  }

  /** Resolves when the blob is in the origin; with false when there is none. @throws UpstreamError */
  get whole(): Promise<boolean> {
    return this.#whole.promise
  }

  learn(length: number): void {
    this.length = length
    this.#known.resolve(length)
  }

  end(isThere: boolean): void {
    this.#known.resolve(isThere ? this.length : undefined)
    this.#whole.resolve(isThere)
  }

  fail(error: unknown): void {
    this.#known.reject(error)
    this.#whole.reject(error)
  }
}

export class Arrivals {
  readonly #parts: ArrivalsParts
  readonly #gate = new Gate(FETCHES_AT_ONCE)
  readonly #underWay = new Map<string, Arrival>()
  readonly #running = new Set<Promise<void>>()
  readonly #stopping = new AbortController()

  constructor(parts: ArrivalsParts) {
    this.#parts = parts
  }

  get count(): number {
    return this.#underWay.size
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the seeder stops'))
    await Promise.all(this.#running)
  }

  /** The blob's arrival in the repository, if it is under way. */
  find(name: string, digest: Digest): Arrival | undefined {
    return this.#underWay.get(`${name}@${digest}`)
  }

  /** @param length where a manifest said it */
  begin(from: UpstreamRepository, digest: Digest, length?: number): Arrival {
    const key = `${from.name}@${digest}`
    const known = this.#underWay.get(key)
    if (known !== undefined) return known
    const arrival = new Arrival(digest, length)
    this.#underWay.set(key, arrival)
    const running = this.#gate
      .run(() => this.#fetch(from, arrival))
      .then(
        (isThere) => arrival.end(isThere),
        (error) => {
          this.#parts.log.warn(
            { event: 'arrival-failed', upstream: from.host, digest, err: error },
            'blob not fetched',
          )
          arrival.fail(error)
        },
      )
      .finally(() => {
        this.#underWay.delete(key)
        this.#running.delete(running)
      })
    this.#running.add(running)
    return arrival
  }

  async #fetch(from: UpstreamRepository, arrival: Arrival): Promise<boolean> {
    const { images, log } = this.#parts
    const { digest } = arrival
    this.#stopping.signal.throwIfAborted()
    const stored = await images.blobStat(from.name, digest, 'look')
    if (stored !== undefined) {
      arrival.learn(stored.length)
      return true
    }
    if (await this.#shareStored(from, arrival)) return true
    let streaming: ArrivingBlob | undefined
    const stream = async (length: number) => {
      streaming ??= await this.#parts.arriving.begin(from.name, digest, length)
      return streaming
    }
    // Before the upstream has answered: agents join meanwhile.
    if (arrival.length !== undefined) await stream(arrival.length)
    const { id } = await images.startUpload(from.name, {
      isOneRequest: true,
      algorithm: digestAlgorithm(digest),
      ...(arrival.length === undefined ? {} : { bytesExpected: arrival.length }),
    })
    try {
      if (!(await this.#receive(from, arrival, id, stream))) {
        streaming?.end(false)
        await images.cancelUpload(from.name, id)
        return false
      }
      await images.finishUpload(from.name, id, digest)
      streaming?.end(true)
    } catch (error) {
      streaming?.end(false)
      await images.cancelUpload(from.name, id)
      if (error instanceof OciError && error.code === 'DIGEST_INVALID')
        throw new UpstreamInvalidError(from.host, `it gave other bytes than those of ${digest}`, {
          cause: error,
        })
      throw error
    }
    log.info(
      { event: 'blob-arrived', upstream: from.host, digest, bytes: arrival.receivedBytes },
      'blob arrived',
    )
    return true
  }

  /**
   * Somebody else pushed or fetched the same bytes: they need not come again, once the upstream has shown that this
   * repository has them, by bytes from a place that nobody can foresee. A digest alone grants nothing, and the manifest that
   * names it may be anybody's.
   */
  async #shareStored(from: UpstreamRepository, arrival: Arrival): Promise<boolean> {
    const { images } = this.#parts
    const stored = (await images.hasContent(arrival.digest)) && (await images.metainfo(arrival.digest))
    if (!stored || stored.metainfo.length === 0) return false
    const { length } = stored.metainfo
    const start = randomInt(Math.max(1, length - SAMPLE_BYTES + 1))
    const range = { start, end: Math.min(length, start + SAMPLE_BYTES) }
    const { signal } = this.#stopping
    const shown = await from.client.blob(from.repository, arrival.digest, { range, signal })
    if (shown === undefined) return false
    const sample = await buffer(shown.body)
    if (shown.length !== length) return false
    if (!sample.equals(await buffer(images.readContent(arrival.digest, range, signal)))) return false
    arrival.learn(shown.length)
    return (await images.mountBlob(from.name, arrival.digest, undefined)) !== undefined
  }

  /** @returns false when the upstream has no such blob */
  async #receive(
    from: UpstreamRepository,
    arrival: Arrival,
    uploadId: string,
    stream: (length: number) => Promise<ArrivingBlob | undefined>,
  ): Promise<boolean> {
    const { images } = this.#parts
    const { signal } = this.#stopping
    // What the registry itself says: the manifest may be wrong, and ranges end where the registry's blob does.
    let length: number | undefined
    for (let attempt = 1; ; attempt++) {
      const start = arrival.receivedBytes
      try {
        const range = start > 0 && length !== undefined ? { range: { start, end: length } } : {}
        const blob = await from.client.blob(from.repository, arrival.digest, { ...range, signal })
        if (blob === undefined) return false
        length = blob.length
        if (arrival.length === undefined) arrival.learn(length)
        const streaming = await stream(length)
        await images.appendUpload(from.name, uploadId, this.#counted(blob.body, arrival, streaming), {
          startAt: start,
        })
        return true
      } catch (error) {
        const hasMoved = arrival.receivedBytes > start
        const isPassing = error instanceof UpstreamUnavailableError && (error.isPassing || hasMoved)
        if (!isPassing || attempt === ATTEMPTS_MAX || signal.aborted) throw error
      }
    }
  }

  async *#counted(
    body: AsyncIterable<Uint8Array>,
    arrival: Arrival,
    streaming: ArrivingBlob | undefined,
  ): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      arrival.receivedBytes += chunk.length
      this.#parts.onReceived(chunk.length)
      const isStreamed = streaming?.append(chunk)
      yield chunk
      await isStreamed
    }
  }
}

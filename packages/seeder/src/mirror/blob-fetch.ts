/**
 * Brings one blob of another registry into the origin, once. Its bytes go to a copy where agents and clients have them as they
 * come, and from there in order into the origin, which finds out whether they are right. Pieces that somebody waits for are
 * fetched beside the others, where the registry gives ranges; no byte crosses twice.
 */
import { randomInt } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { assert, digestAlgorithm } from '@shoal/core'
import { OciError } from '@shoal/oci'
import type { ImageStore } from '@shoal/registry'
import {
  UpstreamBusyError,
  UpstreamInvalidError,
  UpstreamRangeRefusedError,
  UpstreamUnavailableError,
} from '@shoal/registry-client'
import type { Logger } from 'pino'
import type { ArrivingBlob, ArrivingBlobs } from '../arriving/arriving-blobs.ts'
import { FetchPlan, type Stretch } from '../arriving/fetch-plan.ts'
import type { StreamingCopy } from '../arriving/streaming-copy.ts'
import { CopyLostError } from '../errors.ts'
import type { AwaitedBlob } from './awaited-blob.ts'
import { type FetchInTurn, type FetchTurns, TurnOverError } from './fetch-turns.ts'
import type { UpstreamRepository } from './upstreams.ts'

export interface BlobFetchParts {
  readonly images: ImageStore
  readonly log: Logger
  readonly nowMs: () => number
  readonly onReceived: (bytes: number) => void
  /** Where agents have pieces of blobs that are still arriving. */
  readonly arriving: Pick<ArrivingBlobs, 'begin'>
}

/** Connections that may break during one blob, after each other without bringing much. */
const ATTEMPTS_MAX = 5
/** A connection that has brought so much was worth it: a long blob is not given up for the number of its connections. */
const WORTH_BYTES = 16 * 1024 * 1024
/** Connections beside the one that goes through the blob in order. */
const SEEKERS_MAX = 2
/** What these ask for at a time comes in so long, so that others who wait for something else have their turn. */
const SEEK_MS = 2_000
const SEEK_BYTES_MIN = 256 * 1024
/** After so many have failed what is wanted waits for its turn. */
const SEEK_FAILURES_MAX = 3
/** A registry that asks to be left alone for longer, all in all, does not give the blob now. */
const BUSY_MS_MAX = 20_000
/** More than anybody guesses. */
const SAMPLE_BYTES = 1_024

type Outcome = 'here' | 'none' | 'of-another-length'

export class BlobFetch implements FetchInTurn {
  readonly host: string
  readonly repository: string
  mayGiveWay = false
  readonly #parts: BlobFetchParts
  readonly #turns: FetchTurns
  readonly #from: UpstreamRepository
  readonly #blob: AwaitedBlob
  readonly #stopping: AbortSignal
  #attempts = 0
  #beganAtMs = 0
  #lastByteAtMs = 0
  /** Connections of which a byte is awaited. */
  #reading = 0
  #streaming: ArrivingBlob | undefined
  #plan: FetchPlan | undefined
  #canSeek = true
  #seekFailures = 0
  readonly #seekers = new Set<Promise<void>>()
  /** Of the blob, as the registry says it. */
  #lengthThere: number | undefined
  /** While connections beside the first may be opened. */
  #seeking: { readonly copy: StreamingCopy; readonly signal: AbortSignal } | undefined

  constructor(
    parts: BlobFetchParts,
    init: {
      readonly turns: FetchTurns
      readonly from: UpstreamRepository
      readonly blob: AwaitedBlob
      readonly stopping: AbortSignal
    },
  ) {
    this.#parts = parts
    this.#turns = init.turns
    this.#from = init.from
    this.#blob = init.blob
    this.#stopping = init.stopping
    this.host = init.from.host
    this.repository = init.from.repository
  }

  get receivedBytes(): number {
    return this.#blob.receivedBytes
  }

  silentMs(nowMs: number): number {
    return this.#reading === 0 ? 0 : nowMs - this.#lastByteAtMs
  }

  /** @returns false when there is no such blob. @throws UpstreamError, and what the origin says */
  async run(): Promise<boolean> {
    const { images, log } = this.#parts
    const { name } = this.#from
    const { digest } = this.#blob
    this.#stopping.throwIfAborted()
    const stored = await images.blobStat(name, digest, 'look')
    if (stored !== undefined) {
      this.#blob.learn(stored.length)
      return true
    }
    if (await this.#shareStored()) return true
    const outcome = await this.#fetch()
    assert(
      outcome !== 'of-another-length',
      'a blob that is not kept while it comes has the length that it has',
    )
    if (outcome === 'none') return false
    const bytes = this.#blob.receivedBytes
    log.info({ event: 'blob-arrived', upstream: this.host, digest, bytes }, 'blob arrived')
    return true
  }

  async #fetch(): Promise<Outcome> {
    const { log } = this.#parts
    const { digest, length } = this.#blob
    let isRight = false
    try {
      const outcome = await this.#upload((open) => this.#receive(open))
      isRight = outcome === 'here'
      if (outcome !== 'of-another-length') return outcome
      log.warn(
        { event: 'manifest-wrong', upstream: this.host, digest, length },
        'a manifest says another length of a blob than its registry has; it is given out when it is whole',
      )
    } catch (error) {
      if (!(error instanceof CopyLostError)) throw error
      log.warn(
        { event: 'copy-lost', digest, err: error },
        'a blob on its way is not kept while it arrives; it is given out when it is whole',
      )
    } finally {
      this.#streaming?.end(isRight)
    }
    this.#blob.receivedBytes = 0
    this.#blob.keepIn(undefined)
    this.mayGiveWay = false
    return this.#upload((open) => this.#inTurn(async (turn) => this.#straight(await open(), turn)))
  }

  /**
   * Somebody else pushed or fetched the same bytes: they need not come again, once the upstream has shown that this
   * repository has them, by bytes from a place that nobody can foresee. A digest alone grants nothing, and the manifest that
   * names it may be anybody's.
   */
  async #shareStored(): Promise<boolean> {
    const { images } = this.#parts
    const { digest } = this.#blob
    const { client, name, repository } = this.#from
    const stored = (await images.hasContent(digest)) && (await images.metainfo(digest))
    if (!stored || stored.metainfo.length === 0) return false
    const { length } = stored.metainfo
    const start = randomInt(Math.max(1, length - SAMPLE_BYTES + 1))
    const range = { start, end: Math.min(length, start + SAMPLE_BYTES) }
    return this.#inTurn(async (turn) => {
      const read = new AbortController()
      const signal = AbortSignal.any([turn, read.signal])
      try {
        const shown = await this.#awaited(() => client.blob(repository, digest, { range, length, signal }))
        if (shown?.length !== length) return false
        const sample = await buffer(this.#heard(shown.body))
        if (!sample.equals(await buffer(images.readContent(digest, range, turn)))) return false
      } finally {
        read.abort()
      }
      this.#blob.learn(length)
      return (await images.mountBlob(name, digest, undefined)) !== undefined
    })
  }

  // By way of a copy, from which agents and clients have it as it comes.

  async #receive(openUpload: () => Promise<string>): Promise<Outcome> {
    const { digest } = this.#blob
    const failed = new AbortController()
    let fed: Promise<unknown> | undefined
    try {
      return await this.#inTurn(async (turn) => {
        const uploadId = await openUpload()
        const copy = await this.#openCopy()
        if (copy === undefined) return this.#straight(uploadId, turn)
        if (fed === undefined) this.#beganAtMs = this.#parts.nowMs()
        fed ??= this.#feed(uploadId, copy, failed)
        this.mayGiveWay = this.#canSeek
        const outcome = await this.#receiveAll(copy, AbortSignal.any([turn, failed.signal]))
        this.mayGiveWay = false
        if (outcome === 'here') await fed
        return outcome
      })
    } finally {
      failed.abort(new CopyLostError(digest, 'ended'))
      await fed?.catch(() => {})
    }
  }

  /** In its turn: those that wait take nobody's room. @returns undefined when it is not kept while it arrives */
  async #openCopy(): Promise<StreamingCopy | undefined> {
    if (this.#plan !== undefined) return this.#streaming?.copy
    const { digest, length } = this.#blob
    if (length !== undefined)
      this.#streaming = await this.#parts.arriving.begin(this.#from.name, digest, length, (index) =>
        this.#want(index),
      )
    const copy = this.#streaming?.copy
    if (copy !== undefined)
      this.#plan = new FetchPlan({ have: copy.have, pieceLength: copy.metainfo.pieceLength })
    this.#blob.keepIn(copy)
    return copy
  }

  /** From the copy into the origin, which hashes what it is given. */
  #feed(uploadId: string, copy: StreamingCopy, failed: AbortController): Promise<unknown> {
    const bytes = copy.readUnconfirmed(failed.signal)
    const fed = this.#parts.images.appendUpload(this.#from.name, uploadId, bytes, { startAt: 0 })
    fed.catch((error: unknown) => failed.abort(error))
    return fed
  }

  async #receiveAll(copy: StreamingCopy, signal: AbortSignal): Promise<Outcome> {
    const ended = new AbortController()
    const both = AbortSignal.any([signal, ended.signal])
    try {
      while (!copy.have.isFull) {
        signal.throwIfAborted()
        const stretch = this.#plan!.takeNext()
        if (stretch === undefined) {
          assert(this.#seekers.size > 0, 'what is missing is on its way')
          await Promise.race(this.#seekers)
          continue
        }
        const fetching = this.#fetchStretch(copy, stretch, both, false)
        this.#seeking = { copy, signal: both }
        this.#seek()
        const outcome = await fetching
        if (outcome !== 'here') return outcome
      }
      return 'here'
    } finally {
      this.#seeking = undefined
      ended.abort()
      await Promise.all(this.#seekers)
    }
  }

  #want(index: number): void {
    this.#plan?.want(index)
    this.#seek()
  }

  /** Opens connections for what is waited for. */
  #seek(): void {
    while (this.#seeking !== undefined && this.#canSeek && this.#seekers.size < SEEKERS_MAX) {
      const stretch = this.#plan?.takeWanted(this.#seekBytes())
      if (stretch === undefined) return
      const { copy, signal } = this.#seeking
      const seeker: Promise<void> = this.#fetchWanted(copy, stretch, signal).then(() => {
        this.#seekers.delete(seeker)
        this.#seek()
      })
      this.#seekers.add(seeker)
    }
  }

  #seekBytes(): number {
    const elapsedMs = Math.max(1_000, this.#parts.nowMs() - this.#beganAtMs)
    const ofEach = (SEEK_MS * this.receivedBytes) / elapsedMs / (1 + this.#seekers.size)
    return Math.max(SEEK_BYTES_MIN, ofEach)
  }

  async #fetchWanted(copy: StreamingCopy, stretch: Stretch, signal: AbortSignal): Promise<void> {
    try {
      if ((await this.#fetchStretch(copy, stretch, signal, true)) !== 'here') this.#canSeek = false
    } catch (err) {
      if (signal.aborted) return
      this.#seekFailures++
      if (this.#seekFailures >= SEEK_FAILURES_MAX) this.#canSeek = false
      if (err instanceof UpstreamRangeRefusedError) this.#noRanges()
      this.#parts.log.debug(
        { event: 'range-not-fetched', upstream: this.host, digest: this.#blob.digest, err },
        'pieces that somebody waits for come in their turn',
      )
    }
  }

  /** Every other connection has to begin at the first byte. */
  #noRanges(): void {
    this.#canSeek = false
    this.mayGiveWay = false
  }

  /** Fetches what is missing of the stretch, as far as nobody takes over its end. */
  async #fetchStretch(
    copy: StreamingCopy,
    stretch: Stretch,
    signal: AbortSignal,
    isRangeOnly: boolean,
  ): Promise<Outcome> {
    const { length, metainfo } = copy
    const plan = this.#plan!
    const start = copy.resumeAt(stretch.next)
    const endPiece = stretch.end
    const end = Math.min(length, endPiece * metainfo.pieceLength)
    const read = new AbortController()
    try {
      const blob = await this.#awaited(() =>
        this.#from.client.blob(this.#from.repository, this.#blob.digest, {
          ...((start > 0 || end < length) && { range: { start, end } }),
          isRangeOnly,
          length,
          signal: AbortSignal.any([signal, read.signal]),
        }),
      )
      if (blob === undefined) return 'none'
      if (blob.length !== length) return 'of-another-length'
      if (blob.isWhole && start > 0) this.#noRanges()
      this.#blob.answer()
      for await (const chunk of this.#counted(blob.body)) {
        for (let rest = chunk; rest.length > 0; ) {
          if (stretch.next === endPiece)
            throw new UpstreamInvalidError(this.host, `it gave more than the ${end - start} bytes of a blob`)
          rest = rest.subarray(await copy.write(stretch.next, rest))
          const isShortened = copy.have.has(stretch.next) && !plan.advance(stretch) && stretch.end < endPiece
          // Bytes that were still on their way on that connection are lost, and come again.
          if (isShortened) return 'here'
        }
      }
      if (stretch.next < stretch.end)
        throw new UpstreamUnavailableError(this.host, 'a blob ended early', { isPassing: true })
      return 'here'
    } finally {
      plan.release(stretch)
      read.abort()
    }
  }

  // Straight into the origin: clients have it when it is whole.

  async #straight(uploadId: string, signal: AbortSignal): Promise<Outcome> {
    const { images } = this.#parts
    const { client, name, repository } = this.#from
    const awaited = this.#blob
    const start = awaited.receivedBytes
    // What the registry itself says: the manifest may be wrong, and ranges end where the registry's blob does.
    const end = this.#lengthThere
    const blob = await this.#awaited(() =>
      client.blob(repository, awaited.digest, {
        ...(start > 0 && end !== undefined && { range: { start, end } }),
        ...(awaited.length !== undefined && { length: awaited.length }),
        signal,
      }),
    )
    if (blob === undefined) return 'none'
    this.#lengthThere = blob.length
    if (awaited.length === undefined && blob.length !== undefined) awaited.learn(blob.length)
    awaited.answer()
    await images.appendUpload(name, uploadId, this.#counted(blob.body), { startAt: start })
    return 'here'
  }

  /** An upload of the origin, which ends with the right blob, or leaves nothing. */
  async #upload(receive: (openUpload: () => Promise<string>) => Promise<Outcome>): Promise<Outcome> {
    const { images } = this.#parts
    const { digest, length } = this.#blob
    const { name } = this.#from
    let id: string | undefined
    const open = async () => {
      id ??= (
        await images.startUpload(name, {
          isOneRequest: true,
          algorithm: digestAlgorithm(digest),
          ...(length === undefined ? {} : { bytesExpected: length }),
        })
      ).id
      return id
    }
    try {
      const outcome = await receive(open)
      if (outcome === 'here') await images.finishUpload(name, await open(), digest)
      else if (id !== undefined) await images.cancelUpload(name, id)
      return outcome
    } catch (error) {
      if (id !== undefined) await images.cancelUpload(name, id)
      if (!(error instanceof OciError && error.code === 'DIGEST_INVALID')) throw error
      throw new UpstreamInvalidError(this.host, `it gave other bytes than those of ${digest}`, {
        cause: error,
      })
    }
  }

  // Turns and patience.

  /** Does the work in a turn, in another one when it gave way or the registry wants to be left alone for moments. */
  async #inTurn<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    let busyMs = 0
    for (;;) {
      try {
        return await this.#turns.take(this, this.#stopping, (signal) => this.#patiently(work, signal))
      } catch (error) {
        if (this.#stopping.aborted) throw error
        if (error instanceof TurnOverError) continue
        // Before the first byte it is a refusal: clients are told, and turn to another registry.
        if (!(error instanceof UpstreamBusyError) || this.receivedBytes === 0) throw error
        const waitMs = Math.max(0, error.retryAtMs - this.#parts.nowMs())
        busyMs += Math.max(1_000, waitMs)
        if (busyMs > BUSY_MS_MAX) throw error
        await sleep(waitMs, undefined, { signal: this.#stopping, ref: false })
      }
    }
  }

  async #patiently<T>(work: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    this.#lastByteAtMs = this.#parts.nowMs()
    for (;;) {
      const before = this.#blob.receivedBytes
      try {
        return await work(signal)
      } catch (error) {
        const broughtBytes = this.#blob.receivedBytes - before
        if (broughtBytes >= WORTH_BYTES) this.#attempts = 0
        const hasMoved = broughtBytes > 0
        const isPassing = error instanceof UpstreamUnavailableError && (error.isPassing || hasMoved)
        if (!isPassing || ++this.#attempts === ATTEMPTS_MAX || signal.aborted) throw error
      }
    }
  }

  /** While it is awaited, the registry is. */
  async #awaited<T>(work: () => Promise<T>): Promise<T> {
    this.#reading++
    try {
      return await work()
    } finally {
      this.#reading--
    }
  }

  async *#counted(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of this.#heard(body)) {
      this.#blob.receivedBytes += chunk.length
      this.#parts.onReceived(chunk.length)
      yield chunk
    }
  }

  async *#heard(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const chunks = body[Symbol.asyncIterator]()
    try {
      for (;;) {
        const next = await this.#awaited(() => chunks.next())
        if (next.done === true) return
        this.#lastByteAtMs = this.#parts.nowMs()
        yield next.value
      }
    } finally {
      await chunks.return?.()
    }
  }
}

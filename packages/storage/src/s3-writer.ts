/**
 * One object on its way into a bucket: a single PUT where it is short, otherwise a multipart upload whose parts are sent
 * while the next one fills. All parts but the last have the same length, whatever comes in which chunks: R2 takes no others.
 *
 * S3 takes 10,000 parts. An object that turns out to be longer than they hold is completed as far as it goes, and becomes the
 * beginning of another upload with longer parts, copied within the store.
 *
 * A checkpoint leaves the parts where they are, and what does not fill one as an object under the key itself, where nothing
 * refers to it before the writer is complete. A short object is complete by that alone.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListPartsCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { StorageObjectTooLargeError } from './errors.ts'
import type { ObjectWriter, WriterCheckpoint } from './object-store.ts'
import { isUnclear, statusOf, WRITE_ID } from './s3-answers.ts'

export interface S3WriterParts {
  readonly client: S3Client
  /** Asks once, and waits for minutes. */
  readonly patientClient: S3Client
  readonly at: { readonly Bucket: string; readonly Key: string }
  /** Names what failed. */
  readonly guard: <T>(work: () => Promise<T>) => Promise<T>
  readonly plan?: PartPlan
}

export interface PartPlan {
  readonly partBytes: number
  /** Of an object for which `partsMax` parts of the first length are too few. */
  readonly longPartBytes: number
  readonly partsMax: number
  /** How long a completion may take, with all that is done to learn of its outcome. */
  readonly completeTimeoutMs: number
}

const MIB = 1024 * 1024

/** 10,000 parts of 8 MiB are 78 GiB, of 32 MiB 312 GiB: more than the longest blob (256 GiB). */
export const PART_PLAN: PartPlan = {
  partBytes: 8 * MIB,
  longPartBytes: 32 * MIB,
  partsMax: 10_000,
  completeTimeoutMs: 15 * 60_000,
}
/** One part fills while these are sent: 24 MiB, or 64 MiB where parts are long. */
const BYTES_IN_FLIGHT_MAX = 16 * MIB
/** Each is done within the store, and nothing of it passes through here. */
const COPIES_AT_ONCE = 8
/** For the look at what became of a completion. */
const LOOK_TIMEOUT_MS = 10_000
const LOOK_AGAIN_MS = { first: 500, max: 15_000 }

/** A checkpoint's token, as JSON. */
interface Progress {
  readonly uploadId?: string
  readonly partCount: number
  /** Bytes that lie under the key, behind those of the parts. */
  readonly tailBytes: number
  /** Length of the parts. A version that let them differ wrote none. */
  readonly partBytes?: number
  /** By which the object is known as this upload's. */
  readonly writeId?: string
}

export class S3Writer implements ObjectWriter {
  readonly #parts: S3WriterParts
  readonly #plan: PartPlan
  readonly #inFlight = new Set<Promise<void>>()
  #done: { PartNumber: number; ETag: string | undefined }[] = []
  #partBytes: number
  #uploadId: string | undefined
  #writeId: string | undefined
  #partCount = 0
  #buffer: Buffer | undefined
  #filled = 0
  #bytes = 0
  #bytesInParts = 0
  /** The buffer lies under the key as it is. */
  #isTailSaved = false
  /** There may be an object under the key that this writer has put there. */
  #leftObject = false
  #failure: unknown
  #isOver = false

  static async resume(parts: S3WriterParts, checkpoint: WriterCheckpoint): Promise<S3Writer | undefined> {
    const { uploadId, partCount, tailBytes, partBytes, writeId } = JSON.parse(checkpoint.token) as Progress
    const writer = new S3Writer(parts)
    writer.#partBytes = partBytes ?? writer.#plan.partBytes
    writer.#uploadId = uploadId
    writer.#writeId = writeId
    writer.#partCount = partCount
    writer.#bytes = checkpoint.bytes
    writer.#bytesInParts = checkpoint.bytes - tailBytes
    try {
      if (uploadId !== undefined) await writer.#findParts(uploadId)
      if (tailBytes > 0 || uploadId === undefined) await writer.#readTail(tailBytes)
    } catch (error) {
      if (statusOf(error) === 404) return undefined
      throw error
    }
    return writer
  }

  /** @param lengthBytes how long the object will be, where that is known */
  constructor(parts: S3WriterParts, lengthBytes = 0) {
    this.#parts = parts
    this.#plan = parts.plan ?? PART_PLAN
    const { partBytes, partsMax, longPartBytes } = this.#plan
    this.#partBytes = lengthBytes > partBytes * partsMax ? longPartBytes : partBytes
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#bytes += chunk.length
    await this.#fill(chunk)
  }

  async complete(): Promise<void> {
    if (this.#uploadId === undefined) {
      if (!this.#isTailSaved) await this.#putTail()
    } else {
      if (this.#filled > 0 && this.#partCount === this.#plan.partsMax) await this.#lengthenParts()
      if (this.#filled > 0) await this.#sendPart()
      await this.#completeUpload(this.#bytes)
    }
    this.#isOver = true
  }

  async checkpoint(): Promise<WriterCheckpoint> {
    await this.#settleParts()
    const isTail = this.#filled > 0 || this.#uploadId === undefined
    if (isTail && !this.#isTailSaved) await this.#putTail()
    const progress: Progress = {
      ...(this.#uploadId === undefined ? {} : { uploadId: this.#uploadId }),
      partCount: this.#partCount,
      tailBytes: this.#filled,
      partBytes: this.#partBytes,
      ...(this.#writeId === undefined ? {} : { writeId: this.#writeId }),
    }
    return { bytes: this.#bytes, token: JSON.stringify(progress) }
  }

  async release(): Promise<void> {
    this.#isOver = true
    this.#buffer = undefined
    await Promise.all(this.#inFlight)
  }

  async abort(): Promise<void> {
    if (this.#isOver) return
    await this.release()
    const { client, at, guard } = this.#parts
    if (this.#leftObject) await guard(() => client.send(new DeleteObjectCommand(at)))
    if (this.#uploadId === undefined) return
    try {
      await client.send(new AbortMultipartUploadCommand({ ...at, UploadId: this.#uploadId }))
    } catch (error) {
      // Gone already: an answer that was lost, or somebody else.
      if (statusOf(error) !== 404) await guard(() => Promise.reject(error))
    }
  }

  async #fill(chunk: Uint8Array): Promise<void> {
    for (let taken = 0; taken < chunk.length; ) {
      this.#isTailSaved = false
      this.#buffer ??= Buffer.allocUnsafe(this.#partBytes)
      const part = chunk.subarray(taken, taken + this.#buffer.length - this.#filled)
      this.#buffer.set(part, this.#filled)
      this.#filled += part.length
      taken += part.length
      if (this.#filled < this.#buffer.length) continue
      if (this.#partCount === this.#plan.partsMax) await this.#lengthenParts()
      else await this.#sendPart()
    }
  }

  /** Writes what has not filled a part under the key. */
  async #putTail(): Promise<void> {
    const { client, at, guard } = this.#parts
    const body = this.#buffer?.subarray(0, this.#filled) ?? new Uint8Array()
    this.#leftObject = true
    await guard(() => client.send(new PutObjectCommand({ ...at, Body: body, ContentLength: body.length })))
    this.#isTailSaved = true
  }

  async #readTail(tailBytes: number): Promise<void> {
    const { client, at, guard } = this.#parts
    const answer = await guard(() => client.send(new GetObjectCommand(at)))
    const bytes = await answer.Body!.transformToByteArray()
    this.#buffer = Buffer.allocUnsafe(Math.max(this.#partBytes, tailBytes))
    this.#buffer.set(bytes.subarray(0, tailBytes))
    this.#filled = tailBytes
    this.#leftObject = true
    this.#isTailSaved = bytes.length === tailBytes
  }

  async #findParts(uploadId: string): Promise<void> {
    const { client, at, guard } = this.#parts
    let marker: string | undefined
    do {
      const page = await guard(() =>
        client.send(
          new ListPartsCommand({
            ...at,
            UploadId: uploadId,
            ...(marker === undefined ? {} : { PartNumberMarker: marker }),
          }),
        ),
      )
      for (const { PartNumber, ETag } of page.Parts ?? [])
        if (PartNumber !== undefined && PartNumber <= this.#partCount) this.#done.push({ PartNumber, ETag })
      const next = page.IsTruncated === true ? page.NextPartNumberMarker : undefined
      marker = next === marker ? undefined : next
    } while (marker !== undefined)
  }

  /** Sends what has filled; resolves when there is room for the next part. */
  async #sendPart(): Promise<void> {
    const { client, at, guard } = this.#parts
    if (this.#failure !== undefined) throw this.#failure
    if (this.#partCount === this.#plan.partsMax)
      throw new StorageObjectTooLargeError(at.Key, this.#plan.partsMax * this.#partBytes)
    this.#uploadId ??= await this.#beginUpload()
    const body = this.#buffer!.subarray(0, this.#filled)
    const number = ++this.#partCount
    this.#bytesInParts += body.length
    this.#buffer = undefined
    this.#filled = 0
    const part = { ...at, UploadId: this.#uploadId, PartNumber: number }
    const sending = guard(() =>
      client.send(new UploadPartCommand({ ...part, Body: body, ContentLength: body.length })),
    ).then(
      ({ ETag }) => {
        this.#done.push({ PartNumber: number, ETag })
      },
      (error: unknown) => {
        this.#failure ??= error
      },
    )
    const tracked = sending.finally(() => this.#inFlight.delete(tracked))
    this.#inFlight.add(tracked)
    const inFlightMax = Math.max(1, Math.floor(BYTES_IN_FLIGHT_MAX / this.#partBytes))
    if (this.#inFlight.size >= inFlightMax) await Promise.race(this.#inFlight)
    if (this.#failure !== undefined) throw this.#failure
  }

  async #settleParts(): Promise<void> {
    await Promise.all(this.#inFlight)
    if (this.#failure !== undefined) throw this.#failure
  }

  async #beginUpload(): Promise<string> {
    const { client, at, guard } = this.#parts
    const writeId = randomUUID()
    const { UploadId } = await guard(() =>
      client.send(new CreateMultipartUploadCommand({ ...at, Metadata: { [WRITE_ID]: writeId } })),
    )
    this.#writeId = writeId
    return UploadId!
  }

  /**
   * Makes an object of the parts. A store may take minutes to do so, and its answer may be lost on the way: what counts is
   * whether the object is there.
   */
  async #completeUpload(lengthBytes: number): Promise<void> {
    await this.#settleParts()
    const { patientClient, at, guard } = this.#parts
    const command = new CompleteMultipartUploadCommand({
      ...at,
      UploadId: this.#uploadId,
      MultipartUpload: { Parts: this.#done.toSorted((a, b) => a.PartNumber - b.PartNumber) },
    })
    const until = performance.now() + this.#plan.completeTimeoutMs
    this.#leftObject = true
    await guard(async () => {
      let wasUnclear = false
      for (let pauseMs = LOOK_AGAIN_MS.first; ; pauseMs = Math.min(2 * pauseMs, LOOK_AGAIN_MS.max)) {
        try {
          await patientClient.send(command)
          return
        } catch (error) {
          wasUnclear ||= isUnclear(error)
          // Once it may have been done, a second request may be told that there is nothing left to do.
          const isOpen = wasUnclear && (isUnclear(error) || [400, 404, 409].includes(statusOf(error) ?? 0))
          if (isOpen && (await this.#isThere(lengthBytes))) return
          if ((!isOpen && statusOf(error) !== 409) || performance.now() + pauseMs > until) throw error
        }
        await sleep(pauseMs)
      }
    })
  }

  /** The object under the key is what this upload was to become. */
  async #isThere(lengthBytes: number): Promise<boolean> {
    const { client, at } = this.#parts
    try {
      const abortSignal = AbortSignal.timeout(LOOK_TIMEOUT_MS)
      const found = await client.send(new HeadObjectCommand(at), { abortSignal })
      // An upload that an earlier version began has no id, and a key that nobody else writes.
      const isOurs = this.#writeId === undefined || found.Metadata?.[WRITE_ID] === this.#writeId
      return isOurs && found.ContentLength === lengthBytes
    } catch {
      return false
    }
  }

  /** Of the parts so far an object is made, and of that the beginning of an upload whose parts are longer. */
  async #lengthenParts(): Promise<void> {
    const { client, at, guard } = this.#parts
    const { longPartBytes } = this.#plan
    if (this.#partBytes >= longPartBytes)
      throw new StorageObjectTooLargeError(at.Key, this.#plan.partsMax * this.#partBytes)
    const waiting = this.#buffer?.subarray(0, this.#filled) ?? new Uint8Array()
    const bytesInParts = this.#bytesInParts
    await this.#completeUpload(bytesInParts)
    this.#uploadId = undefined
    this.#isTailSaved = false
    const uploadId = await this.#beginUpload()
    this.#uploadId = uploadId
    this.#partBytes = longPartBytes
    this.#partCount = Math.floor(bytesInParts / longPartBytes)
    this.#bytesInParts = this.#partCount * longPartBytes
    this.#done = []
    this.#buffer = Buffer.allocUnsafe(longPartBytes)
    this.#filled = 0
    const copy = async (number: number) => {
      const start = (number - 1) * longPartBytes
      const answer = await guard(() =>
        client.send(
          new UploadPartCopyCommand({
            ...at,
            UploadId: uploadId,
            PartNumber: number,
            CopySource: `${at.Bucket}/${at.Key.split('/').map(encodeURIComponent).join('/')}`,
            CopySourceRange: `bytes=${start}-${start + longPartBytes - 1}`,
          }),
        ),
      )
      this.#done.push({ PartNumber: number, ETag: answer.CopyPartResult?.ETag })
    }
    let next = 1
    const copyOn = async () => {
      while (next <= this.#partCount) await copy(next++)
    }
    try {
      await Promise.all(Array.from({ length: COPIES_AT_ONCE }, copyOn))
    } finally {
      // After a failure, the other loops begin no further copy.
      next = this.#partCount + 1
    }
    const copied = this.#bytesInParts
    // Parts that an earlier version wrote may differ in length and leave a rest.
    if (copied < bytesInParts) {
      const range = { ...at, Range: `bytes=${copied}-${bytesInParts - 1}` }
      const answer = await guard(() => client.send(new GetObjectCommand(range)))
      const rest = await answer.Body!.transformToByteArray()
      this.#buffer.set(rest)
      this.#filled = rest.length
    }
    await this.#fill(waiting)
  }
}

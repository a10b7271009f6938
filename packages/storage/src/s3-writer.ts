/**
 * One object on its way into a bucket: a single PUT where it is short, otherwise a multipart upload whose parts are sent
 * while the next one fills. Parts grow, so that S3's 10,000 of them hold the largest object that S3 takes (5 TiB).
 *
 * A checkpoint leaves the parts where they are, and what does not fill one as an object under the key itself, where nothing
 * refers to it before the writer is complete. A short object is complete by that alone.
 */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListPartsCommand,
  PutObjectCommand,
  type S3Client,
  S3ServiceException,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import type { ObjectWriter, WriterCheckpoint } from './object-store.ts'

export interface S3WriterParts {
  readonly client: S3Client
  readonly at: { readonly Bucket: string; readonly Key: string }
  /** Names what failed. */
  readonly guard: <T>(work: () => Promise<T>) => Promise<T>
}

const PART_BYTES = 8 * 1024 * 1024
/** S3 takes no shorter part, except as the last. */
const PART_BYTES_MIN = 5 * 1024 * 1024
/** One part fills while two are sent: at most 24 MiB for objects up to 8 GiB. */
const PARTS_IN_FLIGHT_MAX = 2
/** After this many parts they double: 1000 · 8 MiB · (1 + 2 + 4 + … + 512) exceeds 5 TiB. */
const PARTS_OF_ONE_SIZE = 1_000

/** A checkpoint's token, as JSON. */
interface Progress {
  readonly uploadId?: string
  readonly partCount: number
  /** Bytes that lie under the key, behind those of the parts. */
  readonly tailBytes: number
}

export class S3Writer implements ObjectWriter {
  readonly #parts: S3WriterParts
  readonly #inFlight = new Set<Promise<void>>()
  readonly #done: { PartNumber: number; ETag: string | undefined }[] = []
  #uploadId: string | undefined
  #partCount = 0
  #buffer: Buffer | undefined
  #filled = 0
  #bytes = 0
  /** How much of the buffer lies under the key. */
  #tailBytes: number | undefined
  #failure: unknown
  #isOver = false

  static async resume(parts: S3WriterParts, checkpoint: WriterCheckpoint): Promise<S3Writer | undefined> {
    const { uploadId, partCount, tailBytes } = JSON.parse(checkpoint.token) as Progress
    const writer = new S3Writer(parts)
    writer.#uploadId = uploadId
    writer.#partCount = partCount
    writer.#bytes = checkpoint.bytes
    try {
      if (uploadId !== undefined) await writer.#findParts(uploadId)
      if (tailBytes > 0 || uploadId === undefined) await writer.#readTail(tailBytes)
    } catch (error) {
      if (error instanceof S3ServiceException && error.$metadata.httpStatusCode === 404) return undefined
      throw error
    }
    return writer
  }

  constructor(parts: S3WriterParts) {
    this.#parts = parts
  }

  async write(chunk: Uint8Array): Promise<void> {
    for (let taken = 0; taken < chunk.length; ) {
      this.#buffer ??= Buffer.allocUnsafe(partBytes(this.#partCount + 1))
      const part = chunk.subarray(taken, taken + this.#buffer.length - this.#filled)
      this.#buffer.set(part, this.#filled)
      this.#filled += part.length
      taken += part.length
      this.#bytes += part.length
      if (this.#filled === this.#buffer.length) await this.#sendPart()
    }
  }

  async complete(): Promise<void> {
    const { client, at, guard } = this.#parts
    if (this.#uploadId === undefined) {
      if (this.#tailBytes !== this.#filled) await this.#putTail()
    } else {
      if (this.#filled > 0) await this.#sendPart()
      await Promise.all(this.#inFlight)
      if (this.#failure !== undefined) throw this.#failure
      const parts = this.#done.toSorted((a, b) => a.PartNumber - b.PartNumber)
      await guard(() =>
        client.send(
          new CompleteMultipartUploadCommand({
            ...at,
            UploadId: this.#uploadId,
            MultipartUpload: { Parts: parts },
          }),
        ),
      )
    }
    this.#isOver = true
  }

  async checkpoint(): Promise<WriterCheckpoint> {
    if (this.#filled >= PART_BYTES_MIN) await this.#sendPart()
    await Promise.all(this.#inFlight)
    if (this.#failure !== undefined) throw this.#failure
    const isTail = this.#filled > 0 || this.#uploadId === undefined
    if (isTail && this.#tailBytes !== this.#filled) await this.#putTail()
    const progress: Progress = {
      ...(this.#uploadId === undefined ? {} : { uploadId: this.#uploadId }),
      partCount: this.#partCount,
      tailBytes: this.#filled,
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
    if (this.#tailBytes !== undefined) await guard(() => client.send(new DeleteObjectCommand(at)))
    if (this.#uploadId === undefined) return
    await guard(() => client.send(new AbortMultipartUploadCommand({ ...at, UploadId: this.#uploadId })))
  }

  /** Writes what has not filled a part under the key. */
  async #putTail(): Promise<void> {
    const { client, at, guard } = this.#parts
    const body = this.#buffer?.subarray(0, this.#filled) ?? new Uint8Array()
    await guard(() => client.send(new PutObjectCommand({ ...at, Body: body, ContentLength: body.length })))
    this.#tailBytes = body.length
  }

  async #readTail(tailBytes: number): Promise<void> {
    const { client, at, guard } = this.#parts
    const answer = await guard(() => client.send(new GetObjectCommand(at)))
    const bytes = await answer.Body!.transformToByteArray()
    this.#buffer = Buffer.allocUnsafe(partBytes(this.#partCount + 1))
    this.#buffer.set(bytes.subarray(0, tailBytes))
    this.#filled = tailBytes
    this.#tailBytes = bytes.length
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
      marker = page.IsTruncated === true ? page.NextPartNumberMarker : undefined
    } while (marker !== undefined)
  }

  /** Sends what has filled; resolves when there is room for the next part. */
  async #sendPart(): Promise<void> {
    const { client, at, guard } = this.#parts
    if (this.#failure !== undefined) throw this.#failure
    this.#uploadId ??= (await guard(() => client.send(new CreateMultipartUploadCommand(at)))).UploadId
    const body = this.#buffer!.subarray(0, this.#filled)
    const number = ++this.#partCount
    this.#buffer = undefined
    this.#filled = 0
    const sending = guard(() =>
      client.send(
        new UploadPartCommand({
          ...at,
          UploadId: this.#uploadId,
          PartNumber: number,
          Body: body,
          ContentLength: body.length,
        }),
      ),
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
    if (this.#inFlight.size >= PARTS_IN_FLIGHT_MAX) await Promise.race(this.#inFlight)
    if (this.#failure !== undefined) throw this.#failure
  }
}

function partBytes(partNumber: number): number {
  return PART_BYTES * 2 ** Math.floor((partNumber - 1) / PARTS_OF_ONE_SIZE)
}

/**
 * One object on its way into a bucket: a single PUT where it is short, otherwise a multipart upload whose parts are sent
 * while the next one fills. Parts grow, so that S3's 10,000 of them hold the largest object that S3 takes (5 TiB).
 */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import type { ObjectWriter } from './object-store.ts'

export interface S3WriterParts {
  readonly client: S3Client
  readonly at: { readonly Bucket: string; readonly Key: string }
  /** Names what failed. */
  readonly guard: <T>(work: () => Promise<T>) => Promise<T>
}

const PART_BYTES = 8 * 1024 * 1024
/** One part fills while two are sent: at most 24 MiB for objects up to 8 GiB. */
const PARTS_IN_FLIGHT_MAX = 2
/** After this many parts they double: 1000 · 8 MiB · (1 + 2 + 4 + … + 512) exceeds 5 TiB. */
const PARTS_OF_ONE_SIZE = 1_000

export class S3Writer implements ObjectWriter {
  readonly #parts: S3WriterParts
  readonly #inFlight = new Set<Promise<void>>()
  readonly #done: { PartNumber: number; ETag: string | undefined }[] = []
  #uploadId: string | undefined
  #partCount = 0
  #buffer: Buffer | undefined
  #filled = 0
  #failure: unknown
  #isOver = false

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
      if (this.#filled === this.#buffer.length) await this.#sendPart()
    }
  }

  async complete(): Promise<void> {
    const { client, at, guard } = this.#parts
    if (this.#uploadId === undefined) {
      const body = this.#buffer?.subarray(0, this.#filled) ?? new Uint8Array()
      await guard(() => client.send(new PutObjectCommand({ ...at, Body: body, ContentLength: body.length })))
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

  async abort(): Promise<void> {
    if (this.#isOver) return
    this.#isOver = true
    this.#buffer = undefined
    await Promise.all(this.#inFlight)
    if (this.#uploadId === undefined) return
    const { client, at, guard } = this.#parts
    await guard(() => client.send(new AbortMultipartUploadCommand({ ...at, UploadId: this.#uploadId })))
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

/**
 * One upload on its way into the store: bytes are hashed and written as they arrive, to the place where they will stay.
 * Nothing is visible before the upload is finished, and nothing stays when it fails.
 */
import { type DigestAlgorithm, digestAlgorithm } from '@shoal/core'
import { OciError } from '@shoal/oci'
import type { ObjectStore, ObjectWriter } from '@shoal/storage'
import type { UploadChunk, UploadStatus } from '../backend.ts'
import { BlobHasher, type HashedBlob } from './blob-hasher.ts'

/** Bytes hashed before other work gets its turn: under two milliseconds for three piece lengths. */
const SLICE_BYTES_MAX = 256 * 1024

export interface UploadSessionInit {
  readonly id: string
  readonly repository: string
  readonly contentKey: string
  readonly algorithm?: DigestAlgorithm
  readonly blobBytes?: number
}

export class UploadSession {
  received = 0
  /** Somebody is appending or finishing. */
  isBusy = false
  /** What was hashed is what was written; after a failure in between, the upload cannot go on. */
  isSound = true
  #writer: ObjectWriter | undefined
  #hasher: BlobHasher | undefined
  #isGone = false

  constructor(
    private readonly objects: ObjectStore,
    readonly init: UploadSessionInit,
    public lastActiveAtMs: number,
  ) {}

  get status(): UploadStatus {
    return { id: this.init.id, received: this.received }
  }

  async append(body: AsyncIterable<Uint8Array>, chunk: UploadChunk): Promise<void> {
    if (chunk.startAt !== undefined && chunk.startAt !== this.received) {
      throw new OciError('RANGE_INVALID', 'the chunk does not begin where the upload ends', {
        detail: { received: this.received, startAt: chunk.startAt },
      })
    }
    for await (const part of body) {
      for (let offset = 0; offset < part.length; offset += SLICE_BYTES_MAX) {
        await this.#take(part.subarray(offset, offset + SLICE_BYTES_MAX), chunk)
        this.received += Math.min(SLICE_BYTES_MAX, part.length - offset)
      }
    }
  }

  /**
   * What the bytes are. Nothing can be appended afterwards.
   * @returns undefined when they were not hashed for what they turned out to be, and must be read again to know
   */
  hashed(algorithm: DigestAlgorithm): HashedBlob | undefined {
    const hasher = this.#hasher ?? this.#createHasher({ algorithm, blobBytes: 0 })
    const blob = hasher.finish()
    return blob !== undefined && digestAlgorithm(blob.digest) === algorithm ? blob : undefined
  }

  /** Makes the content visible under its key; nothing points to it yet. */
  async complete(): Promise<void> {
    const writer = this.#writer ?? (await this.#createWriter())
    await writer.complete()
    // Whole from here on: what becomes of it is no longer the writer's business.
    this.#writer = undefined
  }

  /** Forgets everything; safe at any time and more than once. */
  async abort(): Promise<void> {
    this.#isGone = true
    await this.#writer?.abort()
    this.#writer = undefined
  }

  async #take(slice: Uint8Array, chunk: UploadChunk): Promise<void> {
    this.isSound = false
    this.#hasher ??= this.#createHasher(chunk)
    this.#hasher.update(slice)
    // Created with the first byte: most uploads that are begun and not used never cost the store a request.
    const writer = this.#writer ?? (await this.#createWriter())
    await writer.write(slice)
    if (this.#isGone) throw new OciError('BLOB_UPLOAD_UNKNOWN', 'the upload was cancelled')
    this.isSound = true
  }

  #createHasher(chunk: UploadChunk): BlobHasher {
    const blobBytes = this.init.blobBytes ?? chunk.blobBytes
    return new BlobHasher({
      algorithm: this.init.algorithm ?? chunk.algorithm ?? 'sha256',
      ...(blobBytes === undefined ? {} : { blobBytes }),
    })
  }

  async #createWriter(): Promise<ObjectWriter> {
    const writer = await this.objects.createWriter(this.init.contentKey)
    if (this.#isGone) {
      await writer.abort()
      throw new OciError('BLOB_UPLOAD_UNKNOWN', 'the upload was cancelled')
    }
    this.#writer = writer
    return writer
  }
}

/**
 * One upload on its way into the store: bytes are hashed and written as they arrive, to the place where they will stay.
 * Nothing is visible before the upload is finished, and nothing stays when it fails.
 *
 * Between two requests what was received is checkpointed and recorded, so that this or another seeder can go on. The state
 * of a hash cannot be moved: where the bytes so far are not the whole, whoever goes on in another process reads them again
 * at the end.
 */
import { type DigestAlgorithm, digestAlgorithm } from '@shoal/core'
import { OciError } from '@shoal/oci'
import type { ObjectStore, ObjectWriter, WriterCheckpoint } from '@shoal/storage'
import type { UploadChunk, UploadStatus } from '../backend.ts'
import { BlobHasher, type HashedBlob } from './blob-hasher.ts'
import type { UploadRecord } from './upload-record.ts'

/** As long as metainfo can be: 65,536 pieces of 4 MiB, 52 bytes of hashes each. */
const BLOB_BYTES_MAX = 256 * 1024 * 1024 * 1024
/**
 * Bytes hashed between two turns of the event loop: a millisecond for three piece lengths. Measured against threads on two
 * cores: as fast, and without the 150 MiB that copies on their way to a thread come to.
 */
const TURN_BYTES = 256 * 1024

/** Somebody who passes bytes on while they are uploaded. */
export interface UploadWatcher {
  /** Awaited before the bytes are used for anything else. */
  append(chunk: Uint8Array): Promise<void>
  /** @param isStored the blob is there and its digest is right; otherwise nothing of it may be used */
  end(isStored: boolean): void
}

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
  /** Tag of the upload's record as this process last saw it; undefined for an upload of one request, which has none. */
  recordTag: string | undefined
  #writer: ObjectWriter | undefined
  #hasher: BlobHasher | undefined
  /** Where to go on, until something is written. */
  #checkpoint: WriterCheckpoint | undefined
  /** Sees the bytes as they come. */
  watcher: UploadWatcher | undefined
  /** What the bytes up to the checkpoint are. */
  #hashed: HashedBlob | undefined
  #isGone = false
  /** What the writer was last asked for; settles, never rejects. An upload is cancelled while a request works on it. */
  #writing: Promise<unknown> = Promise.resolve()
  #sinceTurn = 0

  /** That this process knows of: no later than its last byte came. */
  readonly beganAtMs: number

  readonly #objects: ObjectStore
  readonly init: UploadSessionInit
  lastActiveAtMs: number

  constructor(objects: ObjectStore, init: UploadSessionInit, lastActiveAtMs: number) {
    this.#objects = objects
    this.init = init
    this.lastActiveAtMs = lastActiveAtMs
    this.beganAtMs = lastActiveAtMs
  }

  /** An upload that another process, or this one before it was restarted, has begun. */
  static resume(
    objects: ObjectStore,
    init: Pick<UploadSessionInit, 'id' | 'contentKey'>,
    record: UploadRecord,
    nowMs: number,
  ): UploadSession {
    const { repository, algorithm, blobBytes, received } = record
    const session = new UploadSession(
      objects,
      {
        ...init,
        repository,
        ...(algorithm === undefined ? {} : { algorithm }),
        ...(blobBytes === undefined ? {} : { blobBytes }),
      },
      nowMs,
    )
    session.received = received
    session.#checkpoint = record.checkpoint
    session.#hashed = record.hashed
    return session
  }

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
      for (let offset = 0; offset < part.length; offset += TURN_BYTES) {
        await this.#take(part.subarray(offset, offset + TURN_BYTES), chunk)
        this.received += Math.min(TURN_BYTES, part.length - offset)
      }
    }
  }

  /**
   * What the bytes are.
   * @returns undefined when they were not hashed for what they turned out to be, and must be read again to know
   */
  hashed(algorithm: DigestAlgorithm): HashedBlob | undefined {
    if (this.received === 0) this.#hasher ??= this.#createHasher({ algorithm, blobBytes: 0 })
    const blob = this.#hasher === undefined ? this.#hashed : this.#hasher.peek()
    return blob !== undefined && digestAlgorithm(blob.digest) === algorithm ? blob : undefined
  }

  /** Makes what was received last. */
  async record(nowMs: number): Promise<UploadRecord> {
    if (this.#writer !== undefined) {
      this.isSound = false
      this.#checkpoint = await this.#asked(this.#writer.checkpoint())
      this.isSound = true
      this.#hashed = this.#hasher?.peek()
    }
    const { repository, algorithm, blobBytes } = this.init
    return {
      repository,
      received: this.received,
      updatedAtMs: nowMs,
      ...(algorithm === undefined ? {} : { algorithm }),
      ...(blobBytes === undefined ? {} : { blobBytes }),
      ...(this.#checkpoint === undefined ? {} : { checkpoint: this.#checkpoint }),
      ...(this.#hashed === undefined ? {} : { hashed: this.#hashed }),
    }
  }

  /** Makes the content visible under its key; nothing points to it yet. */
  async complete(): Promise<void> {
    const writer = this.#writer ?? (await this.#openWriter())
    await this.#asked(writer.complete())
    // Whole from here on: what becomes of it is no longer the writer's business.
    this.#writer = undefined
    this.#checkpoint = undefined
  }

  /** Lets go of what this process holds; what was recorded stays. */
  async release(): Promise<void> {
    this.#isGone = true
    this.#hasher = undefined
    await this.#writing
    await this.#writer?.release()
    this.#writer = undefined
  }

  /** Forgets everything; safe at any time and more than once. */
  async abort(): Promise<void> {
    this.watcher?.end(false)
    this.#isGone = true
    this.#hasher = undefined
    await this.#writing
    const writer =
      this.#writer ??
      (this.#checkpoint && (await this.#objects.resumeWriter(this.init.contentKey, this.#checkpoint)))
    this.#checkpoint = undefined
    this.#writer = undefined
    await writer?.abort()
  }

  async #take(slice: Uint8Array, chunk: UploadChunk): Promise<void> {
    if (this.received + slice.length > BLOB_BYTES_MAX) {
      throw new OciError('SIZE_INVALID', `a blob may have ${BLOB_BYTES_MAX} bytes`, { status: 413 })
    }
    this.isSound = false
    if (this.received === 0) this.#hasher ??= this.#createHasher(chunk)
    this.#hasher?.update(slice)
    // Opened with the first byte: most uploads that are begun and not used never cost the store a request.
    const writer = this.#writer ?? (await this.#openWriter(chunk.blobBytes))
    const isWatched = this.watcher?.append(slice)
    await this.#asked(writer.write(slice))
    await isWatched
    this.#hashed = undefined
    this.#sinceTurn += slice.length
    if (this.#sinceTurn >= TURN_BYTES) {
      this.#sinceTurn = 0
      await new Promise((resolve) => setImmediate(resolve))
    }
    if (this.#isGone) throw cancelled()
    this.isSound = true
  }

  #asked<T>(doing: Promise<T>): Promise<T> {
    this.#writing = doing.catch(() => {})
    return doing
  }

  #createHasher(chunk: UploadChunk): BlobHasher {
    const blobBytes = this.init.blobBytes ?? chunk.blobBytes
    return new BlobHasher({
      algorithm: this.init.algorithm ?? chunk.algorithm ?? 'sha256',
      ...(blobBytes === undefined ? {} : { blobBytes }),
    })
  }

  async #openWriter(blobBytes?: number): Promise<ObjectWriter> {
    const { contentKey, blobBytes: lengthBytes = blobBytes } = this.init
    const writer =
      this.#checkpoint === undefined
        ? await this.#objects.createWriter(contentKey, lengthBytes === undefined ? {} : { lengthBytes })
        : await this.#objects.resumeWriter(contentKey, this.#checkpoint)
    if (writer === undefined) {
      this.#checkpoint = undefined
      throw new OciError('BLOB_UPLOAD_UNKNOWN', 'what was uploaded so far is gone; begin again')
    }
    if (this.#isGone) {
      await writer.abort()
      throw cancelled()
    }
    this.#writer = writer
    return writer
  }
}

function cancelled(): OciError {
  return new OciError('BLOB_UPLOAD_UNKNOWN', 'the upload was cancelled')
}

/**
 * The uploads that are under way: one request at a time on each. What is between two requests is recorded in the object
 * store, so that an upload survives a restart and any replica can go on with it; what this process holds of it is bounded
 * and can be let go.
 *
 * Two replicas that work on one upload at the same time are kept apart by the record's tag: the second to finish its
 * request is refused. An upload's id works only in the repository where it was begun.
 */
import { FairPlaces } from '@shoal/engine'
import { OciError } from '@shoal/oci'
import { type ObjectStore, readWhole } from '@shoal/storage'
import type { Logger } from 'pino'
import { isUploadId, keys, StoredRecordInvalidError } from './layout.ts'
import {
  decodeUploadRecord,
  encodeUploadRecord,
  UPLOAD_RECORD_BYTES_MAX,
  type UploadRecord,
} from './upload-record.ts'
import { UploadSession, type UploadSessionInit } from './upload-session.ts'

export interface UploadLimits {
  /** Uploads that this process holds at once; each may have some MiB of buffers in the store's writer. */
  readonly uploadsMax: number
  /** How long this process holds an upload between two requests. */
  readonly uploadIdleMs: number
  /** How long an upload may rest before it is given up, whoever began it. */
  readonly uploadAbandonedMs: number
  /**
   * Uploads that rest between two requests, each a record in the store and perhaps the beginning of a blob. Of the address
   * that has most, the one that has rested longest makes room.
   */
  readonly uploadsRestingMax: number
  /** Of these, how many may come from one address. */
  readonly uploadsRestingPerAddressMax: number
}

export interface UploadInit extends Pick<UploadSessionInit, 'algorithm' | 'blobBytes'> {
  /** The request that begins it also ends it: nobody else will hear of it. */
  readonly isOneRequest?: boolean
  /** Where who begins it is. */
  readonly from?: string
}

/** As it was recorded last by this process. */
interface RestingUpload {
  readonly id: string
  readonly recordTag: string
}

const LIST_KEYS_MAX = 1_000

export class UploadSessions {
  readonly #sessions = new Map<string, UploadSession>()
  readonly #resting = new Map<string, RestingUpload>()
  readonly #places: FairPlaces<RestingUpload>

  readonly #parts: {
    objects: ObjectStore
    log: Logger
    nowMs: () => number
    newId: () => string
  }
  readonly #limits: UploadLimits

  constructor(
    parts: {
      objects: ObjectStore
      log: Logger
      nowMs: () => number
      newId: () => string
    },
    limits: UploadLimits,
  ) {
    this.#parts = parts
    this.#limits = limits
    this.#places = new FairPlaces({
      placesMax: limits.uploadsRestingMax,
      placesPerAddressMax: limits.uploadsRestingPerAddressMax,
    })
  }

  /** Uploads that this process holds. */
  get count(): number {
    return this.#sessions.size
  }

  /** @throws OciError TOOMANYREQUESTS */
  async begin(
    repository: string,
    { isOneRequest = false, from, ...init }: UploadInit,
  ): Promise<UploadSession> {
    await this.#makeRoom()
    const id = this.#parts.newId()
    const session = new UploadSession(
      this.#parts.objects,
      { ...init, id, repository, contentKey: keys.content(id) },
      this.#parts.nowMs(),
    )
    this.#sessions.set(id, session)
    if (isOneRequest) return session
    try {
      await this.#save(session, from)
    } catch (error) {
      this.#sessions.delete(session.init.id)
      throw error
    }
    return session
  }

  /** @returns undefined when there is no such upload in this repository */
  async get(repository: string, id: string): Promise<UploadSession | undefined> {
    if (!isUploadId(id)) return undefined
    const held = this.#sessions.get(id)
    if (held !== undefined && held.init.repository !== repository) return undefined
    // An upload of one request has no record, and nobody but that request knows it.
    if (held?.isBusy === true) return held.recordTag === undefined ? undefined : held
    const { objects } = this.#parts
    const key = keys.upload(id)
    if (held !== undefined) {
      if ((await objects.stat(key))?.etag === held.recordTag) return held
      // Another replica went on with it, or ended it.
      if (this.#sessions.get(id) === held && !held.isBusy) await this.#release(held)
    }
    const stored = await objects.read(key)
    if (stored === undefined) return undefined
    const record = decodeUploadRecord(key, await readWhole(key, stored, UPLOAD_RECORD_BYTES_MAX))
    if (record.repository !== repository) return undefined
    await this.#makeRoom()
    return this.#sessions.get(id) ?? this.#hold(id, record, stored.etag)
  }

  /** As `get`, for those who may also mean an upload of one request. */
  async find(repository: string, id: string): Promise<UploadSession | undefined> {
    const held = this.#sessions.get(id)
    if (held === undefined || held.recordTag !== undefined) return this.get(repository, id)
    return held.init.repository === repository ? held : undefined
  }

  /**
   * Runs `work` alone on the session, and records what came of it.
   * @param keep when what was received is recorded
   * @param from where who asks is
   * @throws OciError BLOB_UPLOAD_UNKNOWN, or BLOB_UPLOAD_INVALID (409) while another request works on it
   */
  async use<T>(
    repository: string,
    id: string,
    keep: 'always' | 'if-it-fails' | 'never',
    work: (session: UploadSession) => Promise<T>,
    from?: string,
  ): Promise<T> {
    const session = await this.find(repository, id)
    if (session === undefined)
      throw new OciError('BLOB_UPLOAD_UNKNOWN', 'blob upload unknown to registry', { detail: { id } })
    if (session.isBusy) {
      throw new OciError('BLOB_UPLOAD_INVALID', 'another request is working on this upload', { status: 409 })
    }
    session.isBusy = true
    const resting = this.#resting.get(id)
    if (resting !== undefined) this.#places.use(resting)
    const before = session.received
    const record = async () => {
      const isHeld = this.#sessions.get(id) === session && session.recordTag !== undefined
      if (isHeld && session.isSound && session.received !== before) await this.#save(session, from)
    }
    try {
      const result = await work(session)
      if (keep === 'always') await record()
      return result
    } catch (error) {
      if (keep !== 'never') await record()
      throw error
    } finally {
      session.isBusy = false
      if (resting !== undefined) this.#places.rest(resting)
      session.lastActiveAtMs = this.#parts.nowMs()
      if (!session.isSound) await this.drop(session)
    }
  }

  /** Ends the session and removes what it has written. */
  async drop(session: UploadSession): Promise<void> {
    this.#sessions.delete(session.init.id)
    this.#forgetResting(session.init.id)
    try {
      await session.abort()
      await this.#deleteRecord(session)
    } catch (err) {
      this.#parts.log.warn(
        { event: 'upload-not-aborted', err, uploadId: session.init.id },
        'upload could not be aborted; its content stays until it is swept',
      )
    }
  }

  /** Ends a session whose content stays. */
  async end(session: UploadSession): Promise<void> {
    this.#sessions.delete(session.init.id)
    this.#forgetResting(session.init.id)
    await this.#deleteRecord(session)
  }

  /** Lets go of what nobody has touched for a while. A request under way has its own idle timeout. */
  async sweepHeld(): Promise<void> {
    const before = this.#parts.nowMs() - this.#limits.uploadIdleMs
    for (const session of [...this.#sessions.values()])
      if (!session.isBusy && session.lastActiveAtMs < before) await this.#release(session)
  }

  /** Gives up uploads that nobody has gone on with for long, whoever began them. */
  async sweepAbandoned({ isDryRun = false } = {}): Promise<number> {
    const { objects, log, nowMs } = this.#parts
    const before = nowMs() - this.#limits.uploadAbandonedMs
    let count = 0
    let after: string | undefined
    do {
      const page = await objects.list(keys.uploads, {
        keysMax: LIST_KEYS_MAX,
        ...(after === undefined ? {} : { after }),
      })
      for (const key of page.keys) {
        const stored = await objects.read(key)
        if (stored === undefined) continue
        const bytes = await readWhole(key, stored, UPLOAD_RECORD_BYTES_MAX)
        let record: UploadRecord
        try {
          record = decodeUploadRecord(key, bytes)
        } catch (err) {
          if (!(err instanceof StoredRecordInvalidError)) throw err
          // Nobody knows how old it is. It stays for a person to look at, and the others go nevertheless.
          log.warn({ event: 'upload-unreadable', key, err }, 'the record of an upload cannot be read')
          continue
        }
        const id = key.slice(keys.uploads.length)
        if (record.updatedAtMs >= before || this.#sessions.get(id)?.isBusy === true) continue
        count++
        if (isDryRun) continue
        const session = this.#sessions.get(id) ?? this.#hold(id, record, stored.etag)
        log.info(
          { event: 'upload-dropped', uploadId: id, received: record.received },
          'abandoned upload dropped',
        )
        await this.drop(session)
      }
      after = page.next
    } while (after !== undefined)
    return count
  }

  /** Lets go of all: they are recorded, and go on elsewhere or here later. */
  async releaseAll(): Promise<void> {
    await Promise.all([...this.#sessions.values()].map((session) => this.#release(session)))
  }

  #hold(id: string, record: UploadRecord, recordTag: string): UploadSession {
    const session = UploadSession.resume(
      this.#parts.objects,
      { id, contentKey: keys.content(id) },
      record,
      this.#parts.nowMs(),
    )
    session.recordTag = recordTag
    this.#sessions.set(id, session)
    return session
  }

  async #save(session: UploadSession, from = ''): Promise<void> {
    const { recordTag } = session
    const record = encodeUploadRecord(await session.record(this.#parts.nowMs()))
    const precondition = recordTag === undefined ? { ifAbsent: true as const } : { ifMatch: recordTag }
    const outcome = await this.#parts.objects.put(keys.upload(session.init.id), record, precondition)
    if (outcome.kind === 'stored') {
      session.recordTag = outcome.etag
      this.#noteResting({ id: session.init.id, recordTag: outcome.etag }, from)
      return
    }
    await this.#release(session)
    throw new OciError('BLOB_UPLOAD_INVALID', 'another request has gone on with this upload', { status: 409 })
  }

  #noteResting(upload: RestingUpload, from: string): void {
    this.#forgetResting(upload.id)
    const taken = this.#places.take(from, upload)
    if (taken.kind === 'refused') return
    this.#resting.set(upload.id, upload)
    const { displaced } = taken
    if (displaced === undefined) return
    this.#resting.delete(displaced.id)
    this.#giveUp(displaced).catch((err: unknown) =>
      this.#parts.log.warn(
        { event: 'upload-not-aborted', err, uploadId: displaced.id },
        'upload could not be given up; it stays until it is swept',
      ),
    )
  }

  #forgetResting(id: string): void {
    const upload = this.#resting.get(id)
    if (upload === undefined) return
    this.#resting.delete(id)
    this.#places.free(upload)
  }

  /** Others need the room. Whoever goes on with it meanwhile, here or elsewhere, keeps it. */
  async #giveUp({ id, recordTag }: RestingUpload): Promise<void> {
    const { objects, log } = this.#parts
    const key = keys.upload(id)
    const stored = await objects.read(key)
    if (stored === undefined) return
    const record = decodeUploadRecord(key, await readWhole(key, stored, UPLOAD_RECORD_BYTES_MAX))
    const held = this.#sessions.get(id)
    if (stored.etag !== recordTag || held?.isBusy || !(await objects.deleteIf(key, recordTag))) return
    this.#sessions.delete(id)
    const session = held ?? UploadSession.resume(objects, { id, contentKey: keys.content(id) }, record, 0)
    await session.abort()
    log.info(
      { event: 'upload-dropped', uploadId: id, received: record.received },
      'resting upload dropped: others need the room',
    )
  }

  /** What this process holds goes, what is recorded stays. */
  async #release(session: UploadSession): Promise<void> {
    this.#sessions.delete(session.init.id)
    await (session.recordTag === undefined ? session.abort() : session.release())
  }

  async #deleteRecord(session: UploadSession): Promise<void> {
    if (session.recordTag !== undefined) await this.#parts.objects.delete(keys.upload(session.init.id))
  }

  async #makeRoom(): Promise<void> {
    while (this.#sessions.size >= this.#limits.uploadsMax) {
      // A Map iterates in order of insertion: the oldest that rests.
      const resting = [...this.#sessions.values()].find(
        ({ isBusy, recordTag }) => !isBusy && recordTag !== undefined,
      )
      if (resting === undefined) {
        throw new OciError('TOOMANYREQUESTS', `${this.#limits.uploadsMax} uploads are under way; try again`)
      }
      await this.#release(resting)
    }
  }
}

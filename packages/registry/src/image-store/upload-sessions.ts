/**
 * The uploads that are under way in this process: bounded in number, one request at a time on each, swept when idle.
 * An upload's id works only in the repository where it was begun.
 */
import { OciError } from '@shoal/oci'
import type { ObjectStore } from '@shoal/storage'
import type { Logger } from 'pino'
import { isUploadId, keys } from './layout.ts'
import { UploadSession, type UploadSessionInit } from './upload-session.ts'

export interface UploadLimits {
  /** Uploads at once; each may hold some MiB of buffers in the store's writer. */
  readonly uploadsMax: number
  /** How long an upload may rest between two requests. */
  readonly uploadIdleMs: number
}

export class UploadSessions {
  readonly #sessions = new Map<string, UploadSession>()

  constructor(
    private readonly parts: {
      objects: ObjectStore
      log: Logger
      nowMs: () => number
      newId: () => string
    },
    private readonly limits: UploadLimits,
  ) {}

  get count(): number {
    return this.#sessions.size
  }

  /** @throws OciError TOOMANYREQUESTS */
  begin(repository: string, init: Pick<UploadSessionInit, 'algorithm' | 'blobBytes'>): UploadSession {
    if (this.#sessions.size >= this.limits.uploadsMax) {
      throw new OciError('TOOMANYREQUESTS', `${this.limits.uploadsMax} uploads are under way; try again`)
    }
    const id = this.parts.newId()
    const session = new UploadSession(
      this.parts.objects,
      { ...init, id, repository, contentKey: keys.content(id) },
      this.parts.nowMs(),
    )
    this.#sessions.set(id, session)
    return session
  }

  get(repository: string, id: string): UploadSession | undefined {
    const session = isUploadId(id) ? this.#sessions.get(id) : undefined
    return session?.init.repository === repository ? session : undefined
  }

  /**
   * Runs `work` alone on the session.
   * @throws OciError BLOB_UPLOAD_UNKNOWN, or BLOB_UPLOAD_INVALID (409) while another request works on it
   */
  async use<T>(repository: string, id: string, work: (session: UploadSession) => Promise<T>): Promise<T> {
    const session = this.get(repository, id)
    if (session === undefined)
      throw new OciError('BLOB_UPLOAD_UNKNOWN', 'blob upload unknown to registry', { detail: { id } })
    if (session.isBusy) {
      throw new OciError('BLOB_UPLOAD_INVALID', 'another request is working on this upload', { status: 409 })
    }
    session.isBusy = true
    try {
      return await work(session)
    } finally {
      session.isBusy = false
      session.lastActiveAtMs = this.parts.nowMs()
      if (!session.isSound) await this.drop(session)
    }
  }

  /** Ends the session and removes what it has written. */
  async drop(session: UploadSession): Promise<void> {
    this.forget(session)
    await session.abort().catch((err: unknown) => {
      this.parts.log.warn(
        { event: 'upload-not-aborted', err, uploadId: session.init.id },
        'upload could not be aborted; its content may stay',
      )
    })
  }

  /** Ends a session whose content stays. */
  forget(session: UploadSession): void {
    this.#sessions.delete(session.init.id)
  }

  /** Drops what nobody has touched for too long. A request under way has its own idle timeout. */
  async sweep(): Promise<void> {
    const before = this.parts.nowMs() - this.limits.uploadIdleMs
    const idle = [...this.#sessions.values()].filter(
      ({ isBusy, lastActiveAtMs }) => !isBusy && lastActiveAtMs < before,
    )
    for (const session of idle) {
      this.parts.log.info(
        { event: 'upload-dropped', uploadId: session.init.id, received: session.received },
        'idle upload dropped',
      )
      await this.drop(session)
    }
  }

  async dropAll(): Promise<void> {
    await Promise.all([...this.#sessions.values()].map((session) => this.drop(session)))
  }
}

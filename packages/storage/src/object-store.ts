/**
 * The origin: where the seeder keeps everything that must survive. One interface, several backends, one contract
 * suite (`testing/object-store-contract.ts`).
 *
 * Keys are `/`-separated, each segment one or more of `A–Z a–z 0–9 . _ - : + =`, never `.` or `..`, 900 bytes at most.
 * Objects are immutable bytes with an entity tag; writes are atomic and durable when their promise resolves: a reader sees
 * the old object or the new one, never a part.
 */

/** Bytes `start` up to and without `end` of an object. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

export interface ObjectStat {
  readonly length: number
  /** Opaque; changes when the object's bytes change. */
  readonly etag: string
  readonly modifiedAtMs: number
}

export interface ObjectRead extends ObjectStat {
  /**
   * The bytes asked for, streamed: the next chunk is fetched when it is asked for. Must be iterated, since it holds a file or a
   * connection open; stop iterating to cancel.
   */
  readonly body: AsyncIterable<Uint8Array>
}

/** What must hold for a write to happen: nobody there yet, or still the object with this tag. */
export type Precondition = { readonly ifAbsent: true } | { readonly ifMatch: string }

export type PutOutcome =
  | { readonly kind: 'stored'; readonly etag: string }
  | { readonly kind: 'precondition-failed' }

/** What `resumeWriter` needs to go on; no secret. */
export interface WriterCheckpoint {
  /** Written so far. */
  readonly bytes: number
  /** The backend's own. */
  readonly token: string
}

/** A large object on its way in, one call at a time. Until `complete`, at most a beginning that was checkpointed is visible. */
export interface ObjectWriter {
  /** Resolves when the writer can take more: await it before the next call. The bytes are the writer's until then. */
  write(chunk: Uint8Array): Promise<void>
  /** Makes the object visible under its key, replacing what was there. Zero bytes are an object as well. */
  complete(): Promise<void>
  /** Makes what was written last, for `resumeWriter` of this process or another. More can be written afterwards. */
  checkpoint(): Promise<WriterCheckpoint>
  /** Lets go of memory and files; what was checkpointed stays. Nothing can be written afterwards. */
  release(): Promise<void>
  /** Forgets everything, checkpoints too; safe to call more than once, and after a failure. */
  abort(): Promise<void>
}

export interface ListPage {
  readonly keys: readonly string[]
  /** Pass as `after` for the next page; absent on the last. */
  readonly next?: string
}

export interface ObjectStore {
  /** For messages and logs; holds no secret. */
  readonly description: string
  start(): Promise<void>
  stop(): Promise<void>
  /** @returns undefined when there is no such object */
  stat(key: string, signal?: AbortSignal): Promise<ObjectStat | undefined>
  /**
   * @param options.range must lie within the object; `end` beyond it is cut to its length
   * @returns undefined when there is no such object
   */
  read(
    key: string,
    options?: { readonly range?: ByteRange; readonly signal?: AbortSignal },
  ): Promise<ObjectRead | undefined>
  /** For small objects (some MiB): one request. */
  put(key: string, bytes: Uint8Array, precondition?: Precondition): Promise<PutOutcome>
  /**
   * For objects of any size: memory stays bounded however long they are.
   * @param options.lengthBytes how long the object will be, where that is known: a hint, not a bound
   */
  createWriter(key: string, options?: { readonly lengthBytes?: number }): Promise<ObjectWriter>
  /**
   * Goes on where a checkpoint was made; what was written after it is forgotten. One at a time.
   * @returns undefined when it is gone: completed, aborted or swept
   */
  resumeWriter(key: string, checkpoint: WriterCheckpoint): Promise<ObjectWriter | undefined>
  /**
   * Removes what writers have left that were neither completed nor aborted.
   * @param beforeMs writers that began, or last wrote, before this
   * @returns how many
   */
  sweepWriters(beforeMs: number): Promise<number>
  /** Removing what is not there is no error. */
  delete(key: string): Promise<void>
  /**
   * Removes the object only while it has this tag. Exact in a folder, and in S3 where the server knows `If-Match` on DELETE;
   * elsewhere a write between looking and removing, milliseconds, goes unseen.
   * @returns false when it has another tag, or is not there
   */
  deleteIf(key: string, etag: string): Promise<boolean>
  /** Keys that begin with `prefix`, in byte order, exclusive of `after`, at most `keysMax`. Never on a hot path. */
  list(prefix: string, options: { readonly after?: string; readonly keysMax: number }): Promise<ListPage>
  /**
   * A file of this machine that holds the object and is never changed in place; undefined where the backend keeps none.
   * A hard link to it costs nothing.
   */
  localFile(key: string): string | undefined
  /** A URL that lets its bearer GET the object without credentials; undefined where the backend has no such thing. */
  presign(key: string, validSeconds: number): Promise<string | undefined>
}

/** An object store that says what it is asked for and how many bytes move: for metrics, and for tests of how often. */
import type {
  ByteRange,
  ListOptions,
  ListPage,
  ObjectRead,
  ObjectStat,
  ObjectStore,
  ObjectWriter,
  Precondition,
  PutOutcome,
  WriterCheckpoint,
} from './object-store.ts'

export type ObjectOperation = 'stat' | 'read' | 'put' | 'write' | 'delete' | 'list'

export interface ObjectMeter {
  onRequest(operation: ObjectOperation): void
  /** Bytes as they are delivered. */
  onReadBytes(bytes: number): void
  onWrittenBytes(bytes: number): void
  /** Called when nothing was found; rejects where that cannot be believed, as when the origin is gone. */
  onMissing?(key: string): Promise<void>
  /** Something is about to be written: throws where it must not be. */
  onWriting?(key: string): void
  /** A write was done, or failed. */
  onWritten?(error?: unknown): void
}

export class MeteredObjectStore implements ObjectStore {
  readonly #inner: ObjectStore
  readonly #meter: ObjectMeter

  constructor(inner: ObjectStore, meter: ObjectMeter) {
    this.#inner = inner
    this.#meter = meter
  }

  get description(): string {
    return this.#inner.description
  }

  start(): Promise<void> {
    return this.#inner.start()
  }

  stop(): Promise<void> {
    return this.#inner.stop()
  }

  async stat(key: string, signal?: AbortSignal): Promise<ObjectStat | undefined> {
    this.#meter.onRequest('stat')
    const found = await this.#inner.stat(key, signal)
    if (found === undefined) await this.#meter.onMissing?.(key)
    return found
  }

  async read(
    key: string,
    options?: { readonly range?: ByteRange; readonly signal?: AbortSignal },
  ): Promise<ObjectRead | undefined> {
    this.#meter.onRequest('read')
    const object = await this.#inner.read(key, options)
    if (object === undefined) await this.#meter.onMissing?.(key)
    return object && { ...object, body: this.#counted(object.body) }
  }

  async put(key: string, bytes: Uint8Array, precondition?: Precondition): Promise<PutOutcome> {
    this.#meter.onWriting?.(key)
    this.#meter.onRequest('put')
    const outcome = await this.#writing(this.#inner.put(key, bytes, precondition))
    if (outcome.kind === 'stored') this.#meter.onWrittenBytes(bytes.length)
    return outcome
  }

  async createWriter(key: string, options?: { readonly lengthBytes?: number }): Promise<ObjectWriter> {
    this.#meter.onWriting?.(key)
    this.#meter.onRequest('write')
    return this.#metered(key, await this.#writing(this.#inner.createWriter(key, options), false))
  }

  async resumeWriter(key: string, checkpoint: WriterCheckpoint): Promise<ObjectWriter | undefined> {
    this.#meter.onWriting?.(key)
    this.#meter.onRequest('write')
    const writer = await this.#writing(this.#inner.resumeWriter(key, checkpoint), false)
    return writer && this.#metered(key, writer)
  }

  sweepWriters(beforeMs: number): Promise<number> {
    this.#meter.onRequest('list')
    return this.#inner.sweepWriters(beforeMs)
  }

  delete(key: string): Promise<void> {
    this.#meter.onRequest('delete')
    return this.#inner.delete(key)
  }

  deleteIf(key: string, etag: string): Promise<boolean> {
    this.#meter.onRequest('delete')
    return this.#inner.deleteIf(key, etag)
  }

  async list(prefix: string, options: ListOptions): Promise<ListPage> {
    this.#meter.onRequest('list')
    const page = await this.#inner.list(prefix, options)
    if (page.keys.length === 0) await this.#meter.onMissing?.(prefix)
    return page
  }

  localFile(key: string): string | undefined {
    return this.#inner.localFile(key)
  }

  presign(key: string, validSeconds: number): Promise<string | undefined> {
    return this.#inner.presign(key, validSeconds)
  }

  #metered(key: string, writer: ObjectWriter): ObjectWriter {
    return {
      write: async (chunk) => {
        await this.#writing(writer.write(chunk), false)
        this.#meter.onWrittenBytes(chunk.length)
      },
      complete: async () => {
        this.#meter.onWriting?.(key)
        return this.#writing(writer.complete())
      },
      checkpoint: () => this.#writing(writer.checkpoint()),
      release: () => writer.release(),
      abort: () => writer.abort(),
    }
  }

  /** @param isTelling whether its success says that something was written, and not only buffered */
  async #writing<T>(doing: Promise<T>, isTelling = true): Promise<T> {
    try {
      const done = await doing
      if (isTelling) this.#meter.onWritten?.()
      return done
    } catch (error) {
      this.#meter.onWritten?.(error)
      throw error
    }
  }

  async *#counted(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      this.#meter.onReadBytes(chunk.length)
      yield chunk
    }
  }
}

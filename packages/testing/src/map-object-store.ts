/** An object store in a Map, with faults on demand: small enough to see what an upload leaves behind. */
import type {
  ListOptions,
  ListPage,
  ObjectRead,
  ObjectStat,
  ObjectStore,
  ObjectWriter,
  Precondition,
  PutOutcome,
  WriterCheckpoint,
} from '@shoal/storage'

interface Stored {
  readonly bytes: Uint8Array
  readonly etag: string
  readonly modifiedAtMs: number
}

export class MapObjectStore implements ObjectStore {
  readonly description = 'a Map'
  readonly objects = new Map<string, Stored>()
  /** Writers that were neither completed nor aborted. */
  openWriters = 0
  /** Calls so far, by name. */
  readonly calls: Record<string, number> = {}
  /** Called before everything that is done; throws to make it fail. */
  fault: (doing: string, key: string) => void = () => {}
  readonly #checkpoints = new Map<string, Uint8Array>()
  nowMs = () => 0
  #version = 0

  /** Checkpoints that were neither completed, aborted nor swept. */
  get checkpoints(): number {
    return this.#checkpoints.size
  }

  /** Keys that begin with one of `prefixes`, or all. */
  keys(...prefixes: string[]): string[] {
    const all = [...this.objects.keys()].sort()
    return prefixes.length === 0
      ? all
      : all.filter((key) => prefixes.some((prefix) => key.startsWith(prefix)))
  }

  async start(): Promise<void> {}
  async stop(): Promise<void> {}

  async stat(key: string): Promise<ObjectStat | undefined> {
    this.#enter('stat', key)
    const stored = this.objects.get(key)
    return stored && { length: stored.bytes.length, etag: stored.etag, modifiedAtMs: stored.modifiedAtMs }
  }

  async read(
    key: string,
    { range, signal }: { range?: { start: number; end: number }; signal?: AbortSignal } = {},
  ): Promise<ObjectRead | undefined> {
    this.#enter('read', key)
    const stored = this.objects.get(key)
    if (stored === undefined) return undefined
    const bytes = range === undefined ? stored.bytes : stored.bytes.subarray(range.start, range.end)
    const enter = () => this.#enter('chunk', key)
    async function* body() {
      for (let offset = 0; offset < bytes.length; offset += 65_536) {
        signal?.throwIfAborted()
        enter()
        yield bytes.subarray(offset, offset + 65_536)
      }
    }
    return { length: stored.bytes.length, etag: stored.etag, modifiedAtMs: stored.modifiedAtMs, body: body() }
  }

  async put(key: string, bytes: Uint8Array, precondition?: Precondition): Promise<PutOutcome> {
    this.#enter('put', key)
    const existing = this.objects.get(key)
    const isHeld =
      precondition === undefined ||
      ('ifAbsent' in precondition ? existing === undefined : existing?.etag === precondition.ifMatch)
    if (!isHeld) return { kind: 'precondition-failed' }
    return { kind: 'stored', etag: this.#store(key, bytes.slice()) }
  }

  async createWriter(key: string): Promise<ObjectWriter> {
    this.#enter('createWriter', key)
    return this.#writer(key, new Uint8Array())
  }

  async resumeWriter(key: string, { bytes, token }: WriterCheckpoint): Promise<ObjectWriter | undefined> {
    this.#enter('resumeWriter', key)
    const kept = this.#checkpoints.get(token)
    return kept && this.#writer(key, kept.subarray(0, bytes), token)
  }

  async sweepWriters(): Promise<number> {
    const { size } = this.#checkpoints
    this.#checkpoints.clear()
    return size
  }

  #writer(key: string, beginning: Uint8Array, resumed?: string): ObjectWriter {
    const parts: Uint8Array[] = [beginning]
    let token = resumed
    let isOpen = true
    this.openWriters++
    const end = () => {
      if (isOpen) this.openWriters--
      isOpen = false
    }
    return {
      write: async (chunk) => {
        this.#enter('write', key)
        parts.push(chunk.slice())
      },
      complete: async () => {
        this.#enter('complete', key)
        this.#store(key, Buffer.concat(parts))
        if (token !== undefined) this.#checkpoints.delete(token)
        end()
      },
      checkpoint: async () => {
        this.#enter('checkpoint', key)
        token ??= `checkpoint-${++this.#version}`
        const bytes = Buffer.concat(parts)
        this.#checkpoints.set(token, bytes)
        return { bytes: bytes.length, token }
      },
      release: async () => end(),
      abort: async () => {
        if (token !== undefined) this.#checkpoints.delete(token)
        end()
      },
    }
  }

  async delete(key: string): Promise<void> {
    this.#enter('delete', key)
    this.objects.delete(key)
  }

  async deleteIf(key: string, etag: string): Promise<boolean> {
    this.#enter('delete', key)
    if (this.objects.get(key)?.etag !== etag) return false
    return this.objects.delete(key)
  }

  async list(prefix: string, { after, keysMax, withLengths }: ListOptions): Promise<ListPage> {
    this.#enter('list', prefix)
    const found = this.keys(prefix).filter((key) => after === undefined || key > after)
    const keys = found.slice(0, keysMax)
    return {
      keys,
      ...(withLengths === true ? { lengths: keys.map((key) => this.objects.get(key)!.bytes.length) } : {}),
      ...(found.length > keysMax ? { next: keys.at(-1)! } : {}),
    }
  }

  localFile(): undefined {
    return undefined
  }

  async presign(): Promise<undefined> {}

  #enter(doing: string, key: string): void {
    this.calls[doing] = (this.calls[doing] ?? 0) + 1
    const grammar = /^[A-Za-z0-9._\-:+=]+$/
    const isKey =
      key.length <= 900 && key.split('/').every((part) => grammar.test(part) && !/^\.\.?$/.test(part))
    if (!isKey && !(doing === 'list' && key.endsWith('/'))) throw new Error(`not a key: ${key}`)
    this.fault(doing, key)
  }

  #store(key: string, bytes: Uint8Array): string {
    const etag = `v${++this.#version}`
    this.objects.set(key, { bytes, etag, modifiedAtMs: this.nowMs() })
    return etag
  }
}

/** As much of an object store as the queue uses, in memory, with crashes: from a moment on, nothing of one user arrives. */
import type { ObjectRead, ObjectStat, ObjectStore, Precondition, PutOutcome } from '@shoal/storage'

export class MemoryObjects {
  readonly objects = new Map<string, { bytes: Uint8Array; etag: string }>()
  #version = 0

  keys(prefix = ''): string[] {
    return [...this.objects.keys()].filter((key) => key.startsWith(prefix)).sort()
  }

  /** The store as one replica sees it. */
  view(): ObjectsView {
    return new ObjectsView(this)
  }

  put(key: string, bytes: Uint8Array, precondition?: Precondition): PutOutcome {
    const existing = this.objects.get(key)
    const isHeld =
      precondition === undefined ||
      ('ifAbsent' in precondition ? existing === undefined : existing?.etag === precondition.ifMatch)
    if (!isHeld) return { kind: 'precondition-failed' }
    const etag = `v${++this.#version}`
    this.objects.set(key, { bytes: bytes.slice(), etag })
    return { kind: 'stored', etag }
  }
}

export class ObjectsView implements ObjectStore {
  readonly description = 'memory'
  readonly #shared: MemoryObjects
  /** Called before everything; throws to make it fail, or returns what must come first. */
  fault: (doing: string, key: string) => void | Promise<void> = () => {}
  #isCrashed = false

  constructor(shared: MemoryObjects) {
    this.#shared = shared
  }

  /** Nothing that this replica does from now on happens, or ends. */
  crash(): void {
    this.#isCrashed = true
  }

  async start(): Promise<void> {}
  async stop(): Promise<void> {}

  async stat(key: string): Promise<ObjectStat | undefined> {
    await this.#enter('stat', key)
    const stored = this.#shared.objects.get(key)
    return stored && { length: stored.bytes.length, etag: stored.etag, modifiedAtMs: 0 }
  }

  async read(key: string): Promise<ObjectRead | undefined> {
    await this.#enter('read', key)
    const stored = this.#shared.objects.get(key)
    if (stored === undefined) return undefined
    const { bytes, etag } = stored
    async function* body() {
      yield bytes
    }
    return { length: bytes.length, etag, modifiedAtMs: 0, body: body() }
  }

  async put(key: string, bytes: Uint8Array, precondition?: Precondition): Promise<PutOutcome> {
    await this.#enter('put', key)
    return this.#shared.put(key, bytes, precondition)
  }

  async delete(key: string): Promise<void> {
    await this.#enter('delete', key)
    this.#shared.objects.delete(key)
  }

  async deleteIf(): Promise<boolean> {
    throw new Error('the queue deletes without conditions')
  }

  async resumeWriter(): Promise<undefined> {
    throw new Error('the queue writes small objects only')
  }

  async sweepWriters(): Promise<number> {
    return 0
  }

  async list(prefix: string, { after, keysMax }: { readonly after?: string; readonly keysMax: number }) {
    await this.#enter('list', prefix)
    const found = this.#shared.keys(prefix).filter((key) => after === undefined || key > after)
    const keys = found.slice(0, keysMax)
    return { keys, ...(found.length > keysMax && { next: keys.at(-1)! }) }
  }

  createWriter(): Promise<never> {
    throw new Error('the queue writes small objects only')
  }

  localFile(): undefined {}

  async presign(): Promise<undefined> {}

  async #enter(doing: string, key: string): Promise<void> {
    if (this.#isCrashed) await new Promise(() => {})
    await this.fault(doing, key)
    // Other replicas get their turn between a request and its effect.
    await Promise.resolve()
    if (this.#isCrashed) await new Promise(() => {})
  }
}

/**
 * Objects as files of one folder, a key a path. Atomic and durable: an object is written aside, flushed, and then given
 * its name by `rename(2)`, or by `link(2)` where nobody may be there yet.
 *
 * A key cannot be another key's folder (`a` and `a/b`): the second is refused by the file system. Preconditions on
 * entity tags hold within this process: one seeder owns a folder, several share a bucket.
 */
import { type FileHandle, mkdir, open, readdir, rm, rmdir, stat } from 'node:fs/promises'
import { dirname, join, sep } from 'node:path'
import { codeOf, FOLDER_MODE, makeFolder, openStaged, publish } from './durable.ts'
import { StorageFullError, StorageRefusedError, StorageUnavailableError } from './errors.ts'
import { FilesystemWriter, type FilesystemWriterParts } from './filesystem-writer.ts'
import { KeyLocks } from './key-locks.ts'
import { checkKey } from './object-key.ts'
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
import { walkKeys } from './walk-keys.ts'

const READ_CHUNK_BYTES = 512 * 1024
/** No key begins with it: segments have no `~`. */
const STAGING = '~staging'
/** Writers that may be resumed. */
const CHECKPOINTS = '~checkpoints'

export class FilesystemObjectStore implements ObjectStore {
  readonly #folder: string
  readonly #staging: string
  readonly #checkpoints: string
  readonly #locks = new KeyLocks()

  constructor(init: { readonly folder: string }) {
    this.#folder = init.folder
    this.#staging = join(init.folder, STAGING)
    this.#checkpoints = join(init.folder, CHECKPOINTS)
  }

  get description(): string {
    return `folder ${this.#folder}`
  }

  async start(): Promise<void> {
    await this.#guard('be set up', async () => {
      await makeFolder(this.#folder)
      // What a process that died left half written.
      await rm(this.#staging, { recursive: true, force: true })
      await mkdir(this.#staging, { mode: FOLDER_MODE })
      await makeFolder(this.#checkpoints)
    })
  }

  async stop(): Promise<void> {}

  async stat(key: string): Promise<ObjectStat | undefined> {
    const path = this.#path(key)
    return this.#guard(`look at ${key}`, () => statOf(path))
  }

  async read(
    key: string,
    options: { readonly range?: ByteRange; readonly signal?: AbortSignal } = {},
  ): Promise<ObjectRead | undefined> {
    const path = this.#path(key)
    // Opened before it is looked at: the file that is read is the one whose length and tag are given.
    const handle = await this.#guard(`read ${key}`, () => openIfThere(path))
    if (handle === undefined) return undefined
    const found = await this.#guard(`read ${key}`, async () => handle.stat({ bigint: true }))
    if (!found.isFile()) {
      await handle.close()
      return undefined
    }
    const { length } = toStat(found)
    const start = options.range?.start ?? 0
    const end = Math.min(options.range?.end ?? length, length)
    if (start < end) return { ...toStat(found), body: this.#body(handle, start, end, options.signal) }
    await handle.close()
    return { ...toStat(found), body: nothing() }
  }

  async put(key: string, bytes: Uint8Array, precondition?: Precondition): Promise<PutOutcome> {
    const path = this.#path(key)
    return this.#guard(`write ${key}`, () =>
      this.#locks.run(key, async () => {
        const wanted =
          precondition !== undefined && 'ifMatch' in precondition ? precondition.ifMatch : undefined
        if (wanted !== undefined && (await statOf(path))?.etag !== wanted)
          return { kind: 'precondition-failed' }
        const staged = await openStaged(this.#staging)
        try {
          await staged.handle.writeFile(bytes)
          await staged.handle.sync()
          const { etag } = toStat(await staged.handle.stat({ bigint: true }))
          const ifAbsent = precondition !== undefined && 'ifAbsent' in precondition
          const isStored = await publish(staged.path, path, { ifAbsent })
          return isStored ? { kind: 'stored', etag } : { kind: 'precondition-failed' }
        } finally {
          await staged.handle.close()
          await rm(staged.path, { force: true })
        }
      }),
    )
  }

  async createWriter(key: string): Promise<ObjectWriter> {
    return this.#guard(`write ${key}`, () => FilesystemWriter.create(this.#writerParts(key)))
  }

  async resumeWriter(key: string, checkpoint: WriterCheckpoint): Promise<ObjectWriter | undefined> {
    return this.#guard(`write ${key}`, () => FilesystemWriter.resume(this.#writerParts(key), checkpoint))
  }

  async sweepWriters(beforeMs: number): Promise<number> {
    return this.#guard('be swept', async () => {
      let count = 0
      for (const name of await readdir(this.#checkpoints)) {
        const path = join(this.#checkpoints, name)
        const found = await statOf(path)
        if (found === undefined || found.modifiedAtMs >= beforeMs) continue
        await rm(path, { force: true })
        count++
      }
      return count
    })
  }

  async delete(key: string): Promise<void> {
    // In turn with conditional puts: between a put's look and its write, the put would bring the object back.
    await this.#locks.run(key, () => this.#remove(key))
  }

  async deleteIf(key: string, etag: string): Promise<boolean> {
    const path = this.#path(key)
    return this.#locks.run(key, async () => {
      if ((await this.#guard(`look at ${key}`, () => statOf(path)))?.etag !== etag) return false
      await this.#remove(key)
      return true
    })
  }

  async list(prefix: string, options: ListOptions): Promise<ListPage> {
    return this.#guard(`list ${prefix === '' ? 'its keys' : prefix}`, async () => {
      const keys: string[] = []
      const lengths: number[] = []
      const page = (): ListPage => (options.withLengths === true ? { keys, lengths } : { keys })
      for await (const key of walkKeys(this.#folder, prefix, options.after ?? '')) {
        if (keys.length === options.keysMax) return { ...page(), next: keys.at(-1) ?? '' }
        if (options.withLengths === true) {
          const found = await statOf(this.#path(key))
          if (found === undefined) continue
          lengths.push(found.length)
        }
        keys.push(key)
      }
      return page()
    })
  }

  localFile(key: string): string {
    return this.#path(key)
  }

  async presign(): Promise<undefined> {
    return undefined
  }

  async *#body(
    handle: FileHandle,
    start: number,
    end: number,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    try {
      for (let offset = start; offset < end; ) {
        signal?.throwIfAborted()
        const length = Math.min(READ_CHUNK_BYTES, end - offset)
        const { bytesRead, buffer } = await this.#guard('read', () =>
          handle.read(Buffer.allocUnsafe(length), 0, length, offset),
        )
        if (bytesRead === 0) throw new StorageUnavailableError(this.description, 'read an object that shrank')
        offset += bytesRead
        yield buffer.subarray(0, bytesRead)
      }
    } finally {
      await handle.close()
    }
  }

  async #remove(key: string): Promise<void> {
    const path = this.#path(key)
    await this.#guard(`delete ${key}`, async () => {
      await rm(path, { force: true })
      await this.#prune(dirname(path))
    })
  }

  /** Removes empty folders from `folder` upwards. A folder that is in use again is not empty and stays. */
  async #prune(folder: string): Promise<void> {
    if (!folder.startsWith(this.#folder + sep)) return
    try {
      await rmdir(folder)
    } catch (error) {
      if (codeOf(error) === 'ENOTEMPTY' || codeOf(error) === 'EEXIST') return
      if (codeOf(error) !== 'ENOENT') throw error
    }
    await this.#prune(dirname(folder))
  }

  #writerParts(key: string): FilesystemWriterParts {
    const path = this.#path(key)
    return {
      stagingFolder: this.#staging,
      checkpointFolder: this.#checkpoints,
      publish: (staged) => this.#locks.run(key, () => publish(staged, path, { ifAbsent: false })),
      guard: (work) => this.#guard(`write ${key}`, work),
    }
  }

  #path(key: string): string {
    checkKey(key)
    return join(this.#folder, key)
  }

  async #guard<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (cause) {
      const code = codeOf(cause)
      if (code === 'ENOSPC' || code === 'EDQUOT')
        throw new StorageFullError(this.description, doing, { cause })
      if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
        throw new StorageRefusedError(this.description, doing, code, { cause })
      if (code?.startsWith('E')) throw new StorageUnavailableError(this.description, doing, { cause })
      throw cause
    }
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r')
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined
    throw error
  }
}

async function statOf(path: string): Promise<ObjectStat | undefined> {
  try {
    const found = await stat(path, { bigint: true })
    return found.isFile() ? toStat(found) : undefined
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined
    throw error
  }
}

function toStat(found: { ino: bigint; size: bigint; mtimeNs: bigint }): ObjectStat {
  return {
    length: Number(found.size),
    etag: `${found.ino.toString(36)}-${found.size.toString(36)}-${found.mtimeNs.toString(36)}`,
    modifiedAtMs: Number(found.mtimeNs / 1_000_000n),
  }
}

/**
 * One object on its way into a folder: a file written aside and then given its name. A checkpoint moves it to where a
 * restart leaves it alone.
 */
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { codeOf, openStaged, syncFolder } from './durable.ts'
import type { ObjectWriter, WriterCheckpoint } from './object-store.ts'

export interface FilesystemWriterParts {
  /** Emptied when the store starts. */
  readonly stagingFolder: string
  /** Kept for those who resume. */
  readonly checkpointFolder: string
  /** Gives a flushed file its key. */
  readonly publish: (path: string) => Promise<unknown>
  /** Names what failed. */
  readonly guard: <T>(work: () => Promise<T>) => Promise<T>
}

export class FilesystemWriter implements ObjectWriter {
  readonly #parts: FilesystemWriterParts
  readonly #handle: FileHandle
  #path: string
  #bytes: number
  #isOpen = true

  static async create(parts: FilesystemWriterParts): Promise<FilesystemWriter> {
    const { path, handle } = await openStaged(parts.stagingFolder)
    return new FilesystemWriter(parts, path, handle, 0)
  }

  static async resume(
    parts: FilesystemWriterParts,
    { bytes, token }: WriterCheckpoint,
  ): Promise<FilesystemWriter | undefined> {
    // A token is the name of a file, never a path.
    const path = join(parts.checkpointFolder, basename(token))
    try {
      const handle = await open(path, 'r+')
      if ((await handle.stat()).size < bytes) {
        await handle.close()
        return undefined
      }
      await handle.truncate(bytes)
      return new FilesystemWriter(parts, path, handle, bytes)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      throw error
    }
  }

  private constructor(parts: FilesystemWriterParts, path: string, handle: FileHandle, bytes: number) {
    this.#parts = parts
    this.#path = path
    this.#handle = handle
    this.#bytes = bytes
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#parts.guard(async () => {
      let written = 0
      while (written < chunk.length) {
        const { bytesWritten } = await this.#handle.write(
          chunk,
          written,
          chunk.length - written,
          this.#bytes + written,
        )
        written += bytesWritten
      }
      this.#bytes += written
    })
  }

  complete(): Promise<void> {
    return this.#parts.guard(async () => {
      await this.#handle.sync()
      await this.release()
      await this.#parts.publish(this.#path)
    })
  }

  checkpoint(): Promise<WriterCheckpoint> {
    return this.#parts.guard(async () => {
      await this.#handle.sync()
      const { checkpointFolder } = this.#parts
      const kept = join(checkpointFolder, basename(this.#path))
      if (kept !== this.#path) {
        await rename(this.#path, kept)
        this.#path = kept
        await syncFolder(checkpointFolder)
      }
      return { bytes: this.#bytes, token: basename(kept) }
    })
  }

  async release(): Promise<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    await this.#handle.close()
  }

  async abort(): Promise<void> {
    await this.release()
    await rm(this.#path, { force: true })
  }
}

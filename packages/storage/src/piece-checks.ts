/**
 * Reads pieces from disk and says whether they are what they should be: two at a time for the whole process, one being read while
 * the other is hashed, because whoever checks more at once only takes memory.
 */
import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { bytesEqual, type Metainfo, pieceBytes, pieceSha256 } from '@shoal/core'
import { sharedHasher } from './hasher.ts'

export const PIECE_CHECKS = { atOnceMax: 2 }
/** Buffers that nobody used for so long are given back. */
const IDLE_MS = 10_000

type SharedBytes = Uint8Array<SharedArrayBuffer>

class PieceChecks {
  readonly #waiting: ((buffer: SharedBytes) => void)[] = []
  /** Used again and again: the hashing thread keeps hold of memory that it was shown. */
  #resting: SharedBytes[] = []
  #made = 0
  #idleTimer: NodeJS.Timeout | undefined

  /**
   * @param isUrgent somebody waits, and for more as a rule: worth having the hashing thread started
   * @returns false also for a piece that the disk does not give
   */
  async isRight(handle: FileHandle, metainfo: Metainfo, index: number, isUrgent: boolean): Promise<boolean> {
    let buffer = await this.#take()
    try {
      const length = pieceBytes(metainfo, index)
      if (buffer.length < length) buffer = new Uint8Array(new SharedArrayBuffer(metainfo.pieceLength))
      const piece = buffer.subarray(0, length)
      if (!(await isReadWhole(handle, piece, index * metainfo.pieceLength))) return false
      const found = isUrgent
        ? await sharedHasher.sha256([piece])
        : createHash('sha256').update(piece).digest()
      return bytesEqual(found, pieceSha256(metainfo, index))
    } finally {
      this.#give(buffer)
    }
  }

  async #take(): Promise<SharedBytes> {
    clearTimeout(this.#idleTimer)
    const resting = this.#resting.pop()
    if (resting !== undefined) return resting
    if (this.#made < PIECE_CHECKS.atOnceMax) {
      this.#made++
      return new Uint8Array(new SharedArrayBuffer(0))
    }
    return await new Promise((resolve) => this.#waiting.push(resolve))
  }

  #give(buffer: SharedBytes): void {
    const next = this.#waiting.shift()
    if (next !== undefined) {
      next(buffer)
      return
    }
    this.#resting.push(buffer)
    this.#idleTimer = setTimeout(() => {
      this.#made -= this.#resting.length
      this.#resting = []
    }, IDLE_MS).unref()
  }
}

/** @returns false where the file ends before, or the disk cannot read it */
async function isReadWhole(handle: FileHandle, into: Uint8Array, start: number): Promise<boolean> {
  try {
    for (let filled = 0; filled < into.length; ) {
      const { bytesRead } = await handle.read(into, filled, into.length - filled, start + filled)
      if (bytesRead === 0) return false
      filled += bytesRead
    }
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EIO') return false
    throw error
  }
}

/** One for the process: the disk and the hashing thread are one as well. */
export const sharedPieceChecks = new PieceChecks()

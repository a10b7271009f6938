/**
 * Order in the writes to one file. The system lets one thread at a time write to a file, and is quicker with few long writes
 * than with many short ones: pieces that lie side by side and wait together are written together.
 */
import { assert } from '@shoal/core'

/** Bytes of one write, more than that only if one piece has more. */
const RUN_BYTES_MAX = 4 * 1024 * 1024
/** Bytes in writes at a time, where pieces are shorter: each write waits for a turn of the event loop. */
const WRITING_BYTES = 1024 * 1024

interface Waiting {
  readonly parts: readonly Uint8Array[]
  readonly done: PromiseWithResolvers<void>
}

export class PieceWrites {
  readonly #write: (index: number, parts: readonly Uint8Array[]) => Promise<void>
  readonly #runMax: number
  readonly #writersMax: number
  readonly #waiting = new Map<number, Waiting>()
  readonly #underWay = new Map<number, Waiting>()
  #writers = 0

  /** @param write writes `parts` from the beginning of piece `index` on */
  constructor(pieceLength: number, write: (index: number, parts: readonly Uint8Array[]) => Promise<void>) {
    this.#write = write
    this.#runMax = Math.max(1, Math.floor(RUN_BYTES_MAX / pieceLength))
    this.#writersMax = Math.max(1, Math.floor(WRITING_BYTES / pieceLength))
  }

  /** Resolves when the piece is written; a piece that is about to be written is written once. */
  add(index: number, parts: readonly Uint8Array[]): Promise<void> {
    let waiting = this.#underWay.get(index) ?? this.#waiting.get(index)
    if (waiting === undefined) {
      waiting = { parts, done: Promise.withResolvers() }
      this.#waiting.set(index, waiting)
      this.#next()
    }
    return waiting.done.promise
  }

  #next(): void {
    while (this.#writers < this.#writersMax) {
      const [oldest] = this.#waiting.keys()
      if (oldest === undefined) return
      void this.#writeRun(oldest)
    }
  }

  async #writeRun(around: number): Promise<void> {
    let first = around
    while (around - first + 1 < this.#runMax && this.#waiting.has(first - 1)) first--
    const run: Waiting[] = []
    for (let index = first; run.length < this.#runMax; index++) {
      const waiting = this.#waiting.get(index)
      if (waiting === undefined) break
      this.#waiting.delete(index)
      this.#underWay.set(index, waiting)
      run.push(waiting)
    }
    assert(run.length > 0, 'a run has the piece that it was begun for')
    this.#writers++
    try {
      await this.#write(
        first,
        run.flatMap(({ parts }) => parts),
      )
      for (const { done } of run) done.resolve()
    } catch (error) {
      for (const { done } of run) done.reject(error)
    } finally {
      for (let index = first; index < first + run.length; index++) this.#underWay.delete(index)
      this.#writers--
      this.#next()
    }
  }
}

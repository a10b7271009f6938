/**
 * Cuts bytes into lines, however they arrive. Pure.
 * A line counts once its end is here: what stands after the last end was cut off, and is nobody's line.
 */
import { LineTooLongError } from './errors.ts'

const NEWLINE = 0x0a
/** Each part costs some hundred bytes beside its own: a line that comes byte by byte must not cost a hundredfold. */
const PARTS_MAX = 256

export class LineSplitter {
  readonly #lineBytesMax: number
  #parts: Uint8Array[] = []
  #heldBytes = 0

  constructor(init: { readonly lineBytesMax: number }) {
    this.#lineBytesMax = init.lineBytesMax
  }

  /**
   * @returns the lines that end in `chunk`, without their ends, empty ones included
   * @throws LineTooLongError before more than a line is held
   */
  *push(chunk: Uint8Array): Generator<string> {
    let from = 0
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      this.#hold(chunk.subarray(from, end))
      const line = Buffer.concat(this.#parts).toString('utf8')
      this.#parts = []
      this.#heldBytes = 0
      from = end + 1
      yield line
    }
    this.#hold(chunk.subarray(from))
  }

  /** Of a line whose end has not come. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  #hold(part: Uint8Array): void {
    if (part.length === 0) return
    this.#heldBytes += part.length
    if (this.#heldBytes > this.#lineBytesMax) throw new LineTooLongError(this.#lineBytesMax)
    if (this.#parts.length >= PARTS_MAX) this.#parts = [Buffer.concat(this.#parts)]
    this.#parts.push(part)
  }
}

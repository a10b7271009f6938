/**
 * Which pieces somebody has. Pure, mutable, fixed in size.
 * BEP 3, "bitfield": the high bit of the first byte is piece 0, spare bits at the end are zero.
 */
import { assert } from './errors.ts'

export class Bitfield {
  readonly #bytes: Uint8Array
  #setCount = 0

  constructor(readonly length: number) {
    assert(Number.isSafeInteger(length) && length >= 0, 'a bitfield has a whole number of bits')
    this.#bytes = new Uint8Array(Math.ceil(length / 8))
  }

  static full(length: number): Bitfield {
    const bitfield = new Bitfield(length)
    for (let index = 0; index < length; index++) bitfield.set(index)
    return bitfield
  }

  /** @returns undefined when the byte count is wrong or a spare bit is set, as a peer's mistake may have it */
  static fromBytes(bytes: Uint8Array, length: number): Bitfield | undefined {
    if (bytes.length !== Math.ceil(length / 8)) return undefined
    const spareBits = bytes.length * 8 - length
    if (spareBits > 0 && (bytes.at(-1)! & ((1 << spareBits) - 1)) !== 0) return undefined
    const bitfield = new Bitfield(length)
    for (let index = 0; index < length; index++) {
      if ((bytes[index >> 3]! & (0x80 >> (index & 7))) !== 0) bitfield.set(index)
    }
    return bitfield
  }

  get setCount(): number {
    return this.#setCount
  }

  get isFull(): boolean {
    return this.#setCount === this.length
  }

  has(index: number): boolean {
    return index >= 0 && index < this.length && (this.#bytes[index >> 3]! & (0x80 >> (index & 7))) !== 0
  }

  /** @returns whether the bit was clear before */
  set(index: number): boolean {
    assert(index >= 0 && index < this.length, `bit ${index} lies within ${this.length}`)
    if (this.has(index)) return false
    this.#bytes[index >> 3]! |= 0x80 >> (index & 7)
    this.#setCount++
    return true
  }

  /** The first clear bit at or after `from`, or `length` when there is none. */
  nextMissing(from = 0): number {
    let index = from
    while (index < this.length && this.has(index)) index++
    return index
  }

  /** The wire form; a copy. */
  toBytes(): Uint8Array {
    return this.#bytes.slice()
  }
}

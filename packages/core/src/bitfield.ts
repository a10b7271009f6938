/**
 * Which pieces somebody has. Pure, mutable, fixed in size.
 * On the wire as BEP 3, "bitfield", has it: the high bit of the first byte is piece 0, spare bits at the end are zero. In
 * memory the low bit of the first word is piece 0, so that 32 pieces are looked at in one step.
 */
import { assert } from './errors.ts'

export class Bitfield {
  readonly #words: Uint32Array
  #setCount = 0

  readonly length: number

  constructor(length: number) {
    this.length = length
    assert(Number.isSafeInteger(length) && length >= 0, 'a bitfield has a whole number of bits')
    this.#words = new Uint32Array(Math.ceil(length / 32))
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
    return index >= 0 && index < this.length && (this.#words[index >> 5]! & (1 << (index & 31))) !== 0
  }

  /** @returns whether the bit was clear before */
  set(index: number): boolean {
    assert(index >= 0 && index < this.length, 'a bit lies within its bitfield')
    const bit = 1 << (index & 31)
    const word = this.#words[index >> 5]!
    if ((word & bit) !== 0) return false
    this.#words[index >> 5] = word | bit
    this.#setCount++
    return true
  }

  /** @returns whether the bit was set before */
  clear(index: number): boolean {
    assert(index >= 0 && index < this.length, 'a bit lies within its bitfield')
    const bit = 1 << (index & 31)
    const word = this.#words[index >> 5]!
    if ((word & bit) === 0) return false
    this.#words[index >> 5] = word & ~bit
    this.#setCount--
    return true
  }

  /** The first clear bit at or after `from`, or `length` when there is none. */
  nextMissing(from = 0): number {
    if (from >= this.length) return this.length
    let at = from >> 5
    let clear = ~this.#words[at]! & (-1 << (from & 31))
    while (clear === 0) {
      if (++at >= this.#words.length) return this.length
      clear = ~this.#words[at]!
    }
    return Math.min(this.length, at * 32 + lowestBit(clear))
  }

  /** The first bit at or after `from` that is set here and in `other`, or `length` when there is none. */
  nextInBoth(other: Bitfield, from = 0): number {
    if (from >= this.length) return this.length
    const theirs = other.#words
    let at = from >> 5
    let both = this.#words[at]! & theirs[at]! & (-1 << (from & 31))
    while (both === 0) {
      if (++at >= this.#words.length) return this.length
      both = this.#words[at]! & theirs[at]!
    }
    return at * 32 + lowestBit(both)
  }

  /** How many bits are set here and not in `other`. */
  countBeyond(other: Bitfield): number {
    let count = 0
    for (let at = 0; at < this.#words.length; at++) {
      for (let left = this.#words[at]! & ~other.#words[at]!; left !== 0; left &= left - 1) count++
    }
    return count
  }

  /** The wire form; a copy. */
  toBytes(): Uint8Array {
    const bytes = new Uint8Array(Math.ceil(this.length / 8))
    for (let index = 0; index < this.length; index++)
      if (this.has(index)) bytes[index >> 3]! |= 0x80 >> (index & 7)
    return bytes
  }
}

function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word)
}

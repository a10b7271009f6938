/**
 * Bencoding (BEP 3), canonical only: keys sorted as raw bytes, no leading zeros, nothing after the value. Pure.
 * Strings are bytes; of a dictionary key, each character is a byte (metainfo's are ASCII, a scrape's are info hashes).
 */
import { asciiBytes, concatBytes } from './bytes.ts'
import { ShoalError } from './errors.ts'

export type Bencoded = number | Uint8Array | readonly Bencoded[] | { readonly [key: string]: Bencoded }

export class BencodeError extends ShoalError {
  readonly code = 'BENCODE_INVALID'
  readonly offset: number

  constructor(offset: number, reason: string) {
    super(`not canonical bencoding at byte ${offset}: ${reason}`)
    this.offset = offset
  }
}

/** Nesting deeper than this is refused: metainfo needs three levels. */
const DEPTH_MAX = 16
/** Two bytes may be a list, which takes forty here: metainfo has ten values, an extension handshake some dozens. */
const VALUES_MAX = 1_024

export function bencode(value: Bencoded): Uint8Array {
  const parts: Uint8Array[] = []
  write(value, parts)
  return concatBytes(parts)
}

/** @throws BencodeError when `bytes` are not one canonical value */
export function bdecode(bytes: Uint8Array): Bencoded {
  const reader = new Reader(bytes)
  const value = reader.value(0)
  if (reader.offset !== bytes.length) throw new BencodeError(reader.offset, 'bytes follow the value')
  return value
}

function write(value: Bencoded, parts: Uint8Array[]): void {
  if (typeof value === 'number') {
    parts.push(asciiBytes(`i${value}e`))
  } else if (value instanceof Uint8Array) {
    parts.push(asciiBytes(`${value.length}:`), value)
  } else if (Array.isArray(value)) {
    parts.push(asciiBytes('l'))
    for (const item of value) write(item, parts)
    parts.push(asciiBytes('e'))
  } else {
    parts.push(asciiBytes('d'))
    const dictionary = value as { readonly [key: string]: Bencoded }
    // A character a byte: the order of UTF-16 units is the order of bytes.
    for (const key of Object.keys(dictionary).sort()) {
      parts.push(asciiBytes(`${key.length}:${key}`))
      write(dictionary[key]!, parts)
    }
    parts.push(asciiBytes('e'))
  }
}

class Reader {
  offset = 0
  private values = 0
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  value(depth: number): Bencoded {
    if (depth > DEPTH_MAX) throw new BencodeError(this.offset, `nested deeper than ${DEPTH_MAX}`)
    if (++this.values > VALUES_MAX) throw new BencodeError(this.offset, `more than ${VALUES_MAX} values`)
    const byte = this.bytes[this.offset]
    switch (byte) {
      case 0x69: // i
        this.offset++
        return this.integer('e')
      case 0x6c: // l
        return this.list(depth)
      case 0x64: // d
        return this.dictionary(depth)
      default:
        return this.string()
    }
  }

  private list(depth: number): Bencoded[] {
    this.offset++
    const items: Bencoded[] = []
    while (!this.take('e')) items.push(this.value(depth + 1))
    return items
  }

  private dictionary(depth: number): { [key: string]: Bencoded } {
    this.offset++
    const entries: { [key: string]: Bencoded } = Object.create(null)
    let previous: string | undefined
    while (!this.take('e')) {
      const at = this.offset
      const key = String.fromCharCode(...this.key())
      if (previous !== undefined && key <= previous)
        throw new BencodeError(at, 'keys are not sorted or not unique')
      previous = key
      entries[key] = this.value(depth + 1)
    }
    return entries
  }

  private key(): Uint8Array {
    const at = this.offset
    const key = this.string()
    if (key.length > 255) throw new BencodeError(at, 'a key is longer than 255 bytes')
    return key
  }

  private string(): Uint8Array {
    const length = this.integer(':')
    const at = this.offset
    // Checked before anything is copied: a length is only a claim.
    if (length < 0 || length > this.bytes.length - at)
      throw new BencodeError(at, `a string of ${length} bytes does not fit`)
    this.offset += length
    return this.bytes.slice(at, at + length)
  }

  private integer(end: string): number {
    const at = this.offset
    const stop = this.bytes.indexOf(end.charCodeAt(0), at)
    if (stop === -1 || stop - at > 17) throw new BencodeError(at, `no number that ends with "${end}"`)
    const digits = String.fromCharCode(...this.bytes.subarray(at, stop))
    const number = Number(digits)
    if (!/^(0|-?[1-9][0-9]*)$/.test(digits) || !Number.isSafeInteger(number)) {
      throw new BencodeError(at, `${JSON.stringify(digits)} is not a number`)
    }
    this.offset = stop + 1
    return number
  }

  private take(ascii: string): boolean {
    if (this.bytes[this.offset] !== ascii.charCodeAt(0)) return false
    this.offset++
    return true
  }
}

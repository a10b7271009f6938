/**
 * MessagePack for control messages, with the claims checked first. Pure.
 *
 * A MessagePack header may claim four thousand million elements in five bytes, and one byte may be an empty map that takes
 * fifty times as much once it is built. So every frame is walked once without building anything, against the shape of the
 * message that it should be: what is walked through costs its sender about what it costs here.
 */
import { Packr } from 'msgpackr'
import { FrameInvalidError, FrameTooLargeError } from './errors.ts'
import type { MapShape, Shape } from './frame-shape.ts'

/** Fields of one map that nobody here knows: a newer side may say more than this one understands. */
const UNKNOWN_FIELDS_MAX = 16
const UNKNOWN_DEPTH_MAX = 4
/** Of a string, a byte string, a key. */
const UNKNOWN_BYTES_MAX = 4 * 1024
const UNKNOWN_ITEMS_MAX = 64
/** Values of one frame that nobody here knows, some for each blob of the longest resolution. */
const UNKNOWN_VALUES_MAX = 8 * 1024

// Records would make a frame depend on earlier ones; every frame stands alone.
const packr = new Packr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' })

export function encodeMessage(message: unknown): Uint8Array {
  return packr.pack(message)
}

/**
 * @throws FrameTooLargeError before anything else is looked at
 * @throws FrameInvalidError when `bytes` are not exactly one value that fits into `shape`; nothing was built then
 */
export function decodeMessage(bytes: Uint8Array, frameBytesMax: number, shape: Shape): unknown {
  if (bytes.length > frameBytesMax) throw new FrameTooLargeError(bytes.length, frameBytesMax)
  const walk = new Walk(bytes)
  walk.value(shape)
  if (walk.at !== bytes.length)
    throw new FrameInvalidError(`${bytes.length - walk.at} bytes follow the value`)
  try {
    return packr.unpack(bytes)
  } catch (cause) {
    throw new FrameInvalidError('it is not MessagePack', { cause })
  }
}

type Kind = 'scalar' | 'string' | 'binary' | 'array' | 'map'

/** One way through a frame's bytes. */
class Walk {
  at = 0
  readonly #bytes: Uint8Array
  /** What the last header said: bytes of a string or byte string, items of an array, entries of a map. */
  #count = 0
  #unknownValues = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  value(shape: Shape): void {
    switch (this.#header()) {
      case 'scalar':
        return
      case 'string':
        this.#skip(shape.stringBytesMax, shape)
        return
      case 'binary':
        this.#skip(shape.binaryBytesMax, shape)
        return
      case 'array': {
        const { item, itemsMax, path } = shape
        if (item === undefined) throw new FrameInvalidError(`${path || '/'} is a list`)
        const count = this.#counted(itemsMax, path)
        for (let i = 0; i < count; i++) this.value(item)
        return
      }
      case 'map':
        if (shape.map === undefined) throw new FrameInvalidError(`${shape.path || '/'} is a map`)
        this.#map(shape.map, shape.path)
    }
  }

  #map({ fields, requiredBits }: MapShape, path: string): void {
    const count = this.#counted(fields.length + UNKNOWN_FIELDS_MAX, path)
    let seenBits = 0
    // Writers mostly keep the schema's order, so the search for a field begins behind the last one found.
    let next = 0
    for (let entry = 0; entry < count; entry++) {
      const position = this.#field(fields, next, path)
      if (position < 0) {
        this.#unknown(0, path)
        continue
      }
      const { bit, shape } = fields[position]!
      if ((seenBits & bit) !== 0) throw new FrameInvalidError(`${shape.path} is said twice`)
      seenBits |= bit
      next = position + 1
      this.value(shape)
    }
    if ((seenBits & requiredBits) !== requiredBits)
      throw new FrameInvalidError(`${path || '/'} lacks something that must be in it`)
  }

  /** Reads a key. @returns the position of its field; -1 when it is not known */
  #field(fields: MapShape['fields'], next: number, path: string): number {
    const expected = fields[next]?.written
    if (expected !== undefined && this.#isAt(expected, this.at)) {
      this.at += expected.length
      return next
    }
    return this.#fieldAt(fields, this.#key(path), next)
  }

  /** @returns where the key begins; `at` is behind it */
  #key(path: string): number {
    if (this.#header() !== 'string') throw new FrameInvalidError(`a key in ${path || '/'} is no string`)
    this.#fits(UNKNOWN_BYTES_MAX, path)
    const start = this.at
    this.at += this.#count
    return start
  }

  /** @returns the position of the field whose key is the bytes from `start` to `at`; -1 when it is not known */
  #fieldAt(fields: MapShape['fields'], start: number, next: number): number {
    const length = this.at - start
    for (let step = 0; step < fields.length; step++) {
      const position = (next + step) % fields.length
      const { key } = fields[position]!
      if (key.length === length && this.#isAt(key, start)) return position
    }
    return -1
  }

  #isAt(key: Uint8Array, start: number): boolean {
    for (let i = 0; i < key.length; i++) if (this.#bytes[start + i] !== key[i]) return false
    return true
  }

  /** A value that is walked past, whatever it is, as long as it is small. */
  #unknown(depth: number, path: string): void {
    if (depth > UNKNOWN_DEPTH_MAX || ++this.#unknownValues > UNKNOWN_VALUES_MAX)
      throw new FrameInvalidError(`${path || '/'} has more in it that is not known here than there may be`)
    switch (this.#header()) {
      case 'scalar':
        return
      case 'string':
      case 'binary':
        this.#fits(UNKNOWN_BYTES_MAX, path)
        this.at += this.#count
        return
      case 'array': {
        const count = this.#counted(UNKNOWN_ITEMS_MAX, path)
        for (let i = 0; i < count; i++) this.#unknown(depth + 1, path)
        return
      }
      case 'map': {
        const count = this.#counted(UNKNOWN_ITEMS_MAX, path)
        for (let i = 0; i < count; i++) {
          this.#key(path)
          this.#unknown(depth + 1, path)
        }
      }
    }
  }

  #skip(bytesMax: number, { path }: Shape): void {
    this.#fits(bytesMax, path)
    this.at += this.#count
  }

  /** Each item needs a byte at least, which bounds what a frame can claim by what it brings. */
  #counted(countMax: number, path: string): number {
    this.#fits(countMax, path)
    return this.#count
  }

  #fits(countMax: number, path: string): void {
    if (this.#count > countMax)
      throw new FrameInvalidError(`${path || '/'} has ${this.#count} of what may be ${countMax} there`)
    if (this.#count > this.#bytes.length - this.at)
      throw new FrameInvalidError(`${path || '/'} claims ${this.#count} that do not fit`)
  }

  /** Reads what begins at `at` as far as its kind and count; of a scalar all. */
  #header(): Kind {
    const type = this.#unsigned(1)
    if (type <= 0x7f || type >= 0xe0) return 'scalar'
    if (type <= 0x8f) return this.#counts('map', type & 0x0f)
    if (type <= 0x9f) return this.#counts('array', type & 0x0f)
    if (type <= 0xbf) return this.#counts('string', type & 0x1f)
    switch (type) {
      case 0xc0:
      case 0xc2:
      case 0xc3:
        return 'scalar'
      case 0xc4:
        return this.#counts('binary', this.#unsigned(1))
      case 0xc5:
        return this.#counts('binary', this.#unsigned(2))
      case 0xc6:
        return this.#counts('binary', this.#unsigned(4))
      case 0xd9:
        return this.#counts('string', this.#unsigned(1))
      case 0xda:
        return this.#counts('string', this.#unsigned(2))
      case 0xdb:
        return this.#counts('string', this.#unsigned(4))
      case 0xcc:
      case 0xd0:
        return this.#scalar(1)
      case 0xcd:
      case 0xd1:
        return this.#scalar(2)
      case 0xca:
      case 0xce:
      case 0xd2:
        return this.#scalar(4)
      case 0xcb:
      case 0xcf:
      case 0xd3:
        return this.#scalar(8)
      case 0xdc:
        return this.#counts('array', this.#unsigned(2))
      case 0xdd:
        return this.#counts('array', this.#unsigned(4))
      case 0xde:
        return this.#counts('map', this.#unsigned(2))
      case 0xdf:
        return this.#counts('map', this.#unsigned(4))
      default:
        // Extension types can run a decoder's own code; no message of Shoal's has one.
        throw new FrameInvalidError(`type 0x${type.toString(16)} is not used here`)
    }
  }

  #counts(kind: Kind, count: number): Kind {
    this.#count = count
    return kind
  }

  #scalar(bytes: number): Kind {
    if (this.at + bytes > this.#bytes.length) throw new FrameInvalidError('it ends early')
    this.at += bytes
    return 'scalar'
  }

  #unsigned(bytes: 1 | 2 | 4): number {
    const from = this.#bytes
    const at = this.at
    if (at + bytes > from.length) throw new FrameInvalidError('it ends early')
    this.at = at + bytes
    if (bytes === 1) return from[at]!
    if (bytes === 2) return (from[at]! << 8) | from[at + 1]!
    return ((from[at]! << 24) | (from[at + 1]! << 16) | (from[at + 2]! << 8) | from[at + 3]!) >>> 0
  }
}

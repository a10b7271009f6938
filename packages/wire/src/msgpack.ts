/**
 * MessagePack for control messages, with the claims checked first. Pure.
 *
 * A MessagePack header may claim four thousand million elements in five bytes, and a decoder that believes it allocates
 * them. So every frame is walked once without building anything: each element needs a byte at least, which bounds what a
 * frame can claim by what it brings.
 */
import { Packr } from 'msgpackr'
import { FrameInvalidError, FrameTooLargeError } from './errors.ts'

const DEPTH_MAX = 16

// Records would make a frame depend on earlier ones; every frame stands alone.
const packr = new Packr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' })

export function encodeMessage(message: unknown): Uint8Array {
  return packr.pack(message)
}

/**
 * @throws FrameTooLargeError before anything else is looked at
 * @throws FrameInvalidError when `bytes` are not exactly one value
 */
export function decodeMessage(bytes: Uint8Array, frameBytesMax: number): unknown {
  if (bytes.length > frameBytesMax) throw new FrameTooLargeError(bytes.length, frameBytesMax)
  const end = skipValue(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, 0)
  if (end !== bytes.length) throw new FrameInvalidError(`${bytes.length - end} bytes follow the value`)
  try {
    return packr.unpack(bytes)
  } catch (cause) {
    throw new FrameInvalidError('it is not MessagePack', { cause })
  }
}

/** @returns the offset behind the value at `offset` */
function skipValue(view: DataView, offset: number, depth: number): number {
  if (depth > DEPTH_MAX) throw new FrameInvalidError(`nested deeper than ${DEPTH_MAX}`)
  const type = unsigned(view, offset, 1)
  if (type <= 0x7f || type >= 0xe0) return offset + 1
  if (type <= 0x8f) return skipMany(view, offset + 1, 2 * (type & 0x0f), depth)
  if (type <= 0x9f) return skipMany(view, offset + 1, type & 0x0f, depth)
  if (type <= 0xbf) return skipBytes(view, offset + 1, type & 0x1f)
  switch (type) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
      return offset + 1
    case 0xc4:
    case 0xd9:
      return skipBytes(view, offset + 2, unsigned(view, offset + 1, 1))
    case 0xc5:
    case 0xda:
      return skipBytes(view, offset + 3, unsigned(view, offset + 1, 2))
    case 0xc6:
    case 0xdb:
      return skipBytes(view, offset + 5, unsigned(view, offset + 1, 4))
    case 0xcc:
    case 0xd0:
      return skipBytes(view, offset + 1, 1)
    case 0xcd:
    case 0xd1:
      return skipBytes(view, offset + 1, 2)
    case 0xca:
    case 0xce:
    case 0xd2:
      return skipBytes(view, offset + 1, 4)
    case 0xcb:
    case 0xcf:
    case 0xd3:
      return skipBytes(view, offset + 1, 8)
    case 0xdc:
      return skipMany(view, offset + 3, unsigned(view, offset + 1, 2), depth)
    case 0xdd:
      return skipMany(view, offset + 5, unsigned(view, offset + 1, 4), depth)
    case 0xde:
      return skipMany(view, offset + 3, 2 * unsigned(view, offset + 1, 2), depth)
    case 0xdf:
      return skipMany(view, offset + 5, 2 * unsigned(view, offset + 1, 4), depth)
    default:
      // Extension types can run a decoder's own code; no message of Shoal's has one.
      throw new FrameInvalidError(`type 0x${type.toString(16)} is not used here`)
  }
}

function skipMany(view: DataView, offset: number, count: number, depth: number): number {
  if (count > view.byteLength - offset)
    throw new FrameInvalidError(`${count} elements are claimed and do not fit`)
  let end = offset
  for (let i = 0; i < count; i++) end = skipValue(view, end, depth + 1)
  return end
}

function skipBytes(view: DataView, offset: number, count: number): number {
  if (count > view.byteLength - offset)
    throw new FrameInvalidError(`${count} bytes are claimed and do not fit`)
  return offset + count
}

function unsigned(view: DataView, offset: number, bytes: 1 | 2 | 4): number {
  if (offset + bytes > view.byteLength) throw new FrameInvalidError('it ends early')
  if (bytes === 1) return view.getUint8(offset)
  return bytes === 2 ? view.getUint16(offset) : view.getUint32(offset)
}

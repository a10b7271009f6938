/**
 * The extension handshake (BEP 10): a bencoded dictionary in extended message 0. Standard clients read `v` and `reqq`;
 * Shoal's own key turns on what agents do among themselves: blocks longer than BEP 3's 16 KiB, and the ticket by which a
 * peer shows that it may have the blob. Pure.
 */
import { asciiBytes, type Bencoded, bdecode, bencode } from '@shoal/core'
import { FrameInvalidError, FrameTooLargeError } from '../errors.ts'

export const EXTENSION_HANDSHAKE_ID = 0
/** libtorrent's are some hundred bytes long. */
export const EXTENSION_HANDSHAKE_BYTES_MAX = 16 * 1024
const TICKET_BYTES_MAX = 4 * 1024
/** What every client takes (BEP 3). */
export const STANDARD_BLOCK_BYTES = 16 * 1024

/** Percent-encoded. */
const ZONE_BYTES_MAX = 1024
const SHOAL_KEY = 'shoal'
const SHOAL_VERSION = 1

export interface ExtensionHandshake {
  /** Requests that may be outstanding at a time (`reqq`). */
  readonly requestsMax?: number
  /** Present between Shoal's peers. */
  readonly shoal?: ShoalAbilities
}

export interface ShoalAbilities {
  /** The longest block that the sender of the handshake serves, in bytes. */
  readonly blockBytesMax: number
  /** Empty until access is controlled. */
  readonly ticket: Uint8Array
  /** It has the whole blob, though it may tell of its pieces one by one. */
  readonly isSource: boolean
  /** Failure domain or network zone; empty where there is one only. */
  readonly zone: string
}

export function encodeExtensionHandshake(handshake: ExtensionHandshake): Uint8Array {
  const dictionary: Record<string, Bencoded> = { m: {}, v: asciiBytes('Shoal') }
  if (handshake.requestsMax !== undefined) dictionary.reqq = handshake.requestsMax
  if (handshake.shoal !== undefined) {
    const { blockBytesMax, ticket, isSource, zone } = handshake.shoal
    dictionary[SHOAL_KEY] = {
      block: blockBytesMax,
      source: isSource ? 1 : 0,
      ticket,
      version: SHOAL_VERSION,
      zone: asciiBytes(encodeURIComponent(zone)),
    }
  }
  return bencode(dictionary)
}

/**
 * Unknown keys are passed over, and so is a Shoal key of another version: that peer is spoken to as a standard one.
 * @throws FrameTooLargeError · FrameInvalidError
 */
export function decodeExtensionHandshake(payload: Uint8Array): ExtensionHandshake {
  if (payload.length > EXTENSION_HANDSHAKE_BYTES_MAX)
    throw new FrameTooLargeError(payload.length, EXTENSION_HANDSHAKE_BYTES_MAX)
  const dictionary = dictionaryOf(decoded(payload))
  if (dictionary === undefined) throw new FrameInvalidError('an extension handshake is a dictionary')
  const { reqq } = dictionary
  const shoal = abilitiesOf(dictionaryOf(dictionary[SHOAL_KEY]))
  return {
    ...(typeof reqq === 'number' && reqq > 0 && { requestsMax: reqq }),
    ...(shoal !== undefined && { shoal }),
  }
}

function decoded(payload: Uint8Array): Bencoded {
  try {
    return bdecode(payload)
  } catch (cause) {
    throw new FrameInvalidError('the extension handshake is not bencoded', { cause })
  }
}

function abilitiesOf(dictionary: Dictionary | undefined): ShoalAbilities | undefined {
  if (dictionary === undefined || dictionary.version !== SHOAL_VERSION) return undefined
  const { block, source, ticket, zone } = dictionary
  if (typeof block !== 'number' || block < STANDARD_BLOCK_BYTES)
    throw new FrameInvalidError('a Shoal peer serves blocks of at least 16 KiB')
  if (!(ticket instanceof Uint8Array) || ticket.length > TICKET_BYTES_MAX)
    throw new FrameInvalidError(`a ticket has at most ${TICKET_BYTES_MAX} bytes`)
  if (zone !== undefined && (!(zone instanceof Uint8Array) || zone.length > ZONE_BYTES_MAX))
    throw new FrameInvalidError(`a zone has at most ${ZONE_BYTES_MAX} bytes`)
  return {
    blockBytesMax: block,
    ticket,
    isSource: source === 1,
    zone: zone === undefined ? '' : zoneOf(zone),
  }
}

function zoneOf(bytes: Uint8Array): string {
  try {
    return decodeURIComponent(String.fromCharCode(...bytes))
  } catch (cause) {
    throw new FrameInvalidError('a zone is percent-encoded', { cause })
  }
}

type Dictionary = { readonly [key: string]: Bencoded }

function dictionaryOf(value: Bencoded | undefined): Dictionary | undefined {
  return typeof value === 'object' && !(value instanceof Uint8Array) && !Array.isArray(value)
    ? (value as Dictionary)
    : undefined
}

/**
 * What standard clients ask a tracker over HTTP, and what it answers (BEP 3, 7, 21, 23, 48). Pure.
 *
 * Written here because bytes matter in it: bittorrent-tracker 11.2.3 gives info hashes and peer ids as UTF-8, 28 bytes instead of
 * 20, with which a client finds neither its torrent nor the peer that it dialled; and takes `numwant=0` for no wish.
 */
import {
  addressBytes,
  asciiBytes,
  type Bencoded,
  bencode,
  fromHex,
  type InfoHash,
  type PeerId,
  toHex,
} from '@shoal/core'
import { TrackerRequestInvalidError } from '../errors.ts'

export interface AnnounceRequest {
  readonly infoHash: InfoHash
  readonly peerId: PeerId
  readonly port: number
  readonly isComplete: boolean
  readonly isStopping: boolean
  /** How many peers it wants to be told of. */
  readonly peersWanted: number
  /** BEP 23: addresses and ports one after the other, instead of a dictionary for each peer. */
  readonly isCompact: boolean
  readonly wantsPeerIds: boolean
}

export interface AnnounceAnswer extends SwarmCounts {
  readonly intervalSeconds: number
  readonly peers: readonly AnnouncedPeer[]
}

export interface AnnouncedPeer {
  readonly peerId: PeerId
  /** An address; a name only where the answer is not compact, which has no room for one. */
  readonly host: string
  readonly port: number
}

export interface SwarmCounts {
  readonly complete: number
  readonly incomplete: number
}

/** Where a client says nothing, or a number below zero as some do: as many as BEP 3 names. */
const PEERS_WANTED_DEFAULT = 50
export const ANNOUNCED_PEERS_MAX = 82
/** Of one scrape. */
export const SCRAPED_SWARMS_MAX = 64

/**
 * @param query what follows the question mark, as it was sent
 * @throws TrackerRequestInvalidError
 */
export function readAnnounce(query: string): AnnounceRequest {
  const parameters = parametersOf(query)
  const one = (name: string) => {
    const values = parameters.get(name) ?? []
    if (values.length > 1) throw new TrackerRequestInvalidError(`${name} is said more than once`)
    return values[0]
  }
  const text = (name: string) => latin1(one(name) ?? new Uint8Array())
  const port = Number(text('port'))
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new TrackerRequestInvalidError('invalid port')
  const wanted = text('numwant') === '' ? Number.NaN : Number(text('numwant'))
  return {
    infoHash: idOf('info_hash', parameters.get('info_hash')),
    peerId: idOf('peer_id', parameters.get('peer_id')),
    port,
    isComplete: Number(text('left') || Number.NaN) === 0,
    // Other events change nothing here, and nor do those that nobody knows.
    isStopping: text('event') === 'stopped',
    peersWanted: wanted >= 0 ? Math.min(Math.floor(wanted), ANNOUNCED_PEERS_MAX) : PEERS_WANTED_DEFAULT,
    isCompact: text('compact') === '1',
    wantsPeerIds: text('no_peer_id') !== '1',
  }
}

/** @returns whose counts are asked for, each once; none where the client asks for all @throws TrackerRequestInvalidError */
export function readScrape(query: string): readonly InfoHash[] {
  const infoHashes = parametersOf(query).get('info_hash') ?? []
  if (infoHashes.length > SCRAPED_SWARMS_MAX)
    throw new TrackerRequestInvalidError(`more than ${SCRAPED_SWARMS_MAX} torrents in one scrape`)
  return [...new Set(infoHashes.map((bytes) => idOf('info_hash', [bytes])))]
}

export function encodeAnnounceAnswer(
  { intervalSeconds, complete, incomplete, peers }: AnnounceAnswer,
  { isCompact, wantsPeerIds }: Pick<AnnounceRequest, 'isCompact' | 'wantsPeerIds'>,
): Uint8Array {
  return bencode({
    interval: intervalSeconds,
    complete,
    incomplete,
    ...(isCompact
      ? { peers: compact(peers, 4), peers6: compact(peers, 16) }
      : { peers: peers.map((peer) => dictionaryOf(peer, wantsPeerIds)) }),
  })
}

/** `downloaded` is what a tracker without a memory can say: those that are complete now. */
export function encodeScrapeAnswer(
  swarms: ReadonlyMap<InfoHash, SwarmCounts>,
  intervalSeconds: number,
): Uint8Array {
  const files = [...swarms].map(([infoHash, { complete, incomplete }]): [string, Bencoded] => [
    latin1(fromHex(infoHash)!),
    { complete, downloaded: complete, incomplete },
  ])
  return bencode({ files: Object.fromEntries(files), flags: { min_request_interval: intervalSeconds } })
}

export function encodeTrackerFailure(reason: string): Uint8Array {
  return bencode({ 'failure reason': asciiBytes(reason) })
}

function dictionaryOf({ peerId, host, port }: AnnouncedPeer, wantsPeerIds: boolean): Bencoded {
  const address = { ip: asciiBytes(host), port }
  return wantsPeerIds ? { ...address, 'peer id': fromHex(peerId)! } : address
}

/** Of the peers whose addresses are so long: the address, and two bytes of port. */
function compact(peers: readonly AnnouncedPeer[], addressLength: 4 | 16): Uint8Array {
  const entries = peers.flatMap(({ host, port }) => {
    const address = addressBytes(host)
    return address?.length === addressLength ? [...address, port >> 8, port & 0xff] : []
  })
  return Uint8Array.from(entries)
}

function idOf(name: string, values: readonly Uint8Array[] = []): string {
  const [bytes] = values
  if (values.length !== 1 || bytes?.length !== 20) throw new TrackerRequestInvalidError(`invalid ${name}`)
  return toHex(bytes)
}

/** Values are bytes in percent encoding, not UTF-8. */
function parametersOf(query: string): Map<string, Uint8Array[]> {
  const parameters = new Map<string, Uint8Array[]>()
  for (const pair of query.split('&')) {
    const equals = pair.indexOf('=')
    if (equals === -1) continue
    const name = latin1(decoded(pair.slice(0, equals)))
    const values = parameters.get(name) ?? []
    values.push(decoded(pair.slice(equals + 1)))
    parameters.set(name, values)
  }
  return parameters
}

function decoded(text: string): Uint8Array {
  const characters = text
    .replaceAll('+', ' ')
    .replace(/%([0-9a-fA-F]{2})/g, (_all, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Uint8Array.from(characters, (character) => character.charCodeAt(0))
}

/** One character a byte. */
function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes)
}

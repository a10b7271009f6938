/**
 * Goal: what clients send is read as they mean it, and what they are given has their bytes: ids of 20, whatever these are.
 * Method: the queries of real clients, written down; answers decoded again; random ids.
 */
import { type Bencoded, bdecode, fromHex, toHex } from '@shoal/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  ANNOUNCED_PEERS_MAX,
  type AnnouncedPeer,
  encodeAnnounceAnswer,
  encodeScrapeAnswer,
  encodeTrackerFailure,
  readAnnounce,
  readScrape,
  SCRAPED_SWARMS_MAX,
} from './tracker-http.ts'

const HASH = 'ff00c3a97e41424320e0b05f25260a7b3d80beef'
const PEER = `${toHex(new TextEncoder().encode('-lt0D80-'))}00ff80c3a97b0123456789ab`
const percent = (hex: string) => hex.replace(/../g, '%$&')
const decode = (bytes: Uint8Array) => bdecode(bytes) as Record<string, Bencoded>
const announce = (more: string) => `info_hash=${percent(HASH)}&peer_id=${percent(PEER)}&port=6881${more}`

describe('an announce', () => {
  test('of rtorrent and libtorrent is read', () => {
    // rtorrent 0.9.8 escapes every byte; libtorrent leaves letters and digits as they are, and says more than is read here.
    const rtorrent = `${announce('')}&key=1a2b3c4d&compact=1&uploaded=0&downloaded=0&left=8000000&event=started`
    expect(readAnnounce(rtorrent)).toEqual({
      infoHash: HASH,
      peerId: PEER,
      port: 6881,
      isComplete: false,
      isStopping: false,
      peersWanted: 50,
      isCompact: true,
      wantsPeerIds: true,
    })
    const libtorrent =
      'info_hash=%ff%00%c3%a9~ABC%20%e0%b0_%25%26%0a%7b%3d%80%be%ef&peer_id=-lt0D80-%00%ff%80%c3%a9%7b%01%23Eg%89%ab' +
      '&port=6881&uploaded=0&downloaded=0&left=0&corrupt=0&key=1F&event=completed&numwant=200&compact=1&no_peer_id=1&supportcrypto=1&redundant=0'
    expect(readAnnounce(libtorrent)).toMatchObject({
      infoHash: HASH,
      peerId: PEER,
      isComplete: true,
      peersWanted: ANNOUNCED_PEERS_MAX,
      wantsPeerIds: false,
    })
  })

  test.each([
    ['', 50],
    ['&numwant=', 50],
    ['&numwant=-1', 50],
    ['&numwant=many', 50],
    ['&numwant=0', 0],
    ['&numwant=7', 7],
    ['&numwant=100000', ANNOUNCED_PEERS_MAX],
  ])('with "%s" wants %d peers', (more, wanted) => {
    expect(readAnnounce(announce(more)).peersWanted).toBe(wanted)
  })

  test.each([
    ['', false],
    ['&left=0', true],
    ['&left=', false],
    ['&left=1', false],
    ['&left=none', false],
  ])('with "%s" is complete: %s', (more, isComplete) => {
    expect(readAnnounce(announce(more)).isComplete).toBe(isComplete)
  })

  test.each([
    ['no info hash', 'peer_id=x&port=1', 'invalid info_hash'],
    ['a short one', announce('').replace('%ff', ''), 'invalid info_hash'],
    ['two of them', announce(`&info_hash=${percent(HASH)}`), 'invalid info_hash'],
    ['no peer id', `info_hash=${percent(HASH)}&port=1`, 'invalid peer_id'],
    ['a port of none', announce('').replace('6881', '0'), 'invalid port'],
    ['a port beyond all', announce('').replace('6881', '65536'), 'invalid port'],
    ['two ports', announce('&port=6882'), 'port is said more than once'],
  ])('with %s is refused', (_what, query, reason) => {
    expect(() => readAnnounce(query)).toThrow(reason)
  })

  test('is read whatever bytes the ids are of', () => {
    const id = fc.uint8Array({ minLength: 20, maxLength: 20 }).map(toHex)
    fc.assert(
      fc.property(id, id, (infoHash, peerId) => {
        const query = `peer_id=${percent(peerId)}&info_hash=${percent(infoHash)}&port=1`
        expect(readAnnounce(query)).toMatchObject({ infoHash, peerId })
      }),
    )
  })
})

describe('the answer to an announce', () => {
  const peers: AnnouncedPeer[] = [
    { peerId: PEER, host: '10.0.0.1', port: 6881 },
    { peerId: HASH, host: 'fd00::1', port: 258 },
  ]
  const answer = { intervalSeconds: 120, complete: 1, incomplete: 2, peers }

  test('has addresses in compact form, by family', () => {
    const {
      peers: four,
      peers6: six,
      ...rest
    } = decode(encodeAnnounceAnswer(answer, { isCompact: true, wantsPeerIds: true }))
    expect(rest).toEqual({ interval: 120, complete: 1, incomplete: 2 })
    expect(four).toEqual(Uint8Array.of(10, 0, 0, 1, 0x1a, 0xe1))
    expect(six).toEqual(Uint8Array.of(0xfd, ...Array(14).fill(0), 1, 1, 2))
  })

  test('has peer ids of 20 bytes in the long form, where they are wanted', () => {
    const long = decode(encodeAnnounceAnswer(answer, { isCompact: false, wantsPeerIds: true })).peers
    expect((long as { 'peer id': Uint8Array }[]).map((peer) => toHex(peer['peer id']))).toEqual([PEER, HASH])
    const short = decode(encodeAnnounceAnswer(answer, { isCompact: false, wantsPeerIds: false })).peers
    expect(Object.keys((short as object[])[0]!)).toEqual(['ip', 'port'])
  })

  test('can be a failure', () => {
    expect(decode(encodeTrackerFailure('no'))).toEqual({ 'failure reason': Uint8Array.of(0x6e, 0x6f) })
  })
})

describe('a scrape', () => {
  test('asks for some, each once, or for all', () => {
    const other = '00'.repeat(20)
    const query = [HASH, other, HASH].map((hash) => `info_hash=${percent(hash)}`).join('&')
    expect(readScrape(query)).toEqual([HASH, other])
    expect(readScrape('')).toEqual([])
    expect(() => readScrape('info_hash=abc')).toThrow('invalid info_hash')
    const many = Array.from({ length: SCRAPED_SWARMS_MAX + 1 }, () => `info_hash=${percent(HASH)}`).join('&')
    expect(() => readScrape(many)).toThrow('more than')
  })

  test('is answered with keys of 20 bytes', () => {
    const counts = new Map([
      [HASH, { complete: 3, incomplete: 1 }],
      ['7f'.repeat(20), { complete: 0, incomplete: 0 }],
    ])
    const bytes = encodeScrapeAnswer(counts, 120)
    const { files, flags } = decode(bytes) as { files: Record<string, Bencoded>; flags: Bencoded }
    const keys = Object.keys(files).map((key) => toHex(Uint8Array.from(key, (one) => one.charCodeAt(0))))
    expect(keys).toEqual(['7f'.repeat(20), HASH])
    expect(files[String.fromCharCode(...fromHex(HASH)!)]).toEqual({
      complete: 3,
      downloaded: 3,
      incomplete: 1,
    })
    expect(flags).toEqual({ min_request_interval: 120 })
  })
})

/**
 * Goal: hashes of pieces that come before their blob is known are kept for it, and what is kept of them is bounded: the
 * latest stay.
 * Method: news of swarms that nobody has joined, and then a look at which pieces are known when one is joined.
 */
import { EventEmitter } from 'node:events'
import {
  Bitfield,
  type Digest,
  type InfoHash,
  type Metainfo,
  parseDigest,
  pieceCount,
  pieceLengthFor,
} from '@shoal/core'
import { arrivalHashOf, type PieceStore } from '@shoal/storage'
import type { Swarm, SwarmEngine, SwarmInit } from '@shoal/swarm'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Announcer } from './announcer.ts'
import { ArrivingPulls } from './arriving-pulls.ts'
import type { HttpSources } from './http-sources.ts'

const MIB = 1024 * 1024
const LENGTH = 8 * 1024 * MIB
const digest = parseDigest(`sha256:${'1'.repeat(64)}`)
const infoHash = arrivalHashOf(digest, LENGTH)
const piecesMax = Math.ceil(LENGTH / pieceLengthFor(LENGTH))

let news: EventEmitter
let arrivals: ArrivingPulls
let joined: Map<InfoHash, Bitfield>
let announced: string[]

beforeEach(() => {
  joined = new Map()
  announced = []
  news = Object.assign(new EventEmitter(), {
    announce: (of: InfoHash, state: string) => announced.push(`${state} ${of}`),
    leave: (of: InfoHash) => announced.push(`gone ${of}`),
  })
  const engine = {
    peerId: 'ab'.repeat(20),
    async join(init: SwarmInit) {
      joined.set(init.infoHash, init.knownPieces!)
      const swarm = { connect() {}, download() {}, learnPiece() {}, leave: async () => {} }
      return Object.assign(new EventEmitter(), swarm) as unknown as Swarm
    },
  }
  const store = {
    get: () => undefined,
    openArriving: async (metainfo: Metainfo) => ({
      metainfo,
      have: new Bitfield(pieceCount(metainfo)),
      isComplete: false,
      hashAhead() {},
    }),
    dropArriving: async () => {},
  }
  arrivals = new ArrivingPulls(
    {
      engine: engine as unknown as SwarmEngine,
      store: store as unknown as PieceStore,
      announcer: news as unknown as Announcer,
      http: {} as HttpSources,
      log: pino({ level: 'silent' }),
      nowMs: () => 0,
      onReceived: () => {},
      onSent: () => {},
    },
    { seederUrl: 'http://seeder:7000' },
  )
})
afterEach(() => arrivals.stop())

const heard = (of: InfoHash, index: number, count = 1) =>
  news.emit('pieces', of, index, Buffer.alloc(32 * count, 1))

it('blobs on their way are joined by the 64, those beyond when one of them is here', async () => {
  const take = (n: number) => {
    const of = parseDigest(`sha256:${n.toString(16).padStart(64, '0')}`)
    arrivals.take('team/app', { digest: of, length: LENGTH, pieces: { sha256: new Uint8Array(), peers: [] } })
    return of
  }
  const first = take(0)
  for (let n = 1; n < 65; n++) take(n)
  await expect.poll(() => joined.size).toBe(64)
  await arrivals.drop(first, 'it is over')
  const late = take(64)
  await expect.poll(() => joined.has(arrivalHashOf(late, LENGTH))).toBe(true)
})

it.each([0, 256 * 1024 ** 3 + 1])('a blob of %i bytes is not joined while it arrives', async (length) => {
  arrivals.take('team/app', { digest, length, pieces: { sha256: new Uint8Array(), peers: [] } })
  expect(await known()).toEqual([])
  expect([...joined.keys()]).toEqual([infoHash])
})

it('a blob that is lost while its swarm is being joined is not announced after that', async () => {
  const take = () =>
    arrivals.take('team/app', { digest, length: LENGTH, pieces: { sha256: new Uint8Array(), peers: [] } })
  take()
  await arrivals.drop(digest, 'it does not come')
  expect(announced).toEqual([`gone ${infoHash}`])
  take()
  await expect.poll(() => announced.at(-1)).toBe(`leeching ${infoHash}`)
})

/** The pieces that are known of the blob once it is wanted. */
async function known(of: Digest = digest): Promise<number[]> {
  arrivals.take('team/app', { digest: of, length: LENGTH, pieces: { sha256: new Uint8Array(), peers: [] } })
  await expect.poll(() => joined.has(infoHash)).toBe(true)
  const pieces = joined.get(infoHash)!
  return Array.from({ length: pieces.length }, (_, index) => index).filter((index) => pieces.has(index))
}

describe('hashes that come early', () => {
  it('are kept for their blob, those of others are not taken for its own', async () => {
    heard(infoHash, 3)
    heard('cd'.repeat(20), 4)
    heard(infoHash, 7, 2)
    expect(await known()).toEqual([3, 7, 8])
  })

  it('are 256 pieces of news at most, the latest', async () => {
    expect(piecesMax).toBeGreaterThan(300)
    for (let index = 0; index < 300; index++) heard(infoHash, index)
    const pieces = await known()
    expect(pieces).toHaveLength(256)
    expect([pieces[0], pieces.at(-1)]).toEqual([44, 299])
  })

  it('are 4 MiB at most, the latest', async () => {
    const hashes = MIB / 32
    heard(infoHash, 0)
    for (let n = 0; n < 3; n++) heard('cd'.repeat(20), n, hashes)
    heard(infoHash, 1)
    expect(await known()).toEqual([0, 1])
    await arrivals.drop(digest, 'it is over')
    joined.clear()
    heard(infoHash, 0)
    for (let n = 0; n < 4; n++) heard('cd'.repeat(20), 10 + n, hashes)
    heard(infoHash, 1)
    expect(await known()).toEqual([1])
  })
})

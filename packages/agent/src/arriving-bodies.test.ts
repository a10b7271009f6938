/**
 * Goal: a reader of a blob that still arrives at the seeder gets one body of right bytes, the end of it only when the seeder has
 * confirmed the whole; otherwise he is cut and nothing stays. What he waits for and does not come is asked of the seeder.
 * Method: real files; a swarm in which the pieces come that the test gives, and a seeder whose answers the test writes.
 */
import { hash } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPrng, type Metainfo, parseDigest, pieceBytes, pieceCount, pieceLengthFor } from '@shoal/core'
import { NO_IMPORTS } from '@shoal/engine'
import { FilePieceStore, infoHashOf } from '@shoal/storage'
import type { Swarm, SwarmEngine, SwarmInit } from '@shoal/swarm'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Announcer } from './announcer.ts'
import { ArrivingPulls } from './arriving-pulls.ts'
import { Downloads } from './downloads.ts'
import { SourceUnavailableError } from './errors.ts'
import type { HttpSources } from './http-sources.ts'
import type { KnownBlob } from './known-blob.ts'
import { SeederPeers } from './seeder-peers.ts'

const LENGTH = 10 * 64 * 1024 + 5
const prng = createPrng(5)
const bytes = Buffer.from(Uint8Array.from({ length: LENGTH }, () => prng.below(256)))
const digest = parseDigest(`sha256:${hash('sha256', bytes)}`)
const pieceLength = pieceLengthFor(LENGTH)
const last = 10
const pieceOf = (index: number) => bytes.subarray(index * pieceLength, (index + 1) * pieceLength)
const hashOf = (index: number) => hash('sha256', pieceOf(index), 'buffer')
const silent = pino({ level: 'silent' })

interface Asked {
  readonly range: { readonly start: number; readonly end: number }
  readonly signal: AbortSignal
  give(bytes: Uint8Array): void
  refuse(): void
}

let folder: string
let store: FilePieceStore
let arrivals: ArrivingPulls
let downloads: Downloads
let stream: EventEmitter
let swarms: (Swarm & { readonly init: SwarmInit; isLeft: boolean })[]
let asked: Asked[]
let nowMs: number

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-arriving-'))
  store = new FilePieceStore({ folder })
  await store.start()
  swarms = []
  asked = []
  nowMs = 0
  const engine = {
    peerId: 'ab'.repeat(20),
    async join(init: SwarmInit) {
      const quiet = { connect() {}, download() {}, setImports() {}, setReaderPositions() {}, learnPiece() {} }
      const swarm = Object.assign(new EventEmitter(), quiet, {
        init,
        infoHash: init.infoHash,
        peersConnected: 0,
        isLeft: false,
        addPiece() {},
        async leave() {
          swarm.isLeft = true
        },
      }) as unknown as (typeof swarms)[number]
      swarms.push(swarm)
      return swarm
    },
  } as unknown as SwarmEngine
  stream = Object.assign(new EventEmitter(), { announce() {}, leave() {} })
  const announcer = stream as unknown as Announcer
  const http: Pick<HttpSources, 'arrivingBytes'> = {
    async *arrivingBytes(_url, range, signal) {
      const answer = Promise.withResolvers<Uint8Array>()
      signal.addEventListener('abort', () => answer.reject(signal.reason))
      const refuse = () => answer.reject(new SourceUnavailableError('the seeder', 'status 404 for a range'))
      asked.push({ range, signal, give: answer.resolve, refuse })
      yield await answer.promise
    },
  }
  const parts = { engine, store, announcer, log: silent, nowMs: () => nowMs, onSent: () => {} }
  arrivals = new ArrivingPulls({ ...parts, http, onReceived: () => {} }, { seederUrl: 'http://seeder:7000' })
  downloads = new Downloads(
    {
      ...parts,
      arrivals,
      http: http as HttpSources,
      seeders: new SeederPeers(),
      contacts: { isGenuineMetainfo: () => false },
      prng: createPrng(1),
      onReceived: () => {},
      onMismatch: () => {},
      onDamaged: () => {},
      disk: { mayWrite: true, freeBytes: async () => undefined, failed: () => false, refused: () => {} },
    },
    { seederUrl: 'http://seeder:7000', cacheMaxBytes: 100_000_000 },
  )
})
afterEach(async () => {
  await downloads.stop()
  await arrivals.stop()
  await store.stop()
  await rm(folder, { recursive: true })
})

const take = (known: readonly number[], later: { first: number; sha256: Uint8Array }[] = []) =>
  arrivals.take('team/app', {
    digest,
    length: LENGTH,
    pieces: { sha256: Buffer.concat(known.map(hashOf)), later, peers: [] },
  })

/** A piece came by the swarm. */
async function arrive(index: number, from = swarms[0]!): Promise<void> {
  await from.init.pieces.writePiece(index, [pieceOf(index)])
  from.emit('received', pieceOf(index).length, 'cd'.repeat(20))
  from.emit('piece', index)
}

/** What the client was given so far. */
async function read(start: number, end: number) {
  const transfer = await arrivals.find(digest)
  const given: Buffer[] = []
  const outcome = (async () => {
    for await (const chunk of transfer!.read(start, end)) given.push(Buffer.from(chunk))
  })().then(
    () => 'whole',
    (error: { readonly code: string }) => error.code,
  )
  return { outcome, bytes: () => Buffer.concat(given) }
}

function sourceOf(spoilt?: number): KnownBlob {
  const pieces = Array.from({ length: last + 1 }, (_, index) => index)
  const metainfo: Metainfo = {
    digest,
    length: LENGTH,
    pieceLength,
    piecesSha1: Buffer.concat(pieces.map((index) => hash('sha1', pieceOf(index), 'buffer'))),
    piecesSha256: Buffer.concat(pieces.map((index) => hashOf(index === spoilt ? 0 : index))),
  }
  return { metainfo, infoHash: infoHashOf(metainfo), repository: 'team/app', peers: [], imports: NO_IMPORTS }
}

const kept = async () =>
  Object.fromEntries(
    await Promise.all(
      ['partial', 'metainfo'].map(
        async (name) => [name, (await readdir(join(folder, name))).length] as const,
      ),
    ),
  )

describe('a blob that arrives', () => {
  it('is one body: from its arrival into its own swarm, the last piece when it was confirmed', async () => {
    expect([
      pieceCount({ length: LENGTH, pieceLength }),
      pieceBytes({ length: LENGTH, pieceLength }, last),
    ]).toEqual([last + 1, 5])
    take([0, 1, 2])
    const [whole, end] = [await read(0, LENGTH), await read(LENGTH - 1, LENGTH)]
    for (const index of [1, 0, 2]) await arrive(index)
    await expect.poll(() => whole.bytes().length).toBe(3 * pieceLength)
    stream.emit('pieces', swarms[0]!.infoHash, 3, Buffer.concat([3, 4, 5, 6, 7, 8, 9, 10].map(hashOf)))
    for (const index of [3, 4, 5, 6, 10]) await arrive(index)
    await expect.poll(() => whole.bytes().length).toBe(7 * pieceLength)
    expect(end.bytes()).toHaveLength(0)

    const transfer = await downloads.ensure(sourceOf())
    expect(swarms.map(({ isLeft }) => isLeft)).toEqual([true, false])
    expect(await end.outcome).toBe('whole')
    for (const index of [7, 8, 9]) await arrive(index, swarms[1])
    expect(await whole.outcome).toBe('whole')
    expect(whole.bytes().equals(bytes)).toBe(true)
    expect(end.bytes().equals(bytes.subarray(-1))).toBe(true)
    await transfer.whenComplete()
    expect(downloads.find(digest)).toBe(transfer)
    expect(await kept()).toEqual({ partial: 0, metainfo: 1 })
  })

  it('and does not come after all is cut at every reader, and nothing of it stays', async () => {
    take([0, 1, 2])
    const readers = [await read(0, LENGTH), await read(2 * pieceLength, LENGTH)]
    for (const index of [0, 1, 2]) await arrive(index)
    await expect.poll(() => readers[0]!.bytes().length).toBe(3 * pieceLength)
    arrivals.lost(digest)
    for (const { outcome } of readers) expect(await outcome).toBe('SWARM_TRANSFER_FAILED')
    await expect.poll(kept).toEqual({ partial: 0, metainfo: 0 })
    expect(await arrivals.find(digest)).toBeUndefined()
  })

  it('and is confirmed with another piece than was told is cut, and fetched anew for the next', async () => {
    take([0, 1, 2])
    const reader = await read(0, LENGTH)
    await arrive(0)
    await expect.poll(() => reader.bytes().length).toBe(pieceLength)
    const transfer = await downloads.ensure(sourceOf(2))
    expect(await reader.outcome).toBe('SWARM_TRANSFER_FAILED')
    expect(transfer.blob.have.setCount).toBe(0)
  })

  it('of which the seeder tells something else than before is cut: it was begun anew with other bytes', async () => {
    take([0, 1, 2])
    const reader = await read(0, LENGTH)
    await arrive(0)
    take([0, 1, 2])
    expect(await arrivals.find(digest)).toBeDefined()
    stream.emit('pieces', swarms[0]!.infoHash, 1, hashOf(7))
    expect(await reader.outcome).toBe('SWARM_TRANSFER_FAILED')
    await expect.poll(kept).toEqual({ partial: 0, metainfo: 0 })
  })
})

describe('a reader far ahead of what has come', () => {
  it('has the seeder told of his piece, once and by one byte, until its hash is known; of others it is not told', async () => {
    take([0, 1])
    const inOrder = await read(2 * pieceLength, 3 * pieceLength)
    const held = await read(LENGTH - 1, LENGTH)
    const ahead = [
      await read(6 * pieceLength + 9, 8 * pieceLength),
      await read(6 * pieceLength, 7 * pieceLength),
    ]
    await expect.poll(() => asked.length).toBe(1)
    expect(asked[0]!.range).toEqual({ start: 6 * pieceLength, end: 6 * pieceLength + 1 })
    stream.emit('pieces', swarms[0]!.infoHash, 6, hashOf(6))
    expect(asked[0]!.signal.aborted).toBe(true)
    await arrive(6)
    expect(await ahead[1]!.outcome).toBe('whole')
    // What follows a piece that came out of turn follows by itself, mostly.
    nowMs = 900
    take([0, 1], [{ first: 7, sha256: hashOf(7) }])
    await arrive(7)
    expect(await ahead[0]!.outcome).toBe('whole')
    expect(asked).toHaveLength(1)
    expect([inOrder, held].map((reader) => reader.bytes().length)).toEqual([0, 0])
  })

  it('that has left is not waited for by the seeder', async () => {
    take([0])
    const transfer = await arrivals.find(digest)
    const leaving = new AbortController()
    const reading = transfer!.read(5 * pieceLength, LENGTH, leaving.signal).next()
    await expect.poll(() => asked.length).toBe(1)
    const other = await read(4 * pieceLength, 5 * pieceLength)
    await expect.poll(() => asked.length).toBe(2)
    leaving.abort(new Error('left'))
    await expect(reading).rejects.toThrow('left')
    await expect.poll(() => asked.map(({ signal }) => signal.aborted)).toEqual([true, false])
    await arrivals.drop(digest, 'it is over')
    expect(await other.outcome).toBe('SWARM_TRANSFER_FAILED')
    expect(asked[1]!.signal.aborted).toBe(true)
  })
})

describe('pieces that the seeder has and the swarm does not give', () => {
  it('are had over HTTP after 5 s, those behind them as well, and verified; the last one is nobody’s yet', async () => {
    take([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    const reader = await read(0, LENGTH)
    await arrive(0)
    nowMs = 4_999
    await expect.poll(() => reader.bytes().length).toBe(pieceLength)
    expect(asked).toHaveLength(0)
    nowMs = 5_000
    await expect.poll(() => asked.length).toBe(1)
    expect(asked[0]!.range).toEqual({ start: pieceLength, end: 10 * pieceLength })
    asked[0]!.give(bytes.subarray(pieceLength, 10 * pieceLength))
    await expect.poll(() => reader.bytes().length).toBe(10 * pieceLength)
    expect(reader.bytes().equals(bytes.subarray(0, 10 * pieceLength))).toBe(true)
    await downloads.ensure(sourceOf())
    await arrive(10, swarms[1])
    expect(await reader.outcome).toBe('whole')
  })

  it('are not taken when they are wrong', async () => {
    take([0, 1])
    const reader = await read(0, LENGTH)
    nowMs = 5_000
    await expect.poll(() => asked.length).toBe(1)
    asked[0]!.give(Buffer.alloc(2 * pieceLength))
    await arrive(0)
    await expect.poll(() => reader.bytes().length).toBe(pieceLength)
    expect(reader.bytes().equals(pieceOf(0))).toBe(true)
  })
})

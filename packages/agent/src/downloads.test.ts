/**
 * Goal: what is wrong is kept by nobody, and what is right can be had. A blob of which every piece is right by its metainfo, and
 * the whole is not what its digest says, is forgotten with its metainfo, so that the next pull begins anew. One that the disk has
 * spoilt is fetched again.
 * Method: real files; a seeder that gives false metainfo together with the bytes, then the right one.
 */
import { createHash, hash } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPrng, type Metainfo, parseDigest, pieceLengthFor } from '@shoal/core'
import { NO_IMPORTS } from '@shoal/engine'
import { type ByteRange, FilePieceStore, infoHashOf } from '@shoal/storage'
import type { Swarm, SwarmEngine, SwarmInit } from '@shoal/swarm'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Announcer } from './announcer.ts'
import { DISK_RESERVE_BYTES } from './disk-room.ts'
import { Downloads } from './downloads.ts'
import { CacheDiskFullError } from './errors.ts'
import type { HttpSources } from './http-sources.ts'
import type { KnownBlob } from './known-blob.ts'
import { SeederPeers } from './seeder-peers.ts'
import { unbrokenRead } from './unbroken-read.ts'

const right = Buffer.from('what was pushed')
const wrong = Buffer.from('what was not it')
const digest = parseDigest(`sha256:${createHash('sha256').update(right).digest('hex')}`)

let folder: string
let store: FilePieceStore
let downloads: Downloads
let announced: string[]
let damages: number
let freeBytes: number | undefined
let refusals: number

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-downloads-'))
  store = new FilePieceStore({ folder })
  store.on('damaged', (damaged, pieceIndex) => downloads.damaged(damaged, pieceIndex))
  await store.start()
  damages = 0
  freeBytes = undefined
  refusals = 0
  announced = []
  const engine = {
    peerId: 'ab'.repeat(20),
    async join({ infoHash }: SwarmInit) {
      const silence = { connect() {}, download() {}, pause() {}, setImports() {}, setReaderPositions() {} }
      const swarm = { infoHash, ...silence, addPiece() {}, leave: async () => {} }
      return Object.assign(new EventEmitter(), swarm) as unknown as Swarm
    },
  }
  const announcer = Object.assign(new EventEmitter(), {
    announce: (infoHash: string, state: string) => announced.push(`${state} ${infoHash}`),
    leave: (infoHash: string) => announced.push(`gone ${infoHash}`),
  })
  downloads = new Downloads(
    {
      engine: engine as unknown as SwarmEngine,
      store,
      announcer: announcer as unknown as Announcer,
      http: {} as HttpSources,
      arrivals: { confirm: async () => undefined },
      seeders: new SeederPeers(),
      contacts: { isGenuineMetainfo: () => false },
      disk: {
        mayWrite: true,
        freeBytes: async () => freeBytes,
        refused: () => refusals++,
        failed: () => false,
      },
      log: pino({ level: 'silent' }),
      prng: createPrng(1),
      nowMs: () => 0,
      onReceived: () => {},
      onSent: () => {},
      onMismatch: () => {},
      onDamaged: () => damages++,
    },
    { seederUrl: 'http://127.0.0.1:9', cacheMaxBytes: 1_000_000 },
  )
  await downloads.start()
})
afterEach(async () => {
  await downloads.stop()
  await store.stop()
  await rm(folder, { recursive: true })
})

/** What the seeder says of the blob: one piece, of these bytes. */
function sourceOf(bytes: Buffer): KnownBlob {
  const metainfo: Metainfo = {
    digest,
    length: bytes.length,
    pieceLength: pieceLengthFor(bytes.length),
    piecesSha1: hash('sha1', bytes, 'buffer'),
    piecesSha256: hash('sha256', bytes, 'buffer'),
  }
  const infoHash = infoHashOf(metainfo)
  return { metainfo, infoHash, repository: 'team/app', peers: [], imports: NO_IMPORTS, inline: bytes }
}

const filesIn = async (name: string) => readdir(join(folder, name))

it('is failed, forgotten with its metainfo, told to nobody, and can be had anew', async () => {
  const failed = Promise.withResolvers<string>()
  downloads.once('failed', failed.resolve)
  const source = sourceOf(wrong)
  const transfer = await downloads.ensure(source)
  await expect(transfer.whenComplete()).rejects.toMatchObject({ code: 'SWARM_TRANSFER_FAILED' })
  expect(await failed.promise).toBe(digest)
  for (const name of ['metainfo', 'partial', 'blobs']) await expect.poll(() => filesIn(name)).toEqual([])
  expect(store.get(digest)).toBeUndefined()
  expect([downloads.find(digest), downloads.whole(digest), downloads.blobCount]).toEqual([
    undefined,
    undefined,
    0,
  ])
  expect(announced).toEqual([`gone ${source.infoHash}`])

  const again = await downloads.ensure(sourceOf(right))
  await again.whenComplete()
  expect(await filesIn('metainfo')).toHaveLength(1)
  expect(announced.at(-1)).toBe(`seeding ${sourceOf(right).infoHash}`)
})

it('that came along with an answer and is not what the answer says is asked of the swarm', async () => {
  const source = { ...sourceOf(right), inline: wrong.subarray(0, right.length) }
  const transfer = await downloads.ensure(source)
  expect([transfer.failure, transfer.blob.have.setCount]).toEqual([undefined, 0])
  expect(announced).toEqual([`leeching ${source.infoHash}`])
})

it('that the disk has spoilt is fetched again, and who reads it gets what is right', async () => {
  const source = sourceOf(right)
  await (await downloads.ensure(source)).whenComplete()
  const hex = digest.slice('sha256:'.length)
  await writeFile(join(folder, 'blobs', 'sha256', hex.slice(0, 2), hex), wrong)
  const mended = once(downloads, 'damaged')
  const read = async function* (range: ByteRange) {
    yield* (await downloads.ensure(source)).read(range.start, range.end)
  }
  const readAll = async () => {
    const chunks: Uint8Array[] = []
    for await (const chunk of unbrokenRead({ start: 0, end: right.length }, read, () => true))
      chunks.push(Uint8Array.from(chunk))
    return Buffer.concat(chunks).toString()
  }
  // A file that was just looked at is looked at again a second later.
  let text = ''
  const noticed = async () => {
    text = await readAll()
    return damages
  }
  await expect.poll(noticed, { timeout: 10_000 }).toBe(1)
  expect(text).toBe(right.toString())
  await mended
  await (await downloads.ensure(source)).whenComplete()
  expect(await filesIn('partial')).toEqual([])
  expect(announced.at(-1)).toBe(`seeding ${source.infoHash}`)
})

it('that finds no room on the disk is not begun, and takes the place of what is used least where that is enough', async () => {
  const source = sourceOf(right)
  freeBytes = DISK_RESERVE_BYTES + right.length - 1
  await expect(downloads.ensure(source)).rejects.toThrow(CacheDiskFullError)
  // Whoever was to fetch it ahead of a client says nothing.
  downloads.prefetch([source])
  await expect.poll(() => refusals).toBe(2)
  expect([downloads.blobCount, await filesIn('partial')]).toEqual([0, []])
  freeBytes++
  await (await downloads.ensure(source)).whenComplete()
  expect([downloads.blobCount, refusals]).toEqual([1, 2])
})

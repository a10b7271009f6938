/**
 * Goal: blobs that are passed on while they arrive are neither too many nor too short or long for it, and agents hear of what
 * comes of them. Method: blobs whose pieces the test brings, or that bring nothing, in a real folder.
 */
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SwarmEngine } from '@shoal/swarm'
import { sha256 } from '@shoal/testing/content'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silent } from '../testing/image-origin.ts'
import { ArrivingBlobs } from './arriving-blobs.ts'

const MIB = 1024 ** 2
/** Of every blob here. */
const PIECE = 64 * 1024
const GIB = 1024 ** 3
let folder: string
let arriving: ArrivingBlobs
const told: { first: number; sha256: Buffer }[] = []
const ended: string[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-arriving-'))
  told.length = 0
  ended.length = 0
  const parts = { engine: {} as SwarmEngine, log: silent, onSent: () => {} }
  arriving = new ArrivingBlobs(parts, { folder })
  arriving.on('pieces', (_infoHash, first, sha256) => told.push({ first, sha256: Buffer.from(sha256) }))
  arriving.on('ended', (infoHash) => ended.push(infoHash))
  await arriving.start()
})
afterEach(async () => {
  await arriving.stop()
  await rm(folder, { recursive: true })
})

const hashOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()
const begin = (n: number, length = 4 * MIB) => arriving.begin('team/app', sha256(`${n}`), length)

describe('blobs on their way', () => {
  it('are 64 at a time: the next comes without being passed on, until one has ended', async () => {
    const begun = []
    for (let n = 0; n < 64; n++) begun.push(await begin(n))
    expect(begun).not.toContain(undefined)
    expect(await begin(64)).toBeUndefined()
    expect(await readdir(folder)).toHaveLength(64)
    begun[0]!.end(false)
    await expect.poll(() => readdir(folder)).toHaveLength(63)
    expect(await begin(64)).toBeDefined()
  })

  it('make room for others as soon as they have ended', async () => {
    const begun = []
    for (let n = 0; n < 64; n++) begun.push(await begin(n))
    begun[5]!.end(true)
    begun[9]!.end(true)
    expect([await begin(100), await begin(101), await begin(102)].map((each) => each !== undefined)).toEqual([
      true,
      true,
      false,
    ])
  })

  it('arrive in two repositories at once, and agents have one of them', async () => {
    const digest = sha256('shared')
    const [one, two] = [
      await arriving.begin('one/app', digest, MIB),
      await arriving.begin('two/app', digest, MIB),
    ]
    expect(await arriving.begin('two/app', digest, MIB)).toBeUndefined()
    expect([arriving.find('one/app', digest), arriving.find('two/app', digest)]).toEqual([
      one!.copy,
      two!.copy,
    ])
    expect([arriving.hasSwarm(one!.copy), arriving.hasSwarm(two!.copy)]).toEqual([true, false])
    two!.end(false)
    expect(ended).toEqual([])
    one!.end(true)
    expect(ended).toEqual([one!.copy.infoHash])
    expect(arriving.find('one/app', digest)).toBeUndefined()
  })

  it('tell agents the hashes of pieces in whatever order they come, those together that follow each other', async () => {
    const blob = (await begin(1, 6 * PIECE))!
    const piece = (index: number) => new Uint8Array(PIECE).fill(index)
    for (const index of [0, 4, 1, 3]) await blob.copy.write(index, piece(index))
    await expect.poll(() => told.length).toBe(2)
    const hashes = (...indexes: number[]) => Buffer.concat(indexes.map((index) => hashOf(piece(index))))
    expect(told).toEqual([
      { first: 0, sha256: hashes(0, 1) },
      { first: 3, sha256: hashes(3, 4) },
    ])
    expect(Buffer.from(blob.copy.sha256)).toEqual(hashes(0, 1))
    const later = blob.copy.later(10).map(({ first, sha256 }) => ({ first, sha256: Buffer.from(sha256) }))
    expect(later).toEqual([{ first: 3, sha256: hashes(3, 4) }])
    await blob.copy.write(2, piece(2))
    blob.end(true)
    expect(told.slice(2)).toEqual([{ first: 2, sha256: hashes(2) }])
  })

  it.each([
    [PIECE, false],
    [PIECE + 1, true],
    [256 * GIB, true],
    [256 * GIB + 1, false],
  ])('of %i bytes: %s', async (length, isPassedOn) => {
    expect((await begin(1, length)) !== undefined).toBe(isPassedOn)
  })
})

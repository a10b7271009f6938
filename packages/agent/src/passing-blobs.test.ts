/**
 * Goal: a blob for which there is no room reaches its client, every byte verified, in little memory. Method: a seeder and an origin
 * that give what the test says, right or wrong or nothing.
 */

import { testBlob } from '@shoal/testing/memory-pieces'
import { beforeEach, expect, test } from 'vitest'
import { SourceUnavailableError, UnobtainableError } from './errors.ts'
import type { KnownBlob } from './known-blob.ts'
import { PASSING_BLOBS_MAX, PassingBlobs, RUN_BYTES_MAX } from './passing-blobs.ts'

const blob = testBlob(5_000_000, 7)
const SEEDER = 'http://seeder:7000'
const ORIGIN = 'https://bucket/blob?secret'
const source: KnownBlob = { metainfo: blob.metainfo, infoHash: 'aa', repository: 'team/app', peers: [] }

type Gives = (range: { start: number; end: number }) => AsyncGenerator<Uint8Array, void, undefined>
let gives: { seeder: Gives; origin: Gives }
let asked: string[]
let received: string[]
let longest: number
let passing: PassingBlobs

const right: Gives = async function* ({ start, end }) {
  for (let at = start; at < end; at += 100_000) yield blob.bytes.subarray(at, Math.min(end, at + 100_000))
}
const wrong: Gives = async function* ({ start, end }) {
  yield Buffer.alloc(end - start)
}
// biome-ignore lint/correctness/useYield: it fails before its first byte
const nothing: Gives = async function* () {
  throw new SourceUnavailableError('the seeder', 'it is away')
}

beforeEach(() => {
  gives = { seeder: right, origin: right }
  asked = []
  received = []
  longest = 0
  passing = new PassingBlobs(
    {
      http: {
        bytes(url, range) {
          const from = String(url) === ORIGIN ? 'origin' : 'seeder'
          if (from === 'seeder')
            expect(String(url)).toBe(`${SEEDER}/v2/team/app/blobs/${blob.metainfo.digest}`)
          asked.push(from)
          longest = Math.max(longest, range.end - range.start)
          return gives[from](range)
        },
      },
      onReceived: (from) => received.push(from),
    },
    { seederUrl: SEEDER },
  )
})

const { signal } = new AbortController()

async function read(start: number, end: number, from = source): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of passing.read(from, { start, end }, signal)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

test.each([
  [0, 5_000_000],
  [1, 4_999_999],
  [262_144, 262_145],
  [4_999_000, 5_000_000],
])('the bytes from %i to %i are given, in runs that are bounded', async (start, end) => {
  expect(blob.bytes.subarray(start, end).equals(await read(start, end))).toBe(true)
  expect(longest).toBeLessThanOrEqual(RUN_BYTES_MAX)
})

test('the origin gives what the seeder does not, or not rightly', async () => {
  const withOrigin = { ...source, originUrl: ORIGIN }
  for (const seeder of [nothing, wrong]) {
    gives = { seeder, origin: right }
    asked = []
    received = []
    expect(blob.bytes.equals(await read(0, 5_000_000, withOrigin))).toBe(true)
    expect(new Set(received)).toEqual(new Set(['origin']))
  }
})

test('where nobody gives it, it is given up after some attempts, and nothing wrong was given', async () => {
  for (const seeder of [nothing, wrong]) {
    gives = { seeder, origin: nothing }
    asked = []
    await expect(read(0, 100)).rejects.toThrow(UnobtainableError)
    expect(asked.length).toBeLessThanOrEqual(4)
  }
})

test('what came along with the answer is asked of nobody', async () => {
  expect(blob.bytes.equals(await read(0, 5_000_000, { ...source, inline: blob.bytes }))).toBe(true)
  expect(asked).toEqual([])
})

test('so many pass at a time; others wait, and who goes away meanwhile takes no place', async () => {
  const readers = Array.from({ length: PASSING_BLOBS_MAX }, () =>
    passing.read(source, { start: 0, end: 5_000_000 }, signal),
  )
  for (const reader of readers) expect((await reader.next()).done).toBe(false)
  const gone = new AbortController()
  const leaving = passing.read(source, { start: 0, end: 10 }, gone.signal).next()
  const waiting = passing.read(source, { start: 0, end: 10 }, signal).next()
  gone.abort(new Error('the client left'))
  await expect(leaving).rejects.toThrow('the client left')
  expect(asked).toHaveLength(PASSING_BLOBS_MAX)
  await readers[0]!.return()
  expect((await waiting).value).toHaveLength(10)
  for (const reader of readers) await reader.return()
})

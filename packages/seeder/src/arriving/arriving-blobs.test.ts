/**
 * Goal: blobs that are passed on while they arrive are neither too many nor too short or long for it. Method: blobs that begin
 * and bring nothing, in a real folder.
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SwarmEngine } from '@shoal/swarm'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silent } from '../testing/image-origin.ts'
import { sha256 } from '../testing/images.ts'
import { ArrivingBlobs } from './arriving-blobs.ts'

const MIB = 1024 ** 2
const GIB = 1024 ** 3
let folder: string
let arriving: ArrivingBlobs
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-arriving-'))
  const parts = {
    engine: {} as SwarmEngine,
    tracker: { tellPieces() {}, tellArrivalEnded() {} },
    log: silent,
    onSent: () => {},
  }
  arriving = new ArrivingBlobs(parts, { folder })
  await arriving.start()
})
afterEach(async () => {
  await arriving.stop()
  await rm(folder, { recursive: true })
})

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

  it.each([
    [4 * MIB - 1, false],
    [4 * MIB, true],
    [256 * GIB, true],
    [256 * GIB + 1, false],
  ])('of %i bytes: %s', async (length, isPassedOn) => {
    expect((await begin(1, length)) !== undefined).toBe(isPassedOn)
  })
})

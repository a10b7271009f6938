/**
 * Goal: a volume that is not mounted or a bucket that was emptied is never taken for an origin without images, neither at the start
 * nor later. Method: folders that are taken away, emptied, exchanged and brought back.
 */
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  FilesystemObjectStore,
  MeteredObjectStore,
  StorageFullError,
  StorageRefusedError,
  StorageUnavailableError,
} from '@shoal/storage'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { OriginLostError } from './errors.ts'
import { expectOrigin, MARKER, markOrigin } from './origin-marker.ts'
import { OriginWatch } from './origin-watch.ts'
import { Signer } from './signer.ts'
import { silent } from './testing/image-origin.ts'

let root: string
let origin: string
let data: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'shoal-origin-watch-'))
  origin = join(root, 'origin')
  data = join(root, 'data')
  await mkdir(data)
})
afterEach(() => rm(root, { recursive: true }))

/** As a seeder does at its start. */
async function open(folder = origin) {
  const objects = new FilesystemObjectStore({ folder })
  await expectOrigin(objects, data)
  await objects.start()
  const opened = await markOrigin(objects, data, { log: silent, nowMs: () => 1 })
  await Signer.open(objects)
  return { objects, ...opened }
}

describe('at the start', () => {
  it('an origin is made once, and known again', async () => {
    const first = await open()
    expect(first.isFresh).toBe(true)
    const second = await open()
    expect(second).toMatchObject({ isFresh: false, id: first.id })
  })

  it.each([
    ['gone', () => rm(origin, { recursive: true })],
    [
      'empty',
      async () => {
        await rm(origin, { recursive: true })
        await mkdir(origin)
      },
    ],
  ])('an origin that is %s is none, and nothing is made there', async (_how, takeAway) => {
    await open()
    await takeAway()
    await expect(open()).rejects.toThrow(OriginLostError)
    expect(await readdir(origin).catch(() => [])).toEqual([])
    // On purpose: as the message says.
    await expect(open()).rejects.toThrow(join(data, 'origin.json'))
    await rm(join(data, 'origin.json'))
    expect((await open()).isFresh).toBe(true)
  })

  it('an origin that an earlier version made is marked, and no fresh one', async () => {
    const { objects } = await open()
    await objects.delete(MARKER)
    await rm(join(data, 'origin.json'))
    expect((await open()).isFresh).toBe(false)
    // The mark alone is gone: what is there is the origin.
    await objects.delete(MARKER)
    expect((await open()).isFresh).toBe(false)
  })

  it('another origin that has its images is used', async () => {
    await open()
    const other = join(root, 'other')
    await rename(data, join(root, 'aside'))
    await mkdir(data)
    const { id } = await open(other)
    await rm(data, { recursive: true })
    await rename(join(root, 'aside'), data)
    expect(await open(other)).toMatchObject({ id, isFresh: false })
  })

  it('a new place is set on purpose: an origin is made there, of another id', async () => {
    const before = await open()
    const after = await open(join(root, 'bucket'))
    expect(after.isFresh).toBe(true)
    expect(after.id).not.toBe(before.id)
    // And back.
    expect(await open()).toMatchObject({ isFresh: false, id: before.id })
  })

  it('a note that cannot be read is none: `data` can be lost', async () => {
    await open()
    await writeFile(join(data, 'origin.json'), '{"id":')
    expect((await open()).isFresh).toBe(false)
  })
})

describe('later', () => {
  it('what is not found is believed only while the origin is there', async () => {
    const { objects, id } = await open()
    const watch = new OriginWatch({ objects, log: silent })
    watch.start(id)
    await watch.confirmMissing('a')
    await watch.look()
    expect(watch.problem).toBeUndefined()
    await rename(origin, join(root, 'away'))
    await expect(watch.confirmMissing('a')).rejects.toThrow(StorageUnavailableError)
    expect(watch.problem).toContain('is gone')
    await rename(join(root, 'away'), origin)
    await watch.look()
    expect(watch.problem).toBeUndefined()
    await watch.confirmMissing('a')
    watch.stop()
  })

  it('one that was exchanged is not the one that was there', async () => {
    const { objects, id } = await open()
    const watch = new OriginWatch({ objects, log: silent })
    watch.start(id)
    await rename(origin, join(root, 'away'))
    await rm(data, { recursive: true })
    await mkdir(data)
    await open()
    watch.expectWritable('a')
    await watch.look()
    expect(watch.problem).toContain('another one is there')
    // It would take what is written: nothing of this seeder's belongs there.
    const metered = new MeteredObjectStore(objects, {
      onRequest: () => {},
      onReadBytes: () => {},
      onWrittenBytes: () => {},
      onWriting: (key) => watch.expectWritable(key),
    })
    const before = await readdir(origin)
    await expect(metered.put('a', new Uint8Array(1))).rejects.toThrow(StorageUnavailableError)
    await expect(metered.createWriter('b')).rejects.toThrow('it is gone')
    expect(await readdir(origin)).toEqual(before)
    watch.stop()
  })

  it('one that does not answer is a problem from the second time on', async () => {
    const { objects, id } = await open()
    let fails = true
    const reading = async (...args: Parameters<typeof objects.read>) => {
      if (fails) throw new StorageUnavailableError('the bucket', 'read')
      return objects.read(...args)
    }
    const bucket = new Proxy(objects, {
      get: (target, name) => {
        if (name === 'read') return reading
        if (name === 'localFile') return () => undefined
        const value = Reflect.get(target, name)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    const watch = new OriginWatch({ objects: bucket, log: silent })
    watch.start(id)
    await watch.look()
    expect(watch.problem).toBeUndefined()
    await watch.look()
    expect(watch.problem).toContain('the bucket failed')
    // What is not found in a bucket that does not answer fails by itself.
    await watch.confirmMissing('a')
    fails = false
    await watch.look()
    expect(watch.problem).toBeUndefined()
    await objects.delete(MARKER)
    await watch.look()
    await expect(watch.confirmMissing('a')).rejects.toThrow(StorageUnavailableError)
    watch.stop()
  })

  it('one that takes nothing is said to, until it does', async () => {
    const { objects } = await open()
    const watch = new OriginWatch({ objects, log: silent })
    for (const error of [
      new StorageRefusedError('s3://b/', 'write a', 'AccessDenied'),
      new StorageFullError('a folder', 'write a'),
    ]) {
      watch.wrote(error)
      expect(watch.writeProblem).toBe(error.message)
      watch.wrote()
      expect(watch.writeProblem).toBeUndefined()
    }
    watch.wrote(new StorageUnavailableError('s3://b/', 'write a'))
    expect(watch.writeProblem).toBeUndefined()
    expect(watch.problem).toBeUndefined()
  })
})

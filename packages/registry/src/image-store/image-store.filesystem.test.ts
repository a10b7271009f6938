/**
 * Goal: the image store holds what it promises on a real object store too.
 * Method: pushes over a folder, looked at as files: what is there afterwards, and that nothing else is.
 */
import { readdirSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FilesystemObjectStore } from '@shoal/storage'
import { patternBytes, sha256 } from '@shoal/testing/content'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ImageStore } from './image-store.ts'

const content = patternBytes(700_000)
const digest = sha256(content)
let folder: string
let ids = 0

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-images-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function open(objects = new FilesystemObjectStore({ folder })): Promise<ImageStore> {
  await objects.start()
  return new ImageStore({
    objects,
    log: pino({ level: 'silent' }),
    nowMs: Date.now,
    newId: () => `id-${ids++}`,
  })
}

async function files(): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
}

async function push(images: ImageStore, repository: string, claimed = digest): Promise<unknown> {
  const { id } = await images.startUpload(repository, {})
  async function* body() {
    for (let offset = 0; offset < content.length; offset += 65_536)
      yield content.subarray(offset, offset + 65_536)
  }
  await images.appendUpload(repository, id, body())
  return images.finishUpload(repository, id, claimed)
}

test('a pushed blob is read back after a restart, by range', async () => {
  await push(await open(), 'library/app')
  const images = await open()
  const parts: Uint8Array[] = []
  const range = { start: 65_000, end: 700_000 }
  for await (const part of images.readBlob('library/app', digest, range, new AbortController().signal))
    parts.push(part)
  expect(new Uint8Array(Buffer.concat(parts))).toEqual(content.subarray(range.start, range.end))
})

test('pushed many times at once, its content is there once', async () => {
  const images = await open()
  await Promise.all(['a', 'a/b', 'a/b/c', 'd'].map((repository) => push(images, repository)))
  expect((await files()).filter((file) => file.startsWith('content'))).toHaveLength(1)
  expect(await files()).toHaveLength(4 + 4)
})

test('a wrong digest and a cancelled upload leave no file', async () => {
  const images = await open()
  await expect(push(images, 'app', sha256('other'))).rejects.toMatchObject({ code: 'DIGEST_INVALID' })
  const { id } = await images.startUpload('app', {})
  async function* some() {
    yield content
  }
  await images.appendUpload('app', id, some())
  await images.cancelUpload('app', id)
  expect(await files()).toEqual([])
})

test('repositories inside others keep their tags apart; pages follow byte order', async () => {
  const images = await open()
  const manifest = new TextEncoder().encode('{"schemaVersion":2,"manifests":[]}')
  const put = (repository: string, tag: string) =>
    images.putManifest(repository, { kind: 'tag', tag }, '', manifest)
  for (const tag of ['b', 'a', 'B', 'a-1', 'a.1']) await put('app', tag)
  await put('app/sub', 'other')
  expect(await images.tags('app', { tagsMax: 10 })).toEqual({
    tags: ['B', 'a', 'a-1', 'a.1', 'b'],
    more: false,
  })
  expect(await images.tags('app', { tagsMax: 2 })).toEqual({ tags: ['B', 'a'], more: true })
  expect(await images.tags('app', { tagsMax: 2, after: 'a-1' })).toEqual({ tags: ['a.1', 'b'], more: false })
  expect(await images.tags('app/sub', { tagsMax: 10 })).toEqual({ tags: ['other'], more: false })
  expect(await images.tags('ap', { tagsMax: 10 })).toBeUndefined()
})

test('an upload that is cancelled while what was received is being kept leaves no file', async () => {
  const images = await open()
  const { id } = await images.startUpload('app', {})
  async function* some() {
    yield content
  }
  const appended = images.appendUpload('app', id, some()).catch(() => {})
  // Looked for without a turn of the event loop: the file has moved, and its writer does not know yet.
  while (!appearsWithin(5, join(folder, '~checkpoints')))
    await new Promise((resolve) => setImmediate(resolve))
  await images.cancelUpload('app', id)
  await appended
  expect(await files()).toEqual([])
})

test('a writer is asked one thing at a time, also by who cancels its upload', async () => {
  const asked: string[] = []
  let begun = () => {}
  const isKept = new Promise<void>((resolve) => {
    begun = resolve
  })
  class WatchedStore extends FilesystemObjectStore {
    override async createWriter(key: string) {
      const writer = await super.createWriter(key)
      const { checkpoint, abort } = writer
      writer.checkpoint = async () => {
        asked.push('checkpoint')
        begun()
        const kept = await checkpoint.call(writer)
        asked.push('kept')
        return kept
      }
      writer.abort = () => {
        asked.push('abort')
        return abort.call(writer)
      }
      return writer
    }
  }
  const images = await open(new WatchedStore({ folder }))
  const { id } = await images.startUpload('app', {})
  async function* some() {
    yield content
  }
  const appended = images.appendUpload('app', id, some()).catch(() => {})
  await isKept
  await images.cancelUpload('app', id)
  await appended
  expect(asked).toEqual(['checkpoint', 'kept', 'abort'])
  expect(await files()).toEqual([])
})

/** Whether a file appears in the folder within so many milliseconds, in which nothing else of this process runs. */
function appearsWithin(ms: number, path: string): boolean {
  for (const end = performance.now() + ms; performance.now() < end; )
    if (readdirSync(path).length > 0) return true
  return false
}

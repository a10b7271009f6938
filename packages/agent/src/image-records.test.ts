/**
 * Goal: what a full disk does not take can be had all the same, in bounded memory. Method: a real folder behind a store whose writes
 * fail when the test says so.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  FilesystemObjectStore,
  type ObjectStore,
  StorageFullError,
  StorageRefusedError,
  StorageUnavailableError,
} from '@shoal/storage'
import { sha256 } from '@shoal/testing/content'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ImageRecords, UNKEPT_BYTES_MAX } from './image-records.ts'

let folder: string
let isFull: boolean
let refusal: Error
let unkept: unknown[]
let records: ImageRecords

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-records-'))
  isFull = false
  refusal = new StorageFullError('the folder', 'write')
  unkept = []
  const store = new FilesystemObjectStore({ folder })
  await store.start()
  const objects: Pick<ObjectStore, 'put' | 'read' | 'delete' | 'list'> = {
    put: async (...args) => {
      if (isFull) throw refusal
      return store.put(...args)
    },
    read: (...args) => store.read(...args),
    delete: (key) => store.delete(key),
    list: (...args) => store.list(...args),
  }
  records = new ImageRecords({ objects: objects as ObjectStore, onUnkept: (error) => unkept.push(error) })
})
afterEach(() => rm(folder, { recursive: true }))

const mediaType = 'application/vnd.oci.image.index.v1+json'
const indexOf = (name: string, bytesMin = 0) => {
  const annotations = { name, padding: 'x'.repeat(bytesMin) }
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests: [], annotations }))
  return { digest: sha256(bytes), mediaType, bytes }
}

test.each([
  new StorageFullError('the folder', 'write'),
  new StorageRefusedError('the folder', 'write', 'EROFS'),
  new StorageUnavailableError('the folder', 'write'),
])(
  'a manifest that cannot be written is there nevertheless, also among those of its repository: $code',
  async (error) => {
    refusal = error
    const [first, second] = [indexOf('first'), indexOf('second')]
    await records.keepManifest('team/app', first)
    isFull = true
    await records.keepManifest('team/app', second)
    expect(unkept).toHaveLength(1)
    expect((await records.manifest('team/app', second.digest))?.digest).toBe(second.digest)
    const listed: string[] = []
    for await (const { digest } of records.manifests('team/app', 10)) listed.push(digest)
    expect(listed.sort()).toEqual([first.digest, second.digest].sort())
    // With room it goes to disk, and is no longer in memory only.
    isFull = false
    await records.keepManifest('team/app', second)
    const again = new ImageRecords({ objects: new FilesystemObjectStore({ folder }) })
    expect((await again.manifest('team/app', second.digest))?.digest).toBe(second.digest)
  },
)

test('the latest of them are kept, as many as there is memory for', async () => {
  isFull = true
  const quarter = UNKEPT_BYTES_MAX / 4 - 1_000
  const manifests = Array.from({ length: 6 }, (_, n) => indexOf(`${n}`, quarter - 1_000))
  for (const manifest of manifests) await records.keepManifest('team/app', manifest)
  const isThere = await Promise.all(
    manifests.map(async ({ digest }) => (await records.manifest('team/app', digest)) !== undefined),
  )
  expect(isThere).toEqual([false, false, true, true, true, true])
})

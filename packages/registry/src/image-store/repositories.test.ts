/**
 * Goal: the catalog gives every repository once, whatever lies in it and however long a page is.
 * Method: random names that lie among and below each other, against the set of them, in memory and in a folder.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FilesystemObjectStore, type ObjectStore } from '@shoal/storage'
import { MapObjectStore } from '@shoal/testing/map-object-store'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Repositories } from './repositories.ts'

const component = fc.constantFrom('app', 'app-b', 'a', '0', 'app.io', 'z9', 'app_1')
const names = fc.uniqueArray(
  fc.array(component, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/')),
  { maxLength: 12 },
)

async function isWhole(objects: ObjectStore, expected: readonly string[], countMax: number): Promise<void> {
  const repositories = new Repositories({ objects, nowMs: () => 0 }, { leaseMs: 1 })
  const found: string[] = []
  let after: string | undefined
  do {
    const page = await repositories.page({ countMax, ...(after === undefined ? {} : { after }) })
    expect(page.repositories.length).toBeLessThanOrEqual(countMax)
    found.push(...page.repositories)
    after = page.next
  } while (after !== undefined)
  expect(found.toSorted()).toEqual(expected.toSorted())
}

const keysOf = (name: string) =>
  ['_blobs/sha256/1', '_manifests/sha256/2', '_tags/v1'].map((key) => `repos/${name}/${key}`)

test('in memory', async () => {
  await fc.assert(
    fc.asyncProperty(names, fc.integer({ min: 1, max: 4 }), async (some, countMax) => {
      const objects = new MapObjectStore()
      for (const key of some.flatMap(keysOf)) await objects.put(key, new Uint8Array())
      await isWhole(objects, some, countMax)
    }),
  )
})

test('in a folder', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-repositories-'))
  try {
    const objects = new FilesystemObjectStore({ folder })
    await objects.start()
    const some = ['app', 'app/0', 'app/app', 'app-b', 'app.io/a', 'z9']
    for (const key of some.flatMap(keysOf)) await objects.put(key, new Uint8Array())
    for (const countMax of [1, 2, 10]) await isWhole(objects, some, countMax)
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('with thousands of blobs in one, a page asks the store a few times', async () => {
  const objects = new MapObjectStore()
  for (let n = 0; n < 3_000; n++) await objects.put(`repos/app/_blobs/sha256/${n}`, new Uint8Array())
  await objects.put('repos/other/_tags/v1', new Uint8Array())
  await isWhole(objects, ['app', 'other'], 10)
  expect(objects.calls.list).toBeLessThan(5)
})

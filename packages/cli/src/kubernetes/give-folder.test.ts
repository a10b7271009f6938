/** Goal: a folder that the kubelet made for root, and all in it, belongs to the agent's user; links lead nowhere. */
import { lstat, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { giveFolder } from './give-folder.ts'

const owner = { user: 65_532, group: 65_532 }
const isRoot = process.getuid?.() === 0
const { signal } = new AbortController()
let outer: string
let folder: string
beforeEach(async () => {
  outer = await mkdtemp(join(tmpdir(), 'shoal-own-'))
  folder = join(outer, 'cache')
  await mkdir(join(folder, 'pieces'), { recursive: true })
  await writeFile(join(folder, 'pieces', 'a'), '')
  await writeFile(join(outer, 'not-ours'), '')
  await symlink(join(outer, 'not-ours'), join(folder, 'link'))
})
afterEach(() => rm(outer, { recursive: true }))
const ownerOf = async (...names: string[]) => (await lstat(join(...names))).uid

test('a folder that is its own already is left alone', async () => {
  const { uid, gid } = await lstat(folder)
  expect(await giveFolder(folder, { user: uid, group: gid }, signal)).toBe(false)
})

test('a folder that is not there is told', async () => {
  const asked = giveFolder(join(outer, 'absent'), owner, signal)
  await expect(asked).rejects.toThrow(/absent cannot be given to 65532:65532 .*CAP_CHOWN/)
})

describe.skipIf(!isRoot)('as root', () => {
  test('everything in it changes hands, what links point to does not', async () => {
    expect(await giveFolder(folder, owner, signal)).toBe(true)
    expect(await giveFolder(folder, owner, signal)).toBe(false)
    for (const name of ['', 'pieces', 'pieces/a', 'link']) expect(await ownerOf(folder, name)).toBe(65_532)
    expect(await ownerOf(outer, 'not-ours')).toBe(0)
    expect(await ownerOf(outer)).toBe(0)
  })
})

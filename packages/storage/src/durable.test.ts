import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { expect, it } from 'vitest'
import { makeFolder } from './durable.ts'

it.each(['c', 'c/d/e', './c'])('makes the folder %s, named from here or from the root', async (name) => {
  const root = await mkdtemp(join(tmpdir(), 'shoal-durable-'))
  const folder = join(root, name)
  await makeFolder(relative(process.cwd(), folder))
  await makeFolder(folder)
  expect((await stat(folder)).isDirectory()).toBe(true)
  await rm(root, { recursive: true })
})

/**
 * Goal: a file that would disturb others in its process is given one of its own, and no other file is.
 * Method: files in a folder, one for each reason.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { filesOfTheirOwn } from './files-of-their-own.ts'
import { temporaryFolder } from './temporary-folder.ts'

it('are those that replace modules, measure memory, or change the working folder', async () => {
  await using folder = await temporaryFolder('files-of-their-own')
  // In parts, since this file would be found otherwise.
  const contents = {
    'modules.test.ts': ['vi', ".mock('node:fs')"],
    'memory.test.ts': ['const rss = process', '.memoryUsage.rss()'],
    'folder.test.ts': ['process', ".chdir('/')"],
    'functions.test.ts': ['vi', '.fn()'],
    'memory.ts': ['process', '.memoryUsage()'],
  }
  await mkdir(join(folder.path, 'src'))
  for (const [name, parts] of Object.entries(contents))
    await writeFile(join(folder.path, 'src', name), parts.join(''))
  expect(filesOfTheirOwn(folder.path, ['src/*.test.ts'])).toEqual([
    'src/folder.test.ts',
    'src/memory.test.ts',
    'src/modules.test.ts',
  ])
})

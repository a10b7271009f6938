/**
 * Goal: a folder belongs to one process, which is named to others, and to nobody once that process is gone, however it went.
 * Method: this process and others that take the lock, one of them killed.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { FolderHeldError } from './errors.ts'
import { lockFolder } from './folder-lock.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-lock-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const MODULE = fileURLToPath(new URL('../dist/folder-lock.js', import.meta.url))

/** Another process that holds the lock, once this resolves. */
async function holder(): Promise<ChildProcess> {
  const program = `
    const { lockFolder } = await import(${JSON.stringify(MODULE)})
    await lockFolder(${JSON.stringify(folder)}, 'seeder')
    process.stdout.write('held')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout!, 'data')
  return child
}

it('is taken once, and named to who comes second', async () => {
  const lock = await lockFolder(folder, 'seeder')
  expect(lock.problem).toBeUndefined()
  const second = lockFolder(folder, 'seeder')
  await expect(second).rejects.toThrow(FolderHeldError)
  await expect(second).rejects.toThrow(`seeder, process ${process.pid} on `)
  await lock.release()
  await (await lockFolder(folder, 'agent')).release()
})

it('is free again when its process was killed', async () => {
  const child = await holder()
  await expect(lockFolder(folder, 'seeder')).rejects.toThrow(`process ${child.pid} on `)
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
  await (await lockFolder(folder, 'seeder')).release()
})

it('has one winner of many who come at once', async () => {
  const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => lockFolder(folder, 'seeder')))
  const won = outcomes.filter(({ status }) => status === 'fulfilled')
  expect(won).toHaveLength(1)
  await (won[0] as PromiseFulfilledResult<{ release(): Promise<void> }>).value.release()
})

it('says why where there is no lock to be had, and keeps nobody out', async () => {
  await writeFile(join(folder, '~lock'), 'something else'.repeat(100))
  const lock = await lockFolder(folder, 'seeder')
  expect(lock.problem).toContain('not a database')
  await lock.release()
})

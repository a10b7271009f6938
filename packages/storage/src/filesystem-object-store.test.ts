import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { StorageUnavailableError } from './errors.ts'
import { FilesystemObjectStore } from './filesystem-object-store.ts'
import { objectStoreContract } from './testing/object-store-contract.ts'

async function open() {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-objects-'))
  const store = new FilesystemObjectStore({ folder })
  await store.start()
  return {
    folder,
    store,
    async close() {
      await store.stop()
      await rm(folder, { recursive: true })
    },
  }
}

objectStoreContract('a folder', open)

describe('a folder', () => {
  it('is swept of what a process that died left half written, and of nothing else', async () => {
    const { folder, store, close } = await open()
    await store.put('a/b', Buffer.from('kept'))
    const writer = await store.createWriter('a/c')
    await writer.write(Buffer.from('half'))
    const again = new FilesystemObjectStore({ folder })
    await again.start()
    expect(await readdir(join(folder, '~staging'))).toEqual([])
    expect((await again.list('', { keysMax: 10 })).keys).toEqual(['a/b'])
    await writer.abort()
    await close()
  })

  it('keeps no empty folders, and does not trip over one that is in use again', async () => {
    const { folder, store, close } = await open()
    await Promise.all(
      Array.from({ length: 50 }, async (_, n) => {
        await store.put(`deep/er/${n % 5}`, Buffer.from('x'))
        await store.delete(`deep/er/${n % 5}`)
      }),
    )
    for (let n = 0; n < 5; n++) await store.delete(`deep/er/${n}`)
    expect((await readdir(folder)).sort()).toEqual(['~checkpoints', '~staging'])
    await close()
  })

  it('says so when it cannot be used', async () => {
    const { folder, close } = await open()
    await writeFile(join(folder, 'file'), '')
    await expect(new FilesystemObjectStore({ folder: join(folder, 'file') }).start()).rejects.toThrow(
      StorageUnavailableError,
    )
    await close()
  })

  it('holds no key below another key', async () => {
    const { folder, store, close } = await open()
    await store.put('a', Buffer.from('x'))
    await expect(store.put('a/b', Buffer.from('y'))).rejects.toThrow(StorageUnavailableError)
    expect(await store.stat('a/b')).toBeUndefined()
    await mkdir(join(folder, 'folder'))
    expect(await store.read('folder')).toBeUndefined()
    await close()
  })
})

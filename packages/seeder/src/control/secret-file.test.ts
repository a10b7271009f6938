/** Goal: secrets rotate while the seeder runs, and a file that cannot be read lets nobody in. */
import { mkdtemp, rename, rm, symlink, unlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SecretFile, SecretFileError } from './secret-file.ts'

let folder: string
let path: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-secrets-'))
  path = join(folder, 'secrets')
})
afterEach(() => rm(folder, { recursive: true }))

/** Written so long after the beginning. */
async function write(text: string, seconds = 0, file = path): Promise<void> {
  await writeFile(file, text)
  await utimes(file, 1_000_000 + seconds, 1_000_000 + seconds)
}

describe('the file', () => {
  it.each([
    ['one\n', ['one']],
    ['one', ['one']],
    ['one\ntwo\n', ['one', 'two']],
    ['# of CI\n\n  one  \r\n#two\r\n\r\n', ['one']],
    ['with spaces inside # and this\n', ['with spaces inside # and this']],
    ['', []],
    ['# nothing but words\n\n', []],
  ])('%j means %j', async (text, secrets) => {
    await write(text)
    expect(await new SecretFile(path).secrets()).toEqual(secrets)
  })

  it('that nobody named has no secrets', async () => {
    expect(await new SecretFile('').secrets()).toEqual([])
  })

  it('that is missing is an error, not an empty one; it counts from when it is there', async () => {
    const file = new SecretFile(path)
    await expect(file.secrets()).rejects.toThrow(SecretFileError)
    await write('one')
    expect(await file.secrets()).toEqual(['one'])
    await unlink(path)
    await expect(file.secrets()).rejects.toMatchObject({
      code: 'SEEDER_SECRET_FILE',
      message: expect.stringContaining(path),
    })
  })

  it('that is too long, or no file, is an error that holds nothing of it', async () => {
    await write('secret '.repeat(10_000))
    const error: Error = await new SecretFile(path).secrets().then(
      () => new Error('it was read'),
      (thrown) => thrown,
    )
    expect(error).toBeInstanceOf(SecretFileError)
    expect(error.message).toMatch(/longer than 65536 bytes$/)
    expect(error.message).not.toContain('secret secret')
    await expect(new SecretFile(folder).secrets()).rejects.toThrow(SecretFileError)
  })

  it('may be just as long', async () => {
    await write(`${'x'.repeat(65_535)}\n`)
    expect((await new SecretFile(path).secrets())[0]).toHaveLength(65_535)
  })
})

describe('a rotation', () => {
  it('counts at once: the old secret and the new, then the new alone', async () => {
    const file = new SecretFile(path)
    await write('old')
    expect(await file.secrets()).toEqual(['old'])
    await write('old\nnew', 1)
    expect(await file.secrets()).toEqual(['old', 'new'])
    await write('new', 2)
    expect(await file.secrets()).toEqual(['new'])
  })

  it('back to an older file counts as well', async () => {
    const file = new SecretFile(path)
    await write('new', 10)
    await file.secrets()
    await write('old', 0)
    expect(await file.secrets()).toEqual(['old'])
  })

  it('by a link that points elsewhere counts, also where all files are equally old', async () => {
    // Kubernetes changes a link; images and Nix give every file the same time.
    const [first, second] = [join(folder, 'first'), join(folder, 'second')]
    await write('one', 0, first)
    await write('two', 0, second)
    await symlink(first, path)
    const file = new SecretFile(path)
    expect(await file.secrets()).toEqual(['one'])
    await symlink(second, `${path}.new`)
    await rename(`${path}.new`, path)
    expect(await file.secrets()).toEqual(['two'])
  })

  it('to a file that is too long is an error: the old secrets do not count any more', async () => {
    const file = new SecretFile(path)
    await write('one')
    await file.secrets()
    await write('x'.repeat(70_000), 1)
    await expect(file.secrets()).rejects.toThrow(SecretFileError)
  })
})

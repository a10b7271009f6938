/**
 * Goal: a tar is indexed by its headers alone, and one that is cut, hostile or none at all says so.
 * Method: tars of tar-stream and hand-made ones, written to a file, indexed, and read back where the index says.
 */
import { mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FixtureEntry, type FixtureFiles, tarOf } from '../testing/image-fixtures.ts'
import { ArchiveFormatError, ArchiveLimitError, ArchivePathError, ArchiveTruncatedError } from './errors.ts'
import { tarFiles } from './tar-files.ts'
import { ENTRIES_MAX } from './tar-index.ts'

const BLOCK_BYTES = 512
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-tar-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function openTar(bytes: Buffer, signal = new AbortController().signal) {
  const path = join(folder, 'a.tar')
  await writeFile(path, bytes)
  return tarFiles({ file: await open(path), path, signal })
}

async function read(bytes: Buffer, name: string): Promise<string | undefined> {
  await using files = await openTar(bytes)
  const chunks: Uint8Array[] = []
  const file = await files.find(name)
  if (file === undefined) return undefined
  for await (const chunk of file.open()) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

const named = (entries: Record<string, string>): FixtureFiles =>
  new Map(Object.entries(entries).map(([name, text]) => [name, Buffer.from(text)]))

describe('a file of a tar', () => {
  test('is found by its name, whatever its length and its neighbours', async () => {
    const sizes = [0, 1, 511, 512, 513, 70_000, 2_500_000]
    const files = named(Object.fromEntries(sizes.map((size) => [`d/${size}`, 'x'.repeat(size)])))
    const tar = await tarOf(files, [{ name: 'd/', type: 'directory' }])
    for (const size of sizes) expect((await read(tar, `d/${size}`))?.length).toBe(size)
    expect(await read(tar, 'd')).toBeUndefined()
    expect(await read(tar, 'other')).toBeUndefined()
  })

  test('has a name of any form: ./ in front, or longer than a header has room for', async () => {
    const long = `${'folder/'.repeat(60)}ä`
    const tar = await tarOf(named({ './a': 'one', [long]: 'two' }))
    expect(await read(tar, 'a')).toBe('one')
    expect(await read(tar, long)).toBe('two')
  })

  test('is the last of its name', async () => {
    const twice = Buffer.concat([
      (await tarOf(named({ a: 'one' }))).subarray(0, 2 * BLOCK_BYTES),
      await tarOf(named({ a: 'two' })),
    ])
    expect(await read(twice, 'a')).toBe('two')
  })

  test('is reached through links that stay inside', async () => {
    const links: FixtureEntry[] = [
      { name: 'x/symbolic', type: 'symlink', linkname: '../a' },
      { name: 'x/hard', type: 'link', linkname: 'x/symbolic' },
      { name: 'loop', type: 'symlink', linkname: 'loop' },
    ]
    const tar = await tarOf(named({ a: 'one' }), links)
    expect(await read(tar, 'x/symbolic')).toBe('one')
    expect(await read(tar, 'x/hard')).toBe('one')
    await expect(read(tar, 'loop')).rejects.toThrow(/leads nowhere/)
  })
})

describe('refused is', () => {
  test.each<[string, FixtureEntry]>([
    ['a name with ..', { name: 'a/../../b', type: 'directory' }],
    ['an absolute name', { name: '/etc/passwd', type: 'directory' }],
    ['a symbolic link out of it', { name: 'a/b', type: 'symlink', linkname: '../../c' }],
    ['an absolute symbolic link', { name: 'a/b', type: 'symlink', linkname: '/etc/passwd' }],
    ['a hard link out of it', { name: 'a/b', type: 'link', linkname: '../c' }],
  ])('%s', async (_what, header) => {
    await expect(openTar(await tarOf(new Map(), [header]))).rejects.toThrow(ArchivePathError)
  })

  test('one that is cut, anywhere but between two files', async () => {
    const tar = await tarOf(named({ a: 'x'.repeat(1_000), b: 'y' }))
    for (const cut of [600, 1_500, 1_536 + 100])
      await expect(openTar(tar.subarray(0, cut)), `${cut}`).rejects.toThrow(ArchiveTruncatedError)
    expect(await read(tar.subarray(0, 1_536), 'a')).toHaveLength(1_000)
  })

  test('one that is cut after it was indexed', async () => {
    await using files = await openTar(await tarOf(named({ a: 'x'.repeat(3_000_000) })))
    await truncate(files.path, 2_000_000)
    const reading = async () => {
      for await (const _ of (await files.find('a'))!.open());
    }
    await expect(reading()).rejects.toThrow(ArchiveTruncatedError)
  })

  test('one that claims more than there is', async () => {
    const [header] = [await tarOf(named({ a: '' }))]
    // Base 256: eight exabytes.
    Buffer.from([0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).copy(header!, 124)
    await expect(openTar(withChecksum(header!))).rejects.toThrow(/ends in the middle|not a tar/)
  })

  test('what is no tar', async () => {
    await expect(openTar(Buffer.alloc(4_096, 'no tar'))).rejects.toThrow(ArchiveFormatError)
    await expect(openTar(Buffer.from('short'))).rejects.toThrow(ArchiveFormatError)
    await expect(openTar(Buffer.alloc(0))).rejects.toThrow(ArchiveFormatError)
  })

  test('one that has too many files, before the rest of it is looked at', async () => {
    const [block] = [(await tarOf(named({ a: '' }))).subarray(0, BLOCK_BYTES)]
    const bomb = Buffer.alloc((ENTRIES_MAX + 1) * BLOCK_BYTES)
    for (let at = 0; at < bomb.length; at += BLOCK_BYTES) block!.copy(bomb, at)
    await expect(openTar(bomb)).rejects.toThrow(ArchiveLimitError)
  }, 60_000)

  test('one whose reading is interrupted', async () => {
    const reason = new Error('enough')
    await expect(openTar(await tarOf(named({ a: 'x' })), AbortSignal.abort(reason))).rejects.toBe(reason)
  })
})

/** The sum of a header's bytes, with spaces where it stands. */
function withChecksum(tar: Buffer): Buffer {
  tar.fill(' ', 148, 156)
  const sum = tar.subarray(0, BLOCK_BYTES).reduce((total, byte) => total + byte, 0)
  tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return tar
}

/** Goal: the token is what the person meant, the URL is a seeder's, and no message repeats a secret. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SeederUrlError, TokenError } from './errors.ts'
import { seederUrlOf } from './seeder-url.ts'
import { readToken } from './token.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-token-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function file(text: string): Promise<string> {
  const path = join(folder, 'token')
  await writeFile(path, text)
  return path
}

describe('a token', () => {
  test('comes from the file before the variable, without the end of its line', async () => {
    for (const text of ['abc', 'abc\n', 'abc\r\n'])
      expect(await readToken(await file(text), { SHOAL_API_TOKEN: 'other' })).toBe('abc')
    expect(await readToken(undefined, { SHOAL_API_TOKEN: 'other' })).toBe('other')
  })

  test.each([
    ['', 'it is empty'],
    ['\n', 'it is empty'],
    ['secret word', 'spaces'],
    ['secret\nsecond\n', 'line breaks'],
    ['sécret', 'beyond ASCII'],
    [`secret${'x'.repeat(5_000)}`, 'longer than 4096'],
  ])('is refused as %j', async (text, reason) => {
    const error = await readToken(await file(text), {}).catch((thrown: Error) => thrown)
    expect(error).toBeInstanceOf(TokenError)
    expect(String(error)).toContain(reason)
    expect(String(error)).not.toMatch(/secret|sécret/)
  })

  test('that is nowhere is asked for', async () => {
    for (const variables of [{}, { SHOAL_API_TOKEN: '' }])
      await expect(readToken(undefined, variables)).rejects.toThrow('--token-file FILE or SHOAL_API_TOKEN')
    await expect(readToken(join(folder, 'none'), {})).rejects.toThrow('it cannot be read: ENOENT')
    await expect(readToken(folder, {})).rejects.toThrow(TokenError)
  })
})

describe('the seeder’s URL', () => {
  test('comes from the flag, the variable or the default', () => {
    expect(seederUrlOf('https://a/', { SHOAL_SEEDER: 'http://b' })).toBe('https://a')
    expect(seederUrlOf(undefined, { SHOAL_SEEDER: 'http://b:7000/shoal/' })).toBe('http://b:7000/shoal')
    expect(seederUrlOf(undefined, { SHOAL_SEEDER: '' })).toBe('http://127.0.0.1:7000')
  })

  test.each(['', 'seeder:7000', 'ftp://a', 'http://ci:secret@a', 'http://a/?x=secret', 'http://a/#x'])(
    'is none of %j',
    (text) => {
      expect(() => seederUrlOf(text, {})).toThrow(SeederUrlError)
      expect(() => seederUrlOf(text, {})).toThrow(/^(?!.*secret)--seeder: /)
      if (text !== '') expect(() => seederUrlOf(undefined, { SHOAL_SEEDER: text })).toThrow('SHOAL_SEEDER: ')
    },
  )
})

/**
 * Goal: `shoal publish` is a good command for scripts: results on stdout, errors alone on stderr, a status that tells what
 * was typed wrong (2) from what failed (1), and a token that is nowhere.
 * Method: the built command against a stub of a seeder.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  answerJson,
  answerLines,
  beginLines,
  type SeederStub,
  startSeederStub,
} from '../testing/seeder-stub.ts'
import { startShoal } from '../testing/shoal-process.ts'

const TOKEN = 'very-secret-token'
const digest = `sha256:${'1'.repeat(64)}`
let stub: SeederStub
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-publish-command-'))
})
beforeEach(async () => {
  stub = await startSeederStub()
})
afterEach(() => stub[Symbol.asyncDispose]())
afterAll(() => rm(folder, { recursive: true, force: true }))

const start = (...args: string[]) =>
  startShoal(['publish', ...args], { SHOAL_SEEDER: stub.url, SHOAL_API_TOKEN: TOKEN })
const publish = async (...args: string[]) => {
  const ended = await start(...args).ended
  expect(ended.out + ended.err).not.toContain(TOKEN)
  return ended
}
const published = (reference: string) => ({
  type: 'published',
  reference,
  digest,
  copiedBytes: 5,
  presentBytes: 3,
})
const failed = { type: 'failed', reference: 'b:latest', code: 'UPSTREAM_DENIED', message: 'not\nallowed' }
const end = (publishedCount: number, failedCount: number) => ({
  type: 'end',
  published: publishedCount,
  failed: failedCount,
})

describe('shoal publish', () => {
  test('hands the references over and ends, the whole request as it was typed', async () => {
    stub.answer = answerJson(202, { accepted: ['ghcr.io/team/app:1', 'b:latest'] })
    const args = ['ghcr.io/team/app:1', 'b', 'b:latest', '--from', 'docker.io/library/b']
    const platforms = ['--platform', 'linux/amd64', '--platform', 'linux/arm64/v8']
    expect(await publish(...args, ...platforms, '--warm', 'zone=eu-1a')).toEqual({
      status: 0,
      out: 'ghcr.io/team/app:1\nb:latest\n',
      err: '',
    })
    expect(stub.questions).toHaveLength(1)
    expect(stub.questions[0]).toMatchObject({
      line: 'POST /api/v1/publish',
      headers: { authorization: `Bearer ${TOKEN}` },
    })
    expect(JSON.parse(stub.questions[0]!.body)).toEqual({
      references: ['ghcr.io/team/app:1', 'b:latest'],
      from: 'docker.io/library/b',
      platforms: ['linux/amd64', 'linux/arm64/v8'],
      warm: 'zone=eu-1a',
      wait: false,
    })
  })

  test('prints what was accepted with --json', async () => {
    stub.answer = answerJson(202, { accepted: ['a:1'] })
    expect(await publish('a:1', '--json')).toEqual({ status: 0, out: '{"accepted":["a:1"]}\n', err: '' })
  })

  test('with --wait prints each reference with its digest', async () => {
    stub.answer = answerLines([published('a:1'), published(`c@${digest}`), end(2, 0)])
    const out = `a:1@${digest}\nc@${digest}\n`
    expect(await publish('a:1', `c@${digest}`, '--wait')).toEqual({ status: 0, out, err: '' })
    expect(JSON.parse(stub.questions[0]!.body)).toMatchObject({ wait: true })
  })

  test('ends with 1 when one of several failed, and says why', async () => {
    stub.answer = answerLines([failed, published('a:1'), end(1, 1)])
    expect(await publish('a:1', 'b', '--wait')).toEqual({
      status: 1,
      out: `a:1@${digest}\n`,
      err: 'error: b:latest: not allowed (UPSTREAM_DENIED)\n',
    })
  })

  test('with --wait --json prints one line with both kinds', async () => {
    stub.answer = answerLines([failed, published('a:1'), end(1, 1)])
    const { status, out } = await publish('a:1', 'b', '--wait', '--json')
    expect(status).toBe(1)
    expect(out.split('\n')).toEqual([expect.any(String), ''])
    expect(JSON.parse(out)).toEqual({
      published: [{ reference: 'a:1', digest, copiedBytes: 5, presentBytes: 3 }],
      failed: [{ reference: 'b:latest', code: 'UPSTREAM_DENIED', message: 'not allowed' }],
    })
  })

  test('reads the token from a file before the variable, and the seeder from the flag', async () => {
    stub.answer = answerJson(202, { accepted: ['a:1'] })
    const file = join(folder, 'token')
    await writeFile(file, 'from-the-file\n')
    const env = { SHOAL_SEEDER: 'http://127.0.0.1:1', SHOAL_API_TOKEN: TOKEN }
    const args = ['publish', 'a:1', '--token-file', file, '--seeder', stub.url]
    expect((await startShoal(args, env).ended).status).toBe(0)
    expect(stub.questions[0]!.headers.authorization).toBe('Bearer from-the-file')
  })

  test.each<[string, string[]]>([
    ['no reference', []],
    ['a reference that is none', ['Team/App:1']],
    ['a URL for a reference', ['https://ghcr.io/a:1']],
    ['a source without a registry', ['a:1', '--from', 'library/a']],
    ['a source with a tag', ['a:1', '--from', 'docker.io/library/a:1']],
    ['a platform that is none', ['a:1', '--platform', 'amd64']],
    ['an empty selector', ['a:1', '--warm', '']],
    ['a seeder that is no URL', ['a:1', '--seeder', 'seeder:7000']],
    ['a seeder with a password', ['a:1', '--seeder', `http://ci:${TOKEN}@seeder:7000`]],
    ['a token file that is not there', ['a:1', '--token-file', '/nowhere/token']],
    ['a flag that is none', ['a:1', '--now']],
    ['more references than are allowed', Array.from({ length: 257 }, (_, n) => `a:${n}`)],
  ])('ends with 2 on %s', async (_what, args) => {
    const { status, out, err } = await publish(...args)
    expect({ status, out }).toEqual({ status: 2, out: '' })
    expect(err).toMatch(/^error: /)
    expect(stub.questions).toEqual([])
  })

  test('ends with 2 without a token', async () => {
    const { status, err } = await startShoal(['publish', 'a:1'], { SHOAL_API_TOKEN: '' }).ended
    expect(status).toBe(2)
    expect(err).toBe(
      'error: no token: give the seeder’s API token with --token-file FILE or SHOAL_API_TOKEN\n',
    )
  })

  test.each<[string, SeederStub['answer'], string]>([
    [
      'the token is wrong',
      answerJson(401, { code: 'API_TOKEN_INVALID', message: `not ${TOKEN}` }),
      'answered with 401: not … (API_TOKEN_INVALID); check --token-file or SHOAL_API_TOKEN',
    ],
    [
      'the seeder has none',
      answerJson(403, { code: 'API_TOKEN_UNSET', message: 'none' }),
      'configure a token at the seeder',
    ],
    ['the stream is cut', answerLines([published('a:1')]), 'cut off before everything was published'],
    [
      'the end counts otherwise',
      answerLines([end(1, 0)]),
      'it counts 1 published and 0 failed, and told of 0',
    ],
    ['an image is not told of', answerLines([published('a:1'), end(1, 0)]), 'it told of 1 of 2 images'],
    [
      'images are told of again and again',
      answerLines([published('a:1'), published('a:1'), published('a:1')]),
      'more than the 2 images',
    ],
  ])('ends with 1 when %s', async (_what, answer, message) => {
    stub.answer = answer
    const { status, out, err } = await publish('a:1', 'b:1', '--wait')
    expect({ status, out }).toEqual({ status: 1, out: '' })
    expect(err).toMatch(/^error: .*\n$/)
    expect(err).toContain(message)
  })

  test('ends with 1 when nobody answers', async () => {
    const { status, out, err } = await publish('a:1', '--seeder', 'http://127.0.0.1:1')
    expect({ status, out }).toEqual({ status: 1, out: '' })
    expect(err).toMatch(
      /^error: the seeder at http:\/\/127\.0\.0\.1:1 cannot be reached: connect ECONNREFUSED/,
    )
  })

  test.each(['SIGINT', 'SIGTERM'] as const)('ends its waiting on %s, and says so', async (signal) => {
    const asked = Promise.withResolvers<void>()
    stub.answer = (_question, response) => {
      beginLines(response, [published('a:1')])
      asked.resolve()
    }
    const { child, ended } = start('a:1', 'b:1', '--wait')
    await asked.promise
    child.kill(signal)
    expect(await ended).toEqual({
      status: signal === 'SIGINT' ? 130 : 143,
      out: '',
      err: `${signal}: no longer waited for; what the seeder was asked for it goes on with\n`,
    })
  })
})

/**
 * Goal: whatever listens at the seeder's address, the client ends in bounded time with what was meant or an error that says
 * what to do, and the token is in none.
 * Method: a stub on a real socket that is right, wrong, cut off and silent.
 */
import type { ServerResponse } from 'node:http'
import { type GarbageReport, PUBLISH_LINE_BYTES_MAX, type PublishLine } from '@shoal/wire'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  answerJson,
  answerLines,
  beginLines,
  type SeederStub,
  startSeederStub,
} from '../testing/seeder-stub.ts'
import {
  type ControlTarget,
  collectGarbage,
  followPublish,
  openControlConnections,
  requestPublish,
} from './control-client.ts'
import {
  PublishCutError,
  SeederAnswerError,
  SeederRefusedError,
  SeederSilentError,
  SeederUnreachableError,
} from './errors.ts'

const TOKEN = 'very-secret-token'
const digest = `sha256:${'1'.repeat(64)}` as const
const reference = 'app:1'
const published = { type: 'published', reference, digest, copiedBytes: 5, presentBytes: 0 }
const end = { type: 'end', published: 1, failed: 0 }
const report: GarbageReport = {
  isDryRun: false,
  manifests: 1,
  neededBlobs: 2,
  leasedBlobs: 3,
  removedBlobs: 4,
  removedBytes: 5,
  removedContents: 6,
  removedLinks: 7,
  abandonedUploads: 8,
}

let stub: SeederStub
const client = openControlConnections()
const target = (more: Partial<ControlTarget> = {}): ControlTarget => ({
  client,
  seederUrl: stub.url,
  token: TOKEN,
  signal: AbortSignal.timeout(20_000),
  silentMsMax: 10_000,
  ...more,
})
const seen: PublishLine[] = []
const follow = (more?: Partial<ControlTarget>) =>
  followPublish(target(more), { references: [reference] }, (line) => seen.push(line))
const failureOf = (work: Promise<unknown>) =>
  work.then(
    () => expect.unreachable('it should fail'),
    (error: Error) => error,
  )

beforeEach(async () => {
  stub = await startSeederStub()
  seen.length = 0
})
afterEach(() => stub[Symbol.asyncDispose]())
afterAll(() => client.close())

describe('a garbage collection', () => {
  test.each([true, false])('is asked for with dryRun=%s', async (isDryRun) => {
    stub.answer = answerJson(200, { ...report, isDryRun })
    expect(await collectGarbage(target(), { isDryRun })).toEqual({ ...report, isDryRun })
    expect(stub.questions).toMatchObject([
      { line: `POST /api/v1/gc?dryRun=${isDryRun}`, headers: { authorization: `Bearer ${TOKEN}` }, body: '' },
    ])
  })

  test('is asked for below the path where the seeder is', async () => {
    stub.answer = answerJson(200, report)
    await collectGarbage(target({ seederUrl: `${stub.url}/shoal` }), { isDryRun: false })
    expect(stub.questions[0]?.line).toBe('POST /shoal/api/v1/gc?dryRun=false')
  })

  test.each<[number, object, string]>([
    [
      401,
      { code: 'API_TOKEN_INVALID', message: 'no such token' },
      'no such token (API_TOKEN_INVALID); check --tok',
    ],
    [
      403,
      { code: 'API_TOKEN_UNSET', message: 'none is set' },
      'API_TOKEN_UNSET); configure a token at the seeder',
    ],
    [409, { code: 'GC_BUSY' }, 'answered with 409: GC_BUSY; a garbage collection is under way already'],
    [
      500,
      { code: 'INTERNAL', message: `\u001b[2Jyou sent ${TOKEN}\nand lost` },
      '500: [2Jyou sent … and lost (INT',
    ],
  ])('that is refused with %i says what to do', async (status, body, expected) => {
    stub.answer = answerJson(status, body)
    const error = await failureOf(collectGarbage(target(), { isDryRun: false }))
    expect(error).toBeInstanceOf(SeederRefusedError)
    expect(error.message).toContain(expected)
    expect(error.message).not.toContain(TOKEN)
  })

  test.each<[string, SeederStub['answer']]>([
    ['a page', (_q, response) => response.writeHead(404).end(`<html>Bearer ${TOKEN}</html>`)],
    ['a redirect', (_q, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()],
    ['another report', answerJson(200, { ...report, manifests: 'many' })],
    ['no JSON', (_q, response) => response.writeHead(200).end('{')],
    ['too long a body', (_q, response) => response.writeHead(200).end(Buffer.alloc(1024 ** 2 + 1))],
  ])('that is answered by %s is none', async (_what, answer) => {
    stub.answer = answer
    const error = await failureOf(collectGarbage(target(), { isDryRun: false }))
    expect(error).toBeInstanceOf(SeederAnswerError)
    expect(error.message).toContain('is it a seeder, of the same version')
    expect(error.message).not.toContain(TOKEN)
  })

  test('that nobody answers says whom it asked', async () => {
    const error = await failureOf(
      collectGarbage(target({ seederUrl: 'http://127.0.0.1:1' }), { isDryRun: false }),
    )
    expect(error).toBeInstanceOf(SeederUnreachableError)
    expect(error.message).toBe(
      'the seeder at http://127.0.0.1:1 cannot be reached: connect ECONNREFUSED 127.0.0.1:1; check --seeder or SHOAL_SEEDER',
    )
  })

  test('ends when the seeder is silent', async () => {
    stub.answer = () => {}
    const error = await failureOf(collectGarbage(target({ silentMsMax: 50 }), { isDryRun: false }))
    expect(error).toBeInstanceOf(SeederSilentError)
    expect(error.message).toContain('said nothing for 0.05 s')
  })
})

describe('a publish that nobody waits for', () => {
  test('is taken', async () => {
    stub.answer = answerJson(202, { accepted: [reference] })
    const wanted = { references: [reference], platforms: ['linux/amd64'], from: 'docker.io/library/app' }
    expect(await requestPublish(target(), wanted)).toEqual([reference])
    expect(JSON.parse(stub.questions[0]!.body)).toEqual({ ...wanted, wait: false })
    expect(stub.questions[0]!.headers['content-type']).toBe('application/json')
  })
})

describe('a publish that is waited for', () => {
  test('tells every line, passes over empty ones, and ends with the end', async () => {
    const image = { type: 'image', reference, digest, layers: [{ digest, bytes: 5 }] }
    const layer = { type: 'layer', reference, digest, receivedBytes: 5, state: 'done' }
    stub.answer = (_question, response) => {
      beginLines(response, [image])
      response.write('\n \r\n')
      // What comes after the end is nobody's.
      response.end(`${[layer, published, end].map((line) => JSON.stringify(line)).join('\r\n')}\n{{{`)
    }
    expect(await follow()).toEqual(end)
    expect(seen).toEqual([image, layer, published])
    expect(JSON.parse(stub.questions[0]!.body)).toEqual({ references: [reference], wait: true })
  })

  test.each<[string, (response: ServerResponse) => void, string]>([
    ['ends early', (response) => response.end(), 'there was no last line'],
    ['ends within a line', (response) => response.end('{"type":"end","pub'), 'in the middle of a line'],
    [
      'ends within the last line’s end',
      (response) => response.end(JSON.stringify(end)),
      'in the middle of a line',
    ],
    ['is torn off', (response) => setTimeout(() => response.destroy(), 20), ''],
  ])('is an error when the stream %s', async (_what, finish, reason) => {
    stub.answer = (_question, response) => finish(beginLines(response, [published]))
    const error = await failureOf(follow())
    expect(error).toBeInstanceOf(PublishCutError)
    expect(error.message).toContain(reason)
    expect(error.message).toContain('ask again, what is there already is not copied twice')
  })

  test.each<[string, string]>([
    ['no JSON', 'Bearer\n'],
    ['a line that is too long', 'x'.repeat(PUBLISH_LINE_BYTES_MAX + 1)],
    ['an unknown line', '{"type":"shutdown"}\n'],
  ])('is an error on %s', async (_what, text) => {
    stub.answer = (_question, response) => void beginLines(response, []).write(text)
    expect(await failureOf(follow())).toBeInstanceOf(SeederAnswerError)
  })

  test('is an error when the answer is of another type', async () => {
    stub.answer = answerJson(200, { published: [] })
    expect((await failureOf(follow())).message).toContain('its type is application/json')
  })

  test('takes bytes without a line for silence, and empty lines for life', async () => {
    const timers: NodeJS.Timeout[] = []
    stub.answer = (_question, response) => {
      beginLines(response, [])
      let count = 0
      timers.push(setInterval(() => response.write(++count <= 12 ? '\n' : ' '), 50))
    }
    const beganMs = performance.now()
    const error = await failureOf(follow({ silentMsMax: 400 }))
    for (const timer of timers) clearInterval(timer)
    expect(error).toBeInstanceOf(SeederSilentError)
    // Twelve empty lines in 600 ms, and the silence after the last.
    expect(performance.now() - beganMs).toBeGreaterThan(900)
  })

  test('ends with the reason of the signal', async () => {
    const stop = new AbortController()
    stub.answer = (_question, response) => {
      beginLines(response, [])
      stop.abort(new Error('enough'))
    }
    expect((await failureOf(follow({ signal: stop.signal }))).message).toBe('enough')
  })

  test('is answered in full by the stub’s plain lines', async () => {
    stub.answer = answerLines([published, end])
    expect(await follow()).toEqual(end)
  })
})

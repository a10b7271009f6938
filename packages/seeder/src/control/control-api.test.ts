/**
 * Goal: who shows the token is told in lines what happens while it happens; who does not changes nothing and learns nothing;
 * and nothing that a client sends or leaves unread is a failure of the seeder.
 * Method: the routes on a real socket, with a publisher and a garbage collection that do what the test says.
 */
import type { GarbageOutcome, ImageStore, ScrubReport } from '@shoal/registry'
import { StorageUnavailableError } from '@shoal/storage'
import { sha256 } from '@shoal/testing/content'
import { TriggerQueueFullError } from '@shoal/triggers'
import {
  CONTROL_BODY_BYTES_MAX,
  decodeControlRefusal,
  decodePublishLine,
  decodeScrubLine,
  type PublishLine,
} from '@shoal/wire'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { PublishError } from '../publishing/errors.ts'
import type { OnProgress, Published, PublishWish } from '../publishing/publisher.ts'
import { WarmSelectorInvalidError } from '../publishing/warm-selector.ts'
import {
  type ControlServer,
  postBare,
  type SecretFolder,
  secretsOf,
  startControlServer,
} from '../testing/control-server.ts'
import { silent } from '../testing/image-origin.ts'
import { controlApi } from './control-api.ts'
import { SecretFile } from './secret-file.ts'

const TOKEN = 'token-of-this-test'
const authorization = { authorization: `Bearer ${TOKEN}` }
const digest = sha256('an image')
const report = {
  isDryRun: false,
  manifests: 1,
  removedManifests: 9,
  untagged: [{ repository: 'team/app', digest }],
  neededBlobs: 2,
  leasedBlobs: 3,
  removedBlobs: 4,
  removedBytes: 5,
  removedContents: 6,
  removedLinks: 7,
  abandonedUploads: 8,
}

const scrubbed: ScrubReport = {
  blobs: 2,
  bytes: 3,
  mendedBlobs: 0,
  damagedBlobs: 1,
  damaged: [{ digest, damage: 'cut', repositories: ['team/app'] }],
}

type Publish = (wish: PublishWish, onProgress: OnProgress, signal: AbortSignal) => Promise<Published>

let secrets: SecretFolder
let server: ControlServer
let published: PublishWish[]
let enqueued: PublishWish[]
let publish: Publish
let enqueue: (wish: PublishWish) => Promise<void>
let collect: ImageStore['collectGarbage']
let scrub: ImageStore['scrub']

beforeEach(async () => {
  published = []
  enqueued = []
  publish = async () => ({ name: 'team/app', digest, copiedBytes: 1, presentBytes: 2 })
  enqueue = async () => {}
  collect = async ({ isDryRun }) => ({ kind: 'done', report: { ...report, isDryRun } })
  scrub = async () => scrubbed
  secrets = await secretsOf(`${TOKEN}\nthe-next-token\n`)
  server = await serve(secrets.path)
})
afterEach(async () => {
  vi.useRealTimers()
  await server[Symbol.asyncDispose]()
  await secrets[Symbol.asyncDispose]()
})

function serve(tokenFile: string): Promise<ControlServer> {
  return startControlServer((http) =>
    controlApi(http, {
      images: { collectGarbage: (options) => collect(options), scrub: (options) => scrub(options) },
      publisher: {
        publish: (wish, onProgress, signal) => {
          published.push(wish)
          return publish(wish, onProgress, signal)
        },
      },
      enqueue: async (wish) => {
        await enqueue(wish)
        enqueued.push(wish)
      },
      token: new SecretFile(tokenFile),
      log: silent,
    }),
  )
}

const post = (path: string, body?: unknown, headers: Record<string, string> = authorization) =>
  fetch(`${server.url}${path}`, {
    method: 'POST',
    headers,
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
const refusalOf = async (answer: Response) => decodeControlRefusal(await answer.text())
const wishFor = (...references: string[]) => ({ references, wait: true })
const linesOf = (text: string): PublishLine[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map(decodePublishLine)

describe('the token', () => {
  it.each([
    ['nothing', {}],
    ['another', { authorization: 'Bearer guess' }],
    ['no scheme', { authorization: TOKEN }],
    ['another scheme', { authorization: `Basic ${TOKEN}` }],
    ['a part of it', { authorization: `Bearer ${TOKEN.slice(0, -1)}` }],
    ['more than it', { authorization: `Bearer ${TOKEN}x` }],
    ['both of two', { authorization: `Bearer ${TOKEN}\tthe-next-token` }],
    ['none', { authorization: 'Bearer ' }],
  ])('%s is 401, and nothing is done', async (_what, headers) => {
    for (const path of ['/api/v1/publish', '/api/v1/gc']) {
      const answer = await post(path, wishFor('a:1'), headers)
      expect(answer.status).toBe(401)
      expect(answer.headers.get('www-authenticate')).toBe('Bearer')
      expect((await refusalOf(answer)).code).toBe('API_TOKEN_INVALID')
    }
    expect(published).toEqual([])
  })

  it('may be any of those in the file, in any case of the scheme', async () => {
    for (const given of [`Bearer ${TOKEN}`, 'Bearer the-next-token', `bearer ${TOKEN}`])
      expect((await post('/api/v1/gc', undefined, { authorization: given })).status).toBe(200)
  })

  it('is not set: 403 for everybody', async () => {
    await server[Symbol.asyncDispose]()
    server = await serve('')
    for (const headers of [{}, authorization, { authorization: 'Bearer ' }]) {
      const answer = await post('/api/v1/gc', undefined, headers as Record<string, string>)
      expect(answer.status).toBe(403)
      expect((await refusalOf(answer)).code).toBe('API_TOKEN_UNSET')
    }
  })

  it('cannot be read: that is the seeder’s failure, and where the file is stays its own business', async () => {
    await secrets[Symbol.asyncDispose]()
    const answer = await post('/api/v1/gc')
    expect(answer.status).toBe(500)
    const refusal = await refusalOf(answer)
    expect(refusal.code).toBe('SEEDER_SECRET_FILE')
    expect(JSON.stringify(refusal)).not.toContain(secrets.path)
  })

  it('is asked for before anything is read: a body without end is not waited for', async () => {
    const answer = await post('/api/v1/publish', 'x'.repeat(2 * CONTROL_BODY_BYTES_MAX), {}).catch(
      // The connection may be closed while the body is still being sent.
      () => undefined,
    )
    expect([undefined, 401]).toContain(answer?.status)
    expect((await post('/api/v1/gc')).status).toBe(200)
  })
})

describe('a scrub', () => {
  it('tells what is damaged, and its end; one at a time', async () => {
    const begun = Promise.withResolvers<void>()
    const go = Promise.withResolvers<void>()
    scrub = async () => {
      begun.resolve()
      await go.promise
      return scrubbed
    }
    const first = post('/api/v1/scrub')
    await begun.promise
    expect((await refusalOf(await post('/api/v1/scrub'))).code).toBe('SCRUB_BUSY')
    go.resolve()
    const lines = (await (await first).text()).split('\n').filter((line) => line !== '')
    expect(lines.map(decodeScrubLine)).toEqual([
      { type: 'damaged', digest, damage: 'cut', repositories: ['team/app'] },
      { type: 'end', blobs: 2, bytes: 3, mendedBlobs: 0, damagedBlobs: 1 },
    ])
    scrub = async () => {
      throw new Error('an inner secret')
    }
    const failed = await (await post('/api/v1/scrub')).text()
    expect(decodeScrubLine(failed.trim())).toMatchObject({ type: 'failed', code: 'UNKNOWN' })
    expect(failed).not.toContain('secret')
  })

  it('ends when the client leaves', async () => {
    const ended = Promise.withResolvers<void>()
    scrub = ({ signal } = {}) =>
      new Promise((_, reject) => {
        signal!.addEventListener('abort', () => {
          reject(signal!.reason)
          ended.resolve()
        })
      })
    const answer = await post('/api/v1/scrub')
    await answer.body!.cancel()
    await ended.promise
  })
})

describe('garbage', () => {
  it.each([
    ['', false],
    ['?dryRun=true', true],
    ['?dryRun=false', false],
  ])('is collected: %j', async (query, isDryRun) => {
    const answer = await post(`/api/v1/gc${query}`)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
    expect(await answer.json()).toEqual({ ...report, isDryRun })
  })

  it('that no tag reaches is removed when an age is given', async () => {
    const asked: unknown[] = []
    collect = async (options) => {
      asked.push(options)
      return { kind: 'done', report: { ...report, isDryRun: false } }
    }
    expect((await post('/api/v1/gc?untaggedForMs=5')).status).toBe(200)
    expect(asked).toEqual([{ isDryRun: false, untaggedForMs: 5 }])
    expect((await post('/api/v1/gc?untaggedForMs=soon')).status).toBe(400)
  })

  it('that is being collected is 409', async () => {
    collect = async () => ({ kind: 'busy' }) as GarbageOutcome
    const answer = await post('/api/v1/gc')
    expect(answer.status).toBe(409)
    expect((await refusalOf(answer)).code).toBe('GC_BUSY')
  })

  it('that cannot be collected is the seeder’s failure, not the client’s', async () => {
    collect = async () => {
      throw new StorageUnavailableError('the folder', 'is full')
    }
    const answer = await post('/api/v1/gc')
    expect(answer.status).toBe(500)
    expect((await refusalOf(answer)).code).toBe('STORAGE_UNAVAILABLE')
    collect = async () => {
      throw new Error('an inner secret')
    }
    const other = await post('/api/v1/gc')
    expect(other.status).toBe(500)
    expect(await refusalOf(other)).toEqual({ code: 'UNKNOWN', message: expect.stringContaining('log') })
  })
})

describe('a request to publish', () => {
  it.each([
    [''],
    ['{'],
    ['[]'],
    ['{}'],
    ['{"references":[],"wait":true}'],
    ['{"references":["a:1"]}'],
    ['{"references":["a 1"],"wait":true}'],
    ['{"references":["a:1"],"wait":true,"platforms":["linux"]}'],
    ['{"references":["a:1"],"wait":true,"more":1}'],
    [JSON.stringify({ references: Array(257).fill('a:1'), wait: true })],
  ])('%s is 400', async (body) => {
    const answer = await post('/api/v1/publish', body)
    expect(answer.status).toBe(400)
    expect((await refusalOf(answer)).code).toBe('REQUEST_INVALID')
    expect(published).toEqual([])
  })

  it.each([
    ['application/json'],
    ['application/json; charset=utf-8'],
    ['text/plain'],
    ['application/x-www-form-urlencoded'],
    ['application/octet-stream'],
    [undefined],
  ])('is JSON whatever it is called: %s', async (contentType) => {
    const headers = { ...authorization, ...(contentType !== undefined && { 'content-type': contentType }) }
    const body = JSON.stringify({ references: ['a:1'], wait: false })
    expect((await postBare(`${server.url}/api/v1/publish`, body, headers)).status).toBe(202)
  })

  it('that is too long is 413, announced or not', async () => {
    const body = `{"references":["a:1"],"wait":true}${' '.repeat(CONTROL_BODY_BYTES_MAX)}`
    const announced = await post('/api/v1/publish', body)
    expect(announced.status).toBe(413)
    expect((await refusalOf(announced)).code).toBe('REQUEST_INVALID')
    const chunked = await postBare(`${server.url}/api/v1/publish`, body, {
      ...authorization,
      'transfer-encoding': 'chunked',
    })
    expect(chunked.status).toBe(413)
  })

  it('may be just as long', async () => {
    const wish = JSON.stringify({ references: ['a:1'], wait: false })
    const answer = await post('/api/v1/publish', wish.padEnd(CONTROL_BODY_BYTES_MAX))
    expect(answer.status).toBe(202)
  })

  it('goes to this path, by POST', async () => {
    const ask = (method: string, path: string) =>
      fetch(`${server.url}${path}`, { method, headers: authorization })
    expect((await ask('GET', '/api/v1/publish')).status).toBe(404)
    expect((await ask('DELETE', '/api/v1/gc')).status).toBe(404)
    expect((await ask('POST', '/api/v1/nothing')).status).toBe(404)
    expect((await ask('GET', '/healthz')).status).toBe(200)
  })
})

describe('publishing later', () => {
  it('takes every reference with what was wished of it', async () => {
    const wish = { references: ['a:1', 'b:2'], platforms: ['linux/amd64'], warm: 'all', wait: false }
    const answer = await post('/api/v1/publish', wish)
    expect(answer.status).toBe(202)
    expect(await answer.json()).toEqual({ accepted: ['a:1', 'b:2'] })
    expect(enqueued).toMatchObject([
      { reference: 'a:1', platforms: ['linux/amd64'], warm: 'all', isPinned: true },
      { reference: 'b:2', platforms: ['linux/amd64'], warm: 'all', isPinned: true },
    ])
    expect(published).toEqual([])
  })

  it.each([
    [new PublishError('PUBLISH_REFERENCE_INVALID', 'no reference'), 400, 'PUBLISH_REFERENCE_INVALID'],
    [new WarmSelectorInvalidError('rack=1'), 400, 'SEEDER_WARM_SELECTOR_INVALID'],
    [new TriggerQueueFullError(2_000, 2_000), 503, 'TRIGGER_QUEUE_FULL'],
    [new StorageUnavailableError('the folder', 'is full'), 500, 'STORAGE_UNAVAILABLE'],
  ])('%s is %d', async (error, status, code) => {
    enqueue = async () => {
      throw error
    }
    const answer = await post('/api/v1/publish', { references: ['a:1'], wait: false })
    expect(answer.status).toBe(status)
    expect((await refusalOf(answer)).code).toBe(code)
    if (status === 503) expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  })
})

describe('publishing now', () => {
  it('is told line by line, one JSON a line, and ends with the sum', async () => {
    publish = async ({ reference }, tell) => {
      tell({ type: 'image', reference, digest, layers: [] })
      if (reference === 'b:2') throw new PublishError('PUBLISH_IMAGE_UNKNOWN', 'no such\nimage')
      if (reference === 'c:3') throw new Error('an inner secret')
      return { name: 'team/app', digest, copiedBytes: 1, presentBytes: 2 }
    }
    const answer = await post('/api/v1/publish', wishFor('a:1', 'b:2', 'c:3'))
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('application/x-ndjson')
    const text = await answer.text()
    expect(text.endsWith('\n')).toBe(true)
    const lines = linesOf(text)
    const of = (reference: string) =>
      lines.filter((line) => 'reference' in line && line.reference === reference)
    expect(of('a:1')).toEqual([
      { type: 'image', reference: 'a:1', digest, layers: [] },
      { type: 'published', reference: 'a:1', digest, copiedBytes: 1, presentBytes: 2 },
    ])
    expect(of('b:2').at(-1)).toEqual({
      type: 'failed',
      reference: 'b:2',
      code: 'PUBLISH_IMAGE_UNKNOWN',
      message: 'no such\nimage',
    })
    expect(of('c:3').at(-1)).toMatchObject({ type: 'failed', code: 'UNKNOWN' })
    expect(text).not.toContain('inner secret')
    expect(lines.at(-1)).toEqual({ type: 'end', published: 1, failed: 2 })
  })

  it('works on two images at a time', async () => {
    const holds = new Map<string, () => void>()
    publish = async ({ reference }) => {
      await new Promise<void>((resolve) => holds.set(reference, resolve))
      return { name: 'team/app', digest, copiedBytes: 0, presentBytes: 0 }
    }
    const answer = await post('/api/v1/publish', wishFor('a:1', 'b:1', 'c:1'))
    await vi.waitFor(() => expect([...holds.keys()]).toEqual(['a:1', 'b:1']))
    holds.get('b:1')!()
    await vi.waitFor(() => expect([...holds.keys()]).toEqual(['a:1', 'b:1', 'c:1']))
    holds.get('a:1')!()
    holds.get('c:1')!()
    expect(linesOf(await answer.text()).at(-1)).toEqual({ type: 'end', published: 3, failed: 0 })
  })

  it('says every quarter of a minute that it is alive, with a line that says nothing else', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    const hold = Promise.withResolvers<void>()
    publish = async () => {
      await hold.promise
      return { name: 'team/app', digest, copiedBytes: 0, presentBytes: 0 }
    }
    const answer = await post('/api/v1/publish', wishFor('a:1'))
    const body = answer.body!.getReader()
    const first = body.read()
    vi.advanceTimersByTime(15_000)
    expect(Buffer.from((await first).value!).toString()).toBe('\n')
    const second = body.read()
    vi.advanceTimersByTime(14_999)
    vi.advanceTimersByTime(1)
    expect(Buffer.from((await second).value!).toString()).toBe('\n')
    hold.resolve()
    let rest = ''
    for (let next = await body.read(); !next.done; next = await body.read())
      rest += Buffer.from(next.value).toString()
    expect(linesOf(rest).map(({ type }) => type)).toEqual(['published', 'end'])
    // Nothing goes on when it is over.
    expect(vi.getTimerCount()).toBe(0)
  })

  it('lets go when the client leaves, of everything that nobody will hear of, and serves the next', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    const signals: AbortSignal[] = []
    publish = async ({ reference }, tell, signal) => {
      signals.push(signal)
      tell({ type: 'image', reference, digest, layers: [] })
      if (!signal.aborted)
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      tell({ type: 'warm', reference, nodes: 1, ready: 0 })
      throw signal.reason
    }
    const leaving = new AbortController()
    const answer = await fetch(`${server.url}/api/v1/publish`, {
      method: 'POST',
      headers: authorization,
      body: JSON.stringify(wishFor('a:1', 'b:1', 'c:1')),
      signal: leaving.signal,
    })
    await answer.body!.getReader().read()
    leaving.abort()
    await vi.waitFor(() => expect(signals.map(({ aborted }) => aborted)).toEqual([true, true, true]))
    await vi.waitFor(() => expect(vi.getTimerCount()).toBe(0))
    expect((await post('/api/v1/gc')).status).toBe(200)
  })

  it('holds no backlog for a client that does not read: how far a layer is can be left out', async () => {
    const reference = 'a:1'
    const reading = Promise.withResolvers<void>()
    const count = 20_000
    publish = async (_wish, tell) => {
      for (let n = 0; n < count; n++)
        tell({ type: 'layer', reference, digest, receivedBytes: n, state: 'copying' })
      tell({ type: 'layer', reference, digest, receivedBytes: count, state: 'done' })
      reading.resolve()
      return { name: 'team/app', digest, copiedBytes: 0, presentBytes: 0 }
    }
    const answer = await post('/api/v1/publish', wishFor(reference))
    await reading.promise
    const lines = linesOf(await answer.text())
    expect(lines.length).toBeLessThan(count / 10)
    expect(lines.slice(-3).map((line) => ('state' in line ? line.state : line.type))).toEqual([
      'done',
      'published',
      'end',
    ])
  })
})

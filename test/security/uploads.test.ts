/**
 * Goal: an upload leaves a whole blob or nothing, belongs to its repository, and holds nobody else up, however it is sent.
 * Method: a seeder asked by plain HTTP and by sockets that send what they like; a look into the origin's folder after each.
 */
import { createHash, randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startRegistry } from '../../packages/registry/src/testing/registry-server.ts'
import { filesBelow } from '../support/folder-files.ts'
import { memoryBlob } from '../support/layers.ts'
import { type LocalSeeder, startLocalSeeder } from '../support/local-services.ts'
import { pullBlob, pushBlob } from '../support/push.ts'
import { openRaw } from '../support/raw-http.ts'

const NOBODY = `sha256:${'0'.repeat(64)}`
const NOBODY_512 = `sha512:${'0'.repeat(128)}`
const bytes = randomBytes(300_000)
let seeder: LocalSeeder

beforeAll(async () => {
  seeder = await startLocalSeeder()
})
afterAll(() => seeder?.stop())

const files = () => filesBelow(seeder.origin)
const code = (body: string) => JSON.parse(body || '{}').errors?.[0]?.code

async function ask(
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  path: string,
  options: { headers?: Record<string, string>; body?: Uint8Array | AsyncIterable<Uint8Array> } = {},
) {
  const answer = await request(new URL(path, seeder.url), { method, ...options } as never)
  const body = await answer.body.text()
  return {
    status: answer.statusCode,
    code: answer.statusCode >= 400 ? code(body) : undefined,
    headers: answer.headers,
  }
}

async function begin(repository: string): Promise<string> {
  const { status, headers } = await ask('POST', `/v2/${repository}/blobs/uploads/`)
  expect(status).toBe(202)
  return String(headers.location)
}

const chunked = async function* () {
  yield bytes.subarray(0, 100_000)
  yield bytes.subarray(100_000)
}

describe('bytes that are not those of the digest', () => {
  const routes: [string, (digest: string) => ReturnType<typeof ask>][] = [
    ['in one POST', (digest) => ask('POST', `/v2/wrong/a/blobs/uploads/?digest=${digest}`, { body: bytes })],
    [
      'in one chunked POST',
      (digest) => ask('POST', `/v2/wrong/a/blobs/uploads/?digest=${digest}`, { body: chunked() }),
    ],
    [
      'in one PUT',
      async (digest) => ask('PUT', `${await begin('wrong/a')}?digest=${digest}`, { body: bytes }),
    ],
    [
      'in one chunked PUT',
      async (digest) => ask('PUT', `${await begin('wrong/a')}?digest=${digest}`, { body: chunked() }),
    ],
    [
      'in PATCH and an empty PUT',
      async (digest) => {
        const upload = await begin('wrong/a')
        expect((await ask('PATCH', upload, { body: bytes })).status).toBe(202)
        return ask('PUT', `${upload}?digest=${digest}`)
      },
    ],
    [
      'in two PATCHes and a PUT with the rest',
      async (digest) => {
        const upload = await begin('wrong/a')
        for (const [from, to] of [
          [0, 100_000],
          [100_000, 200_000],
        ] as const) {
          const headers = { 'content-range': `${from}-${to - 1}` }
          expect((await ask('PATCH', upload, { headers, body: bytes.subarray(from, to) })).status).toBe(202)
        }
        return ask('PUT', `${upload}?digest=${digest}`, { body: bytes.subarray(200_000) })
      },
    ],
  ]

  describe.each([NOBODY, NOBODY_512])('%.12s', (digest) => {
    it.each(routes)('%s leave nothing', async (_route, send) => {
      const before = await files()
      expect(await send(digest)).toMatchObject({ status: 400, code: 'DIGEST_INVALID' })
      expect(await files()).toEqual(before)
      expect((await ask('GET', `/v2/wrong/a/blobs/${digest}`)).status).toBe(404)
      const right = memoryBlob(bytes).digest
      expect((await ask('GET', `/v2/wrong/a/blobs/${right}`)).status).toBe(404)
    })
  })

  it('leave nothing where they are shorter or longer than they were said to be', async () => {
    const before = await files()
    const { digest } = memoryBlob(bytes)
    for (const part of [bytes.subarray(1), Buffer.concat([bytes, Buffer.of(0)])])
      expect(await ask('POST', `/v2/wrong/a/blobs/uploads/?digest=${digest}`, { body: part })).toMatchObject({
        status: 400,
      })
    expect(await files()).toEqual(before)
  })

  it('of a manifest leave nothing', async () => {
    const before = await files()
    const manifest = Buffer.from('{"schemaVersion":2}')
    const headers = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }
    expect(await ask('PUT', `/v2/wrong/a/manifests/${NOBODY}`, { headers, body: manifest })).toMatchObject({
      status: 400,
      code: 'DIGEST_INVALID',
    })
    expect(await files()).toEqual(before)
  })
})

describe('an upload’s id', () => {
  it('works only in the repository that began it', async () => {
    const upload = await begin('mine/a')
    expect((await ask('PATCH', upload, { body: bytes.subarray(0, 10) })).status).toBe(202)
    const elsewhere = upload.replace('/v2/mine/a/', '/v2/other/b/')
    for (const method of ['GET', 'PATCH', 'PUT', 'DELETE'] as const) {
      const query = method === 'PUT' ? `?digest=${memoryBlob(bytes).digest}` : ''
      const body = method === 'GET' || method === 'DELETE' ? {} : { body: bytes.subarray(10) }
      expect(await ask(method, elsewhere + query, body), method).toMatchObject({
        status: 404,
        code: 'BLOB_UPLOAD_UNKNOWN',
      })
    }
    const { digest } = memoryBlob(bytes)
    expect((await ask('PUT', `${upload}?digest=${digest}`, { body: bytes.subarray(10) })).status).toBe(201)
    expect((await ask('GET', `/v2/other/b/blobs/${digest}`)).status).toBe(404)
  })

  it('of another name is none', async () => {
    for (const id of ['..', '..%2f..%2fkeys', '%00', 'a'.repeat(5_000), '0'])
      expect([400, 404, 405, 414], id).toContain(
        (await ask('PATCH', `/v2/mine/a/blobs/uploads/${id}`)).status,
      )
  })

  it('cannot be guessed from another', async () => {
    const ids = await Promise.all(
      Array.from({ length: 20 }, async () => (await begin('mine/a')).split('/').at(-1)!),
    )
    expect(new Set(ids).size).toBe(20)
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-/)
  })

  it('is worked on by one request at a time', async () => {
    const upload = await begin('mine/parallel')
    const slow = openRaw(seeder.url, `PATCH ${upload} HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n`)
    slow.write(bytes.subarray(0, 100_000))
    await expect.poll(async () => (await ask('GET', upload)).headers.range).toBe('0-99999')
    const others = await Promise.all(
      Array.from({ length: 10 }, () => ask('PATCH', upload, { body: bytes.subarray(0, 50_000) })),
    )
    for (const { status } of others) expect(status).toBe(409)
    expect((await ask('PUT', `${upload}?digest=${NOBODY}`)).status).toBe(409)
    slow.write(bytes.subarray(100_000, 200_000))
    await expect.poll(() => slow.text).toContain('202 Accepted')
    slow.socket.destroy()
    const { digest } = memoryBlob(bytes)
    expect((await ask('PUT', `${upload}?digest=${digest}`, { body: bytes.subarray(200_000) })).status).toBe(
      201,
    )
    expect((await pullBlob(seeder.url, 'mine/parallel', digest)).sizeBytes).toBe(bytes.length)
  })
})

describe('a Content-Range', () => {
  it.each([
    '0-18446744073709551615',
    '0-9007199254740992',
    '0-99999999999999999999999',
    '9223372036854775807-9223372036854775808',
    '-1-5',
    '5--1',
    '10-5',
    '1e3-2e3',
    '0x0-0x9',
    'bytes -5',
    'bytes=0-9',
    '0-9,10-19',
    '٠-٩',
  ])('%s is refused, and the upload is where it was', async (range) => {
    const upload = await begin('range/a')
    expect((await ask('PATCH', upload, { body: bytes.subarray(0, 10) })).status).toBe(202)
    const header = Buffer.from(range).toString('latin1')
    const raw = openRaw(
      seeder.url,
      `PATCH ${upload} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 10\r\ncontent-range: ${header}\r\n\r\n0123456789`,
    )
    await raw.closed(10_000)
    expect(raw.text).toMatch(/^HTTP\/1\.1 (400|416) /)
    expect((await ask('GET', upload)).headers.range).toBe('0-9')
  })

  it.each(['0-9', '11-20', '9-18', '9007199254740980-9007199254740989'])(
    '%s, which is not what comes next, is out of range',
    async (range) => {
      const upload = await begin('range/a')
      await ask('PATCH', upload, { body: bytes.subarray(0, 10) })
      const headers = { 'content-range': range }
      expect(await ask('PATCH', upload, { headers, body: bytes.subarray(0, 10) })).toMatchObject({
        status: 416,
      })
      expect((await ask('GET', upload)).headers.range).toBe('0-9')
    },
  )

  it('longer or shorter than its bytes is refused, announced or chunked', async () => {
    const upload = await begin('range/a')
    const headers = { 'content-range': '0-99' }
    for (const size of [10, 200]) {
      const body = bytes.subarray(0, size)
      expect((await ask('PATCH', upload, { headers, body })).status).toBe(400)
      const stream = (async function* () {
        yield body
      })()
      expect((await ask('PATCH', await begin('range/a'), { headers, body: stream })).status).toBe(400)
    }
  })

  it.each(['99999999999999999999', '-5', '0x10', '5, 6'])(
    'a Content-Length of %s allocates nothing',
    async (length) => {
      const upload = await begin('range/a')
      const raw = openRaw(
        seeder.url,
        `PATCH ${upload} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ${length}\r\n\r\n`,
      )
      await sleep(100)
      raw.socket.destroy()
      await expect.poll(async () => (await ask('GET', upload)).status).toBe(204)
    },
  )
})

describe('a mount', () => {
  const blob = memoryBlob(randomBytes(50_000))
  const mount = (repository: string, query: string) =>
    ask('POST', `/v2/${repository}/blobs/uploads/?${query}`)
  beforeAll(() => pushBlob(seeder.url, 'private/a', blob))

  it.each([
    'public/has-it-not',
    'unknown',
    '..',
    'private%2f..%2fprivate%2fa',
    '%00',
    'private/a/',
    'PRIVATE/a',
  ])('from %s grants nothing: an upload is offered instead', async (from) => {
    const answer = await mount('copy/x', `mount=${blob.digest}&from=${from}`)
    expect(answer.status).toBe(202)
    expect((await ask('GET', `/v2/copy/x/blobs/${blob.digest}`)).status).toBe(404)
  })

  it('of what nobody has, or of no digest, grants nothing', async () => {
    for (const digest of [NOBODY, 'sha256:..%2f', ''])
      expect((await mount('copy/x', `mount=${digest}&from=private/a`)).status).toBe(202)
  })

  it('from the repository that has it is one', async () => {
    expect((await mount('copy/y', `mount=${blob.digest}&from=private/a`)).status).toBe(201)
    expect((await ask('GET', `/v2/copy/y/blobs/${blob.digest}`)).status).toBe(200)
  })

  it('without from is one wherever the blob is: as long as there are no accounts, everybody may read everything', async () => {
    expect((await mount('copy/z', `mount=${blob.digest}`)).status).toBe(201)
    expect((await ask('GET', `/v2/copy/z/blobs/${blob.digest}`)).status).toBe(200)
  })
})

describe('many uploads', () => {
  it('that were begun and left are let go of, and can be gone on with', async () => {
    const uploads: string[] = []
    for (let i = 0; i < 20; i++)
      uploads.push(...(await Promise.all(Array.from({ length: 20 }, () => begin('many/a')))))
    const page = await (await fetch(`${seeder.url}/metrics`)).text()
    const held = Number(/^shoal_seeder_uploads(?:_\w+)? (\d+)$/m.exec(page)?.[1])
    expect(held).toBeGreaterThan(0)
    expect(held).toBeLessThanOrEqual(256)
    const { digest } = memoryBlob(bytes)
    expect((await ask('PUT', `${uploads[0]!}?digest=${digest}`, { body: bytes })).status).toBe(201)
  })

  it('at the same time are refused beyond what is held, and accepted again when they are gone', async () => {
    await using crowded = await startLocalSeeder()
    const post = `POST /v2/many/a/blobs/uploads/?digest=${NOBODY} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n0`
    const open = Array.from({ length: 160 }, () => openRaw(crowded.url, post))
    await expect
      .poll(() => open.filter(({ text }) => text.includes(' 429 ')).length, { timeout: 15_000 })
      .toBe(64)
    // What is there already can still be read.
    expect((await fetch(`${crowded.url}/v2/`)).status).toBe(200)
    for (const { socket } of open) socket.destroy()
    await expect
      .poll(async () => (await fetch(`${crowded.url}/v2/many/a/blobs/uploads/`, { method: 'POST' })).status, {
        timeout: 10_000,
      })
      .toBe(202)
    await expect
      .poll(async () => (await filesBelow(crowded.origin)).filter((f) => f.includes('blobs')))
      .toEqual([])
  })
})

describe('a slow client', () => {
  const drip = (exchange: ReturnType<typeof openRaw>, everyMs: number) => {
    const interval = setInterval(() => exchange.write('0'), everyMs)
    exchange.socket.once('close', () => clearInterval(interval))
    return exchange
  }

  // The seeder's own limit is two minutes; the routes are the same with a shorter one.
  describe('against a registry of 600 ms', () => {
    let registry: Awaited<ReturnType<typeof startRegistry>>
    beforeAll(async () => {
      registry = await startRegistry({ plugin: { idleTimeoutMs: 600 } })
    })
    afterAll(() => registry?.close())

    it.each([
      ['POST', `/v2/slow/a/blobs/uploads/?digest=${NOBODY}`],
      ['PUT', '/v2/slow/a/manifests/1'],
    ])('that sends a byte now and then is cut: %s %s', async (method, path) => {
      const raw = openRaw(
        registry.url,
        `${method} ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n`,
      )
      expect(await drip(raw, 50).closed(5_000)).toBeLessThan(3_000)
    })

    it('in the middle of a PATCH is cut, and what it sent stays', async () => {
      const begun = await fetch(`${registry.url}/v2/slow/a/blobs/uploads/`, { method: 'POST' })
      const upload = begun.headers.get('location')!
      const raw = openRaw(
        registry.url,
        `PATCH ${upload} HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n`,
      )
      await drip(raw, 50).closed(5_000)
      const now = await fetch(new URL(upload, registry.url))
      expect(now.status).toBe(204)
      expect(Number(now.headers.get('range')?.split('-')[1])).toBeGreaterThan(0)
    })

    it('that keeps on sending is not cut, however long its body takes', async () => {
      const body = randomBytes(1_000_000)
      const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`
      const slowly = (async function* () {
        for (let at = 0; at < body.length; at += 66_000) {
          yield body.subarray(at, at + 66_000)
          await sleep(100)
        }
      })()
      const url = `${registry.url}/v2/slow/a/blobs/uploads/?digest=${digest}`
      const answer = await request(url, { method: 'POST', body: slowly as never })
      await answer.body.dump()
      expect(answer.statusCode).toBe(201)
    })
  })
})

/**
 * Goal: every way to push a blob ends with exactly that blob, or with nothing. OCI distribution specification, "Pushing
 * blobs", "Mounting a blob from another repository" and "Cancel a blob upload" (end-4 to end-6, end-11, end-13, end-14).
 * Method: each route with sha256 and sha512, with right and wrong digests, chunks out of order and cut connections; what was
 * pushed is read back from where the answer says. A face that takes no pushes must say so on every route.
 */
import { describe, expect, it } from 'vitest'
import { type Answer, call, expectRefusal, rawConnection, streamOf } from '../client.ts'
import { ALGORITHMS, type Content, contentOf, freshContent, freshRepository, nobody } from '../content.ts'
import type { Face } from '../faces.ts'
import { beginUpload, locationOf, pushBlob, withDigest } from '../pushing.ts'
import { refusingPushes } from './refusing-pushes.ts'

const OCTETS = { 'content-type': 'application/octet-stream' }
/** Three chunks of it are longer than the least part that S3 takes, and end inside one. */
const LONG_BYTES = 7_000_003

export function pushBlobs(face: Face): void {
  if (face.canPush) allRoutes(face)
  else refusingPushes(face)
}

function allRoutes(face: Face): void {
  const base = () => face.url
  const post = (repository: string, query: string, body?: Uint8Array) =>
    call(base(), 'POST', `/v2/${repository}/blobs/uploads/${query}`, {
      headers: OCTETS,
      ...(body && { body }),
    })
  const patch = (location: string, body: Uint8Array, range?: string) =>
    call(base(), 'PATCH', location, {
      headers: { ...OCTETS, ...(range !== undefined && { 'content-range': range }) },
      body,
    })
  const put = (location: string, digest: string, body?: Uint8Array, range?: string) =>
    call(base(), 'PUT', withDigest(location, digest), {
      headers: { ...OCTETS, ...(range !== undefined && { 'content-range': range }) },
      ...(body && { body }),
    })
  const status = (location: string) => call(base(), 'GET', location)

  /** The blob was taken, and is where the answer says. */
  const expectStored = async (answer: Answer, repository: string, blob: Content) => {
    const location = locationOf(answer, 201)
    expect(answer.header('docker-content-digest')).toBe(blob.digest)
    for (const path of [location, `/v2/${repository}/blobs/${blob.digest}`]) {
      const pulled = await call(base(), 'GET', path)
      expect(pulled.status).toBe(200)
      expect(pulled.bytes.equals(blob.bytes)).toBe(true)
      expect(pulled.header('docker-content-digest')).toBe(blob.digest)
    }
  }
  const expectUnknown = async (repository: string, ...digests: string[]) => {
    for (const digest of digests)
      expect((await call(base(), 'HEAD', `/v2/${repository}/blobs/${digest}`)).status).toBe(404)
  }
  const expectProgress = (answer: Answer, code: number, received: number) => {
    expect({ status: answer.status, said: answer.bytes.toString() }).toEqual({ status: code, said: '' })
    expect(answer.header('location')).toBeTruthy()
    expect(answer.header('range')).toBe(`0-${Math.max(0, received - 1)}`)
  }
  /** In chunks that say where they belong; the last in the closing PUT where `lastIn` says so. */
  const pushInChunks = async (
    repository: string,
    blob: Content,
    { query = '', chunks = 3, lastIn = 'PATCH', claimed = blob.digest, isRanged = true } = {},
  ): Promise<Answer> => {
    let location = await beginUpload(base(), repository, query)
    const step = Math.ceil(blob.bytes.length / chunks)
    for (let start = 0; start < blob.bytes.length; start += step) {
      const end = Math.min(start + step, blob.bytes.length)
      const range = isRanged ? `${start}-${end - 1}` : undefined
      const chunk = blob.bytes.subarray(start, end)
      if (end === blob.bytes.length && lastIn === 'PUT') return put(location, claimed, chunk, range)
      const answer = await patch(location, chunk, range)
      expectProgress(answer, 202, end)
      location = answer.header('location')!
    }
    return put(location, claimed)
  }

  describe.each(ALGORITHMS)('pushing blobs by %s', (algorithm) => {
    /** Said at the beginning, or found out at the end. */
    const hints = algorithm === 'sha256' ? [''] : ['', `?digest-algorithm=${algorithm}`]

    it('in a single POST', async () => {
      const [repository, blob] = [freshRepository(), freshContent(512, algorithm)]
      await expectStored(await post(repository, `?digest=${blob.digest}`, blob.bytes), repository, blob)
    })

    it('in a single POST with the digest’s colon encoded', async () => {
      const [repository, blob] = [freshRepository(), freshContent(512, algorithm)]
      const query = `?digest=${encodeURIComponent(blob.digest)}`
      await expectStored(await post(repository, query, blob.bytes), repository, blob)
    })

    it.each(hints)('in POST%s and PUT', async (hint) => {
      const [repository, blob] = [freshRepository(), freshContent(512, algorithm)]
      const location = await beginUpload(base(), repository, hint)
      await expectStored(await put(location, blob.digest, blob.bytes), repository, blob)
    })

    it.each(hints)('in POST%s and a PUT without a length', async (hint) => {
      const [repository, blob] = [freshRepository(), freshContent(200_000, algorithm)]
      const location = await beginUpload(base(), repository, hint)
      const answer = await call(base(), 'PUT', withDigest(location, blob.digest), {
        headers: OCTETS,
        body: streamOf(blob.bytes),
      })
      await expectStored(answer, repository, blob)
    })

    it.each(hints)('in POST%s, one streamed PATCH and an empty PUT', async (hint) => {
      const [repository, blob] = [freshRepository(), freshContent(200_000, algorithm)]
      const location = await beginUpload(base(), repository, hint)
      const patched = await call(base(), 'PATCH', location, {
        headers: OCTETS,
        body: streamOf(blob.bytes),
      })
      expectProgress(patched, 202, blob.bytes.length)
      await expectStored(await put(patched.header('location')!, blob.digest), repository, blob)
    })

    describe.each(hints)('in chunks%s', (query) => {
      it.each([
        ['one chunk', 512, { chunks: 1 }],
        ['three chunks', 3_067, {}],
        ['three chunks that do not say where they belong', 3_067, { isRanged: false }],
        ['three chunks, the last in the PUT', 3_067, { lastIn: 'PUT' }],
        ['the only chunk in the PUT', 512, { chunks: 1, lastIn: 'PUT' }],
        ['chunks of one byte', 5, { chunks: 5 }],
        ['chunks of megabytes', LONG_BYTES, {}],
        ['chunks of megabytes, the last in the PUT', LONG_BYTES, { lastIn: 'PUT' }],
      ])('%s', async (_what, lengthBytes, how) => {
        const [repository, blob] = [freshRepository(), freshContent(lengthBytes, algorithm)]
        await expectStored(await pushInChunks(repository, blob, { query, ...how }), repository, blob)
      })
    })

    it.each(['', '{}'])('the well-known content %j by every route', async (text) => {
      const blob = contentOf(text, algorithm)
      const repository = () => freshRepository()
      let name = repository()
      await expectStored(await post(name, `?digest=${blob.digest}`, blob.bytes), name, blob)
      name = repository()
      await expectStored(await put(await beginUpload(base(), name), blob.digest, blob.bytes), name, blob)
      name = repository()
      const location = await beginUpload(base(), name)
      const patched = await patch(location, blob.bytes)
      expectProgress(patched, 202, blob.bytes.length)
      await expectStored(await put(patched.header('location')!, blob.digest), name, blob)
    })

    describe('with a digest of something else is a 400 and leaves nothing', () => {
      it.each([
        [
          'single POST',
          (name: string, blob: Content, claimed: string) => post(name, `?digest=${claimed}`, blob.bytes),
        ],
        [
          'POST and PUT',
          async (name: string, blob: Content, claimed: string) =>
            put(await beginUpload(base(), name), claimed, blob.bytes),
        ],
        ['chunks', (name: string, blob: Content, claimed: string) => pushInChunks(name, blob, { claimed })],
        [
          'chunks, the last in the PUT',
          (name: string, blob: Content, claimed: string) =>
            pushInChunks(name, blob, { claimed, lastIn: 'PUT' }),
        ],
        [
          'a stream',
          (name: string, blob: Content, claimed: string) =>
            pushInChunks(name, blob, { claimed, chunks: 1, isRanged: false }),
        ],
      ])('%s', async (_route, push) => {
        const [name, blob, claimed] = [freshRepository(), freshContent(3_067, algorithm), nobody(algorithm)]
        expectRefusal(await push(name, blob, claimed), 400, 'DIGEST_INVALID')
        await expectUnknown(name, claimed, blob.digest)
        expect((await call(base(), 'GET', `/v2/${name}/tags/list`)).status).toBe(404)
      })
    })

    it('again is a success again, in the same repository and in another', async () => {
      const blob = freshContent(100_000, algorithm)
      const name = freshRepository()
      for (const repository of [name, name, freshRepository()]) {
        const location = await beginUpload(base(), repository)
        await expectStored(await put(location, blob.digest, blob.bytes), repository, blob)
      }
    })

    it('at once from many clients is a success for all', async () => {
      const [name, blob] = [freshRepository(), freshContent(300_000, algorithm)]
      const locations = await Promise.all(Array.from({ length: 8 }, () => beginUpload(base(), name)))
      expect(new Set(locations).size).toBe(8)
      const answers = await Promise.all(locations.map((location) => put(location, blob.digest, blob.bytes)))
      for (const answer of answers) await expectStored(answer, name, blob)
    })
  })

  describe('the digest of a push', () => {
    it.each(['sha256:baddigeststring', 'md5:d41d8cd98f00b204e9800998ecf8427e', 'latest', ''])(
      'is refused as %j, and the upload stays',
      async (digest) => {
        const [name, blob] = [freshRepository(), freshContent(10)]
        expectRefusal(await post(name, `?digest=${digest}`, blob.bytes), 400, 'DIGEST_INVALID')
        const location = await beginUpload(base(), name)
        expectRefusal(await put(location, digest, blob.bytes), 400, 'DIGEST_INVALID')
        await expectStored(await put(location, blob.digest, blob.bytes), name, blob)
      },
    )

    it('must be there', async () => {
      const location = await beginUpload(base(), freshRepository())
      expectRefusal(await call(base(), 'PUT', location, { body: 'x' }), 400, 'DIGEST_INVALID')
    })

    it('has an algorithm that the registry knows', async () => {
      expectRefusal(await post(freshRepository(), '?digest-algorithm=md5'), 400, 'DIGEST_INVALID')
    })

    it('may be of another algorithm than was announced', async () => {
      const [name, blob] = [freshRepository(), freshContent(100_000)]
      const location = await beginUpload(base(), name, '?digest-algorithm=sha512')
      await expectStored(await put(location, blob.digest, blob.bytes), name, blob)
    })

    it('is one name of the bytes; under the other they are not there before they were pushed', async () => {
      const name = freshRepository()
      const short = freshContent(100_000)
      const long = contentOf(short.bytes, 'sha512')
      await pushBlob(base(), name, short)
      await expectUnknown(name, long.digest)
      await pushBlob(base(), name, long)
      for (const blob of [short, long]) {
        const pulled = await call(base(), 'GET', `/v2/${name}/blobs/${blob.digest}`)
        expect(pulled.bytes.equals(blob.bytes)).toBe(true)
        expect(pulled.header('docker-content-digest')).toBe(blob.digest)
      }
    })
  })

  describe('an upload', () => {
    it('is begun without the last slash as well', async () => {
      locationOf(await call(base(), 'POST', `/v2/${freshRepository()}/blobs/uploads`), 202)
    })

    it('tells how far it is', async () => {
      const [name, blob] = [freshRepository(), freshContent(3_000)]
      const location = await beginUpload(base(), name)
      expectProgress(await status(location), 204, 0)
      const next = (await patch(location, blob.bytes.subarray(0, 1))).header('location')!
      expectProgress(await status(next), 204, 1)
      const last = (await patch(next, blob.bytes.subarray(1, 2_000))).header('location')!
      expectProgress(await status(last), 204, 2_000)
      await expectStored(await put(last, blob.digest, blob.bytes.subarray(2_000)), name, blob)
    })

    it.each(['PATCH', 'PUT'] as const)('loses nothing to %s chunks in the wrong order', async (method) => {
      const [name, blob] = [freshRepository(), freshContent(3_000)]
      let location = await beginUpload(base(), name)
      const wrong = async (start: number, end: number, received: number) => {
        const path = method === 'PUT' ? withDigest(location, blob.digest) : location
        const headers = { ...OCTETS, 'content-range': `${start}-${end - 1}` }
        const answer = await call(base(), method, path, { headers, body: blob.bytes.subarray(start, end) })
        expectRefusal(answer, 416, 'RANGE_INVALID')
        expect(answer.header('range')).toBe(`0-${Math.max(0, received - 1)}`)
        expect(answer.header('location')).toBeTruthy()
        expectProgress(await status(location), 204, received)
        location = (await status(location)).header('location')!
      }
      await wrong(1_000, 2_000, 0)
      location = (await patch(location, blob.bytes.subarray(0, 1_000), '0-999')).header('location')!
      // Again, with a gap, with an overlap.
      await wrong(0, 1_000, 1_000)
      await wrong(2_000, 3_000, 1_000)
      await wrong(999, 2_000, 1_000)
      location = (await patch(location, blob.bytes.subarray(1_000, 2_000), '1000-1999')).header('location')!
      await expectStored(
        await put(location, blob.digest, blob.bytes.subarray(2_000), '2000-2999'),
        name,
        blob,
      )
    })

    it.each(['x-y', '5', '-5', '5-', '10-5', '0-99999999999999999999'])(
      'refuses the Content-Range %s',
      async (range) => {
        const location = await beginUpload(base(), freshRepository())
        const answer = await patch(location, Buffer.alloc(6), range)
        expect([400, 416]).toContain(answer.status)
        expectProgress(await status(location), 204, 0)
      },
    )

    it.each(['0-4', '0-6'])('refuses six bytes that claim to be %s', async (range) => {
      const location = await beginUpload(base(), freshRepository())
      expectRefusal(await patch(location, Buffer.alloc(6), range), 400, 'SIZE_INVALID')
      expectProgress(await status(location), 204, 0)
    })

    it('is over when it is cancelled', async () => {
      const [name, blob] = [freshRepository(), freshContent(1_000)]
      const location = await beginUpload(base(), name)
      await patch(location, blob.bytes.subarray(0, 500))
      const cancelled = await call(base(), 'DELETE', location)
      expect([cancelled.status, cancelled.bytes.length]).toEqual([204, 0])
      await expectOver(location, blob)
      await expectUnknown(name, blob.digest)
    })

    it('is over when it is finished, well or not', async () => {
      const [name, blob] = [freshRepository(), freshContent(1_000)]
      const good = await beginUpload(base(), name)
      locationOf(await put(good, blob.digest, blob.bytes), 201)
      await expectOver(good, blob)
      const bad = await beginUpload(base(), name)
      expectRefusal(await put(bad, nobody(), blob.bytes), 400, 'DIGEST_INVALID')
      await expectOver(bad, blob)
    })

    const expectOver = async (location: string, { bytes, digest }: Content) => {
      expectRefusal(await status(location), 404, 'BLOB_UPLOAD_UNKNOWN')
      expectRefusal(await patch(location, bytes), 404, 'BLOB_UPLOAD_UNKNOWN')
      expectRefusal(await put(location, digest, bytes), 404, 'BLOB_UPLOAD_UNKNOWN')
      expectRefusal(await put(location, digest), 404, 'BLOB_UPLOAD_UNKNOWN')
      expectRefusal(await call(base(), 'DELETE', location), 404, 'BLOB_UPLOAD_UNKNOWN')
    }

    it('works only in the repository where it was begun', async () => {
      const [name, other, blob] = [freshRepository(), freshRepository(), freshContent(100)]
      const location = await beginUpload(base(), name)
      const elsewhere = location.replace(name, other)
      expect(elsewhere).not.toBe(location)
      await expectOver(elsewhere, blob)
      await expectStored(await put(location, blob.digest, blob.bytes), name, blob)
    })

    it('keeps what came before the connection broke, and goes on from there', async () => {
      const [name, blob] = [freshRepository(), freshContent(1_000_000)]
      const location = await beginUpload(base(), name)
      const { pathname, search } = new URL(location, base())
      const asked = `PATCH ${pathname}${search} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n`
      const socket = await rawConnection(base(), asked)
      await new Promise<void>((sent) => socket.write(blob.bytes.subarray(0, 400_000), () => sent()))
      await expect
        .poll(async () => (await status(location)).header('range'), { timeout: 10_000 })
        .toBe('0-399999')
      socket.destroy()
      // The seeder hears of the broken connection when it does.
      await expect
        .poll(async () => (await patch(location, Buffer.alloc(1), '0-0')).status, { timeout: 10_000 })
        .toBe(416)
      const now = await status(location)
      const received = Number(now.header('range')!.slice(2)) + 1
      expect(received).toBe(400_000)
      const rest = blob.bytes.subarray(received)
      await expectStored(
        await put(now.header('location')!, blob.digest, rest, `${received}-999999`),
        name,
        blob,
      )
    })

    it('that ends too early as a single POST leaves nothing', async () => {
      const [name, blob] = [freshRepository(), freshContent(1_000)]
      const asked = `POST /v2/${name}/blobs/uploads/?digest=${blob.digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n`
      const socket = await rawConnection(base(), asked)
      await new Promise<void>((sent) => socket.write(blob.bytes, () => sent()))
      socket.destroy()
      await expectUnknown(name, blob.digest)
    })
  })

  describe('mounting', () => {
    const mount = (repository: string, digest: string, from?: string) =>
      post(repository, `?mount=${digest}${from === undefined ? '' : `&from=${encodeURIComponent(from)}`}`)

    it.each(ALGORITHMS)('makes a blob of another repository readable, by %s', async (algorithm) => {
      const [name, from, blob] = [freshRepository(), freshRepository(), freshContent(512, algorithm)]
      await pushBlob(base(), from, blob)
      await expectUnknown(name, blob.digest)
      await expectStored(await mount(name, blob.digest, from), name, blob)
      // Once more changes nothing.
      await expectStored(await mount(name, blob.digest, from), name, blob)
    })

    it('finds the blob itself when no repository is named', async () => {
      const [name, from, blob] = [freshRepository(), freshRepository(), freshContent(512)]
      await pushBlob(base(), from, blob)
      await expectStored(await mount(name, blob.digest), name, blob)
    })

    const missing: [string, (blob: Content) => Promise<string | undefined>][] = [
      ['that nobody has', async () => freshRepository()],
      ['that nobody has, from anywhere', async () => undefined],
      [
        'that another repository has than the one named',
        async (blob) => {
          await pushBlob(base(), freshRepository(), blob)
          return freshRepository()
        },
      ],
      ['from a name that is none', async () => '../Some/Where'],
    ]
    it.each(missing)('what is not there (%s) begins an upload, which then works', async (_what, prepare) => {
      const [name, blob] = [freshRepository(), freshContent(512)]
      const from = await prepare(blob)
      const location = locationOf(await mount(name, blob.digest, from), 202)
      await expectUnknown(name, blob.digest)
      await expectStored(await put(location, blob.digest, blob.bytes), name, blob)
    })

    it('nothing, with only a `from`, begins an upload', async () => {
      locationOf(await post(freshRepository(), `?from=${freshRepository()}`), 202)
    })
  })
}

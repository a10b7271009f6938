/**
 * Goal: blobs come whole, in ranges, in several ranges at once, and not at all to a client that has them. OCI distribution
 * specification, "Pulling blobs" and "Checking if content exists in the registry" (end-2); RFC 9110, 13 and 14.
 * Method: every range on a blob that the agent has never seen.
 */
import { beforeAll, describe, expect, it } from 'vitest'
import { type Answer, call, expectRefusal, rawConnection, readRaw } from '../client.ts'
import { ALGORITHMS, type Content, contentOf, freshContent, freshRepository, nobody } from '../content.ts'
import type { Face } from '../faces.ts'
import { partsOf } from '../multipart.ts'
import { pushBlob } from '../pushing.ts'

/** The first length is the official program's; the second has several pieces. */
const LENGTHS = [2_048, 300_000]

export function pullBlobs(face: Face): void {
  describe('pulling blobs', () => {
    const repository = freshRepository()
    const blob = freshContent(2_048)
    const long = freshContent(5_000_000)
    const get = ({ digest }: Pick<Content, 'digest'>, headers: Record<string, string> = {}) =>
      call(face.url, 'GET', `/v2/${repository}/blobs/${digest}`, { headers })
    const head = ({ digest }: Pick<Content, 'digest'>, headers: Record<string, string> = {}) =>
      call(face.url, 'HEAD', `/v2/${repository}/blobs/${digest}`, { headers })
    /** One that no agent has yet. */
    const freshBlob = async (lengthBytes: number): Promise<Content> => {
      const fresh = freshContent(lengthBytes)
      await pushBlob(face.pushUrl, repository, fresh)
      return fresh
    }

    beforeAll(async () => {
      for (const each of [blob, long]) await pushBlob(face.pushUrl, repository, each)
    })

    describe('the whole', () => {
      it.each([0, 1, 2, 65_536, 65_537, 1_000_000])('gives a blob of %i bytes', async (lengthBytes) => {
        const fresh = await freshBlob(lengthBytes)
        const looked = await head(fresh)
        expect(looked.bytes).toHaveLength(0)
        expectWhole({ ...looked, bytes: fresh.bytes }, fresh)
        expectWhole(await get(fresh), fresh)
        // Now it is at hand.
        expectWhole(await get(fresh), fresh)
        expectWhole({ ...(await head(fresh)), bytes: fresh.bytes }, fresh)
      })

      it.each(ALGORITHMS)('gives blobs by their %s digest', async (algorithm) => {
        const hashed = freshContent(100_000, algorithm)
        await pushBlob(face.pushUrl, repository, hashed)
        expectWhole(await get(hashed), hashed)
        expectWhole({ ...(await head(hashed)), bytes: hashed.bytes }, hashed)
      })

      it('gives one blob to many at once', async () => {
        const fresh = await freshBlob(1_000_000)
        const answers = await Promise.all(Array.from({ length: 20 }, () => get(fresh)))
        for (const answer of answers) expectWhole(answer, fresh)
      })

      it('never compresses a body', async () => {
        const text = contentOf('a'.repeat(100_000))
        await pushBlob(face.pushUrl, repository, text)
        const answer = await get(text, { 'accept-encoding': 'zstd,gzip,deflate' })
        expect(answer.header('content-encoding')).toBeUndefined()
        expectWhole(answer, text)
      })

      it('ignores parameters that it does not know', async () => {
        expectWhole(await get({ digest: `${blob.digest}?ns=&x=1` }), blob)
      })

      it('is a 404 in the name of a registry that is not mirrored', async () => {
        expect((await get({ digest: `${blob.digest}?ns=docker.io` })).status).toBe(404)
      })
    })

    describe('what is not there', () => {
      it.each(ALGORITHMS)('is a 404, by %s', async (algorithm) => {
        const digest = nobody(algorithm)
        expectRefusal(await get({ digest }), 404, 'BLOB_UNKNOWN')
        const looked = await head({ digest })
        expect([looked.status, looked.bytes.length]).toEqual([404, 0])
      })

      it('is a 404 in a repository that nobody knows', async () => {
        const answer = await call(face.url, 'GET', `/v2/${freshRepository()}/blobs/${nobody()}`)
        expectRefusal(answer, 404, 'BLOB_UNKNOWN')
      })

      it('is a 404 although another repository has it', async () => {
        expectWhole(await get(blob), blob)
        const other = freshRepository()
        await pushBlob(face.pushUrl, other, freshContent(1))
        for (const name of [other, freshRepository()]) {
          const path = `/v2/${name}/blobs/${blob.digest}`
          expectRefusal(await call(face.url, 'GET', path), 404, 'BLOB_UNKNOWN')
          expect((await call(face.url, 'HEAD', path)).status).toBe(404)
        }
      })

      it('is a 400 when it cannot be', async () => {
        const wrong = [
          'sha256:abc',
          `sha256:${'g'.repeat(64)}`,
          `sha256:${'A'.repeat(64)}`,
          `sha512:${'a'.repeat(64)}`,
          'md5:d41d8cd98f00b204e9800998ecf8427e',
          'latest',
        ]
        for (const digest of wrong) expectRefusal(await get({ digest }), 400, 'DIGEST_INVALID')
      })
    })

    describe.each(LENGTHS)('one range of %i bytes', (length) => {
      const last = length - 1
      it.each([
        ['500-1499', 500, 1_500],
        ['500-', 500, length],
        ['-500', length - 500, length],
        ['2000-500000', 2_000, length],
        ['0-', 0, length],
        ['0-0', 0, 1],
        [`${last}-`, last, length],
        [`${last}-${last}`, last, length],
        ['-1', last, length],
        [`-${length}`, 0, length],
        ['-5000000', 0, length],
        ['0-99999999999999999999999', 0, length],
        [`1000-${last}`, 1_000, length],
      ])('bytes=%s is answered with exactly those', async (range, start, end) => {
        const fresh = await freshBlob(length)
        const answer = await get(fresh, { range: `bytes=${range}` })
        expect(answer.status).toBe(206)
        expect(answer.header('content-range')).toBe(`bytes ${start}-${end - 1}/${length}`)
        expect(answer.header('content-length')).toBe(String(end - start))
        expect(answer.header('docker-content-digest')).toBe(fresh.digest)
        expect(answer.header('content-type')).toBe('application/octet-stream')
        expect(answer.bytes.equals(fresh.bytes.subarray(start, end))).toBe(true)
      })

      it.each([
        '500-0',
        '5000000-10000000',
        `${length}-`,
        `${length}-${length}`,
        '-0',
        '99999999999999999999999-',
        `${length}-,5000000-6000000`,
      ])('bytes=%s is a 416 that tells the length', async (range) => {
        const fresh = await freshBlob(length)
        const answer = await get(fresh, { range: `bytes=${range}` })
        expectRefusal(answer, 416, 'RANGE_INVALID')
        expect(answer.header('content-range')).toBe(`bytes */${length}`)
      })

      it.each([
        'bytes=',
        'bytes=-',
        'bytes=a-b',
        'bytes=1-2-3',
        'bytes',
        'items=0-5',
        'bytes=0x0-5',
        'bytes=0-5,x',
      ])('%s means nothing and is answered with the whole', async (range) => {
        expectWhole(await get(blob, { range }), blob)
      })
    })

    describe('ranges', () => {
      it('are told of beforehand', async () => {
        expect((await head(blob)).header('accept-ranges')).toBe('bytes')
      })

      it('mean nothing to HEAD', async () => {
        const answer = await head(blob, { range: 'bytes=0-9' })
        expectWhole({ ...answer, bytes: blob.bytes }, blob)
      })

      it('of an empty blob are all of it', async () => {
        const empty = await freshBlob(0)
        for (const range of ['bytes=0-', 'bytes=0-0', 'bytes=-5'])
          expectWhole(await get(empty, { range }), empty)
      })

      it('resume a pull that was cut', async () => {
        const fresh = await freshBlob(3_000_000)
        const path = `/v2/${repository}/blobs/${fresh.digest}`
        const socket = await rawConnection(face.url, `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
        const text = await readRaw(socket, (soFar) => soFar.length > 200_000)
        socket.destroy()
        const start = Buffer.from(text.slice(text.indexOf('\r\n\r\n') + 4), 'latin1')
        expect(start.length).toBeGreaterThan(0)
        const rest = await get(fresh, { range: `bytes=${start.length}-` })
        expect(rest.status).toBe(206)
        expect(Buffer.concat([start, rest.bytes]).equals(fresh.bytes)).toBe(true)
      })

      it('of containerd’s parallel workers: open-ended, read in part, then closed', async () => {
        const fresh = await freshBlob(4_000_000)
        const chunkBytes = 500_000
        const chunks = await Promise.all(
          Array.from({ length: 8 }, async (_, worker) => {
            const path = `/v2/${repository}/blobs/${fresh.digest}`
            const asked = `GET ${path} HTTP/1.1\r\nHost: x\r\nRange: bytes=${worker * chunkBytes}-\r\n\r\n`
            const socket = await rawConnection(face.url, asked)
            const isEnough = (soFar: string) => soFar.length >= soFar.indexOf('\r\n\r\n') + 4 + chunkBytes
            const text = await readRaw(socket, isEnough)
            socket.destroy()
            expect(text).toMatch(/^HTTP\/1\.1 206 /)
            const body = text.slice(text.indexOf('\r\n\r\n') + 4)
            return Buffer.from(body, 'latin1').subarray(0, chunkBytes)
          }),
        )
        expect(Buffer.concat(chunks).equals(fresh.bytes)).toBe(true)
        expectWhole(await get(fresh), fresh)
      })
    })

    describe('several ranges', () => {
      it.each([
        [
          '0-9,2000-2009,-10',
          [
            [0, 10],
            [2_000, 2_010],
            [4_999_990, 5_000_000],
          ],
        ],
        [
          '3000000-3000099, 100-199',
          [
            [3_000_000, 3_000_100],
            [100, 200],
          ],
        ],
        [
          '0-99,50-149',
          [
            [0, 100],
            [50, 150],
          ],
        ],
        [
          '0-9,5000000-,20-29',
          [
            [0, 10],
            [20, 30],
          ],
        ],
        [
          ',0-9,,4000000-4999999,',
          [
            [0, 10],
            [4_000_000, 5_000_000],
          ],
        ],
      ])('bytes=%s come as multipart/byteranges, in the order asked for', async (range, spans) => {
        const answer = await get(long, { range: `bytes=${range}` })
        expect(answer.status).toBe(206)
        expect(answer.header('content-range')).toBeUndefined()
        expect(answer.header('content-length')).toBe(String(answer.bytes.length))
        const parts = partsOf(answer.header('content-type')!, answer.bytes)
        expect(parts.map((part) => part.contentRange)).toEqual(
          spans.map(([start, end]) => `bytes ${start}-${end! - 1}/${long.bytes.length}`),
        )
        for (const [position, [start, end]] of spans.entries()) {
          expect(parts[position]!.bytes.equals(long.bytes.subarray(start, end))).toBe(true)
          expect(parts[position]!.contentType).toBe('application/octet-stream')
        }
      })

      it('are one when only one is inside', async () => {
        const answer = await get(long, { range: 'bytes=5000000-,10-19' })
        expect([answer.status, answer.header('content-range')]).toEqual([206, 'bytes 10-19/5000000'])
        expect(answer.bytes.equals(long.bytes.subarray(10, 20))).toBe(true)
      })

      it('that come to more than the blob are answered with the whole', async () => {
        expectWhole(await get(blob, { range: 'bytes=0-,0-,0-' }), blob)
      })

      it('in their thousands are answered with the whole', async () => {
        const range = `bytes=${Array.from({ length: 1_500 }, (_, each) => `${each}-${each}`).join(',')}`
        expectWhole(await get(long, { range }), long)
      })
    })

    describe('conditions', () => {
      it('If-Range: the range when it is this blob, the whole when it is another', async () => {
        const etag = (await head(blob)).header('etag')!
        const range = 'bytes=10-19'
        expect((await get(blob, { range, 'if-range': etag })).status).toBe(206)
        for (const other of ['"other"', `W/${etag}`, 'Wed, 21 Oct 2015 07:28:00 GMT'])
          expectWhole(await get(blob, { range, 'if-range': other }), blob)
      })

      it('If-None-Match: 304 without a body when the client has it', async () => {
        const etag = (await get(blob)).header('etag')!
        expect(etag).toMatch(/^"[^"]+"$/)
        for (const header of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
          for (const answer of [
            await get(blob, { 'if-none-match': header }),
            await head(blob, { 'if-none-match': header }),
            await get(blob, { 'if-none-match': header, range: 'bytes=0-9' }),
          ])
            expect([answer.status, answer.bytes.length, answer.header('etag')]).toEqual([304, 0, etag])
        }
        expectWhole(await get(blob, { 'if-none-match': '"other"' }), blob)
      })

      it('mean nothing where there is no blob', async () => {
        expect((await get({ digest: nobody() }, { 'if-none-match': '*' })).status).toBe(404)
      })
    })
  })
}

function expectWhole(answer: Answer, { bytes, digest }: Content): void {
  expect(answer.status).toBe(200)
  expect(answer.bytes.equals(bytes), 'the bytes that were pushed').toBe(true)
  expect(answer.header('content-length')).toBe(String(bytes.length))
  expect(answer.header('docker-content-digest')).toBe(digest)
  expect(answer.header('content-type')).toBe('application/octet-stream')
  expect(answer.header('content-range')).toBeUndefined()
}

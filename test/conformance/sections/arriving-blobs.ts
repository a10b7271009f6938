import { once } from 'node:events'
import { beforeAll, describe, expect, it } from 'vitest'
import { call, expectRefusal, rawConnection, readRaw } from '../client.ts'
import { type Content, freshContent, freshRepository } from '../content.ts'
import type { Face } from '../faces.ts'
import { partsOf } from '../multipart.ts'
import { pushBlob } from '../pushing.ts'

/** At a megabyte a second it arrives for seconds; the ranges are there in a fraction of one. */
const BLOB_BYTES = 6_000_000

export function arrivingBlobs(face: Face): void {
  describe('a blob that is still arriving', () => {
    const repository = freshRepository()
    let blob: Content
    let path: string
    let isWhole: boolean
    let whole: Promise<string>

    beforeAll(async () => {
      blob = freshContent(BLOB_BYTES)
      path = `/v2/${repository}/blobs/${blob.digest}`
      await pushBlob(face.pushUrl, repository, blob)
      const asked = `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`
      const socket = await rawConnection(face.url, asked)
      isWhole = false
      whole = readRaw(socket)
      socket.once('close', () => {
        isWhole = true
      })
      await once(socket, 'data')
    })

    const get = (headers: Record<string, string> = {}) => call(face.url, 'GET', path, { headers })

    it('has its length and digest at once', async () => {
      const answer = await call(face.url, 'HEAD', path)
      expect(answer.status).toBe(200)
      expect(answer.header('content-length')).toBe(String(BLOB_BYTES))
      expect(answer.header('docker-content-digest')).toBe(blob.digest)
      expect(isWhole).toBe(false)
    })

    it.each([
      ['-1000', BLOB_BYTES - 1_000, BLOB_BYTES],
      ['3000000-3000999', 3_000_000, 3_001_000],
      [`${BLOB_BYTES - 70_000}-`, BLOB_BYTES - 70_000, BLOB_BYTES],
      ['0-0', 0, 1],
    ])('gives bytes=%s before it gives the rest', async (range, start, end) => {
      const answer = await get({ range: `bytes=${range}` })
      expect(answer.status).toBe(206)
      expect(answer.header('content-range')).toBe(`bytes ${start}-${end - 1}/${BLOB_BYTES}`)
      expect(answer.bytes.equals(blob.bytes.subarray(start, end))).toBe(true)
      expect(isWhole).toBe(false)
    })

    it('gives several ranges before it gives the rest', async () => {
      const answer = await get({ range: 'bytes=-10,2000000-2000009' })
      const parts = partsOf(answer.header('content-type')!, answer.bytes)
      expect(parts.map((part) => part.bytes)).toEqual([
        blob.bytes.subarray(-10),
        blob.bytes.subarray(2_000_000, 2_000_010),
      ])
      expect(isWhole).toBe(false)
    })

    it('refuses what lies outside, and says 304 to who has it', async () => {
      expectRefusal(await get({ range: `bytes=${BLOB_BYTES}-` }), 416, 'RANGE_INVALID')
      const etag = (await call(face.url, 'HEAD', path)).header('etag')!
      expect((await get({ 'if-none-match': etag })).status).toBe(304)
      expect(isWhole).toBe(false)
    })

    it('is whole in the end', async () => {
      const text = await whole
      expect(text.slice(0, 15)).toBe('HTTP/1.1 200 OK')
      const body = Buffer.from(text.slice(text.indexOf('\r\n\r\n') + 4), 'latin1')
      expect(body.equals(blob.bytes)).toBe(true)
    })
  })
}

/** Goal: all of `pull-blobs.ts` holds on an agent also while a blob arrives. Method: a throttled agent, while its download runs. */
import { beforeAll, describe, expect, it } from 'vitest'
import { jsonEvent } from '../../support/process.ts'
import { call, expectRefusal } from '../client.ts'
import {
  type Content,
  contentOf,
  descriptorOf,
  freshContent,
  freshRepository,
  manifestOf,
} from '../content.ts'
import type { Face } from '../faces.ts'
import { partsOf } from '../multipart.ts'
import { pushImage } from '../pushing.ts'

/** At a megabyte a second it arrives for seconds; a range of it is there in a fraction of one. */
const BLOB_BYTES = 6_000_000

export function arrivingBlobs(face: Face): void {
  describe('a blob that is still arriving', () => {
    const repository = freshRepository()
    let blob: Content
    let path: string

    beforeAll(async () => {
      blob = freshContent(BLOB_BYTES)
      path = `/v2/${repository}/blobs/${blob.digest}`
      const config = contentOf('{"a":1}')
      const layers = [descriptorOf('application/vnd.oci.image.layer.v1.tar', blob)]
      const manifest = manifestOf({
        config: descriptorOf('application/vnd.oci.image.config.v1+json', config),
        layers,
      })
      await pushImage(face.pushUrl, repository, { manifest, blobs: [config, blob] }, '1')
      // Whoever asks for the manifest is about to ask for the layers: they begin to arrive.
      await call(face.url, 'GET', `/v2/${repository}/manifests/1`)
      await face.cluster.agents[0]!.process.waitForLine(jsonEvent('download-begins'), 30_000)
    })

    const isComplete = jsonEvent('blob-complete')
    const get = (headers: Record<string, string> = {}) => call(face.url, 'GET', path, { headers })
    const isWhole = () =>
      face.cluster.agents[0]!.process.lines.some((line) => isComplete(line) && line.includes(blob.digest))

    it('has its length and digest at once', async () => {
      const answer = await call(face.url, 'HEAD', path)
      expect(answer.status).toBe(200)
      expect(answer.header('content-length')).toBe(String(BLOB_BYTES))
      expect(answer.header('docker-content-digest')).toBe(blob.digest)
      expect(isWhole()).toBe(false)
    })

    it('refuses what lies outside, and says 304 to who has it', async () => {
      expectRefusal(await get({ range: `bytes=${BLOB_BYTES}-` }), 416, 'RANGE_INVALID')
      const etag = (await call(face.url, 'HEAD', path)).header('etag')!
      expect((await get({ 'if-none-match': etag })).status).toBe(304)
      expect(isWhole()).toBe(false)
    })

    it.each([
      ['5000000-5000999', 5_000_000, 5_001_000],
      [`${BLOB_BYTES - 70_000}-${BLOB_BYTES - 2}`, BLOB_BYTES - 70_000, BLOB_BYTES - 1],
      // Over the border of two pieces.
      [`${64 * 65_536 - 5}-${64 * 65_536 + 4}`, 64 * 65_536 - 5, 64 * 65_536 + 5],
      ['0-0', 0, 1],
    ])('gives bytes=%s before the rest is there', async (range, start, end) => {
      const answer = await get({ range: `bytes=${range}` })
      expect(isWhole()).toBe(false)
      expect(answer.status).toBe(206)
      expect(answer.header('content-range')).toBe(`bytes ${start}-${end - 1}/${BLOB_BYTES}`)
      expect(answer.bytes.equals(blob.bytes.subarray(start, end))).toBe(true)
    })

    it('gives several ranges before the rest is there', async () => {
      const answer = await get({ range: 'bytes=4000000-4000009,2000000-2000009' })
      expect(isWhole()).toBe(false)
      const parts = partsOf(answer.header('content-type')!, answer.bytes)
      expect(parts.map((part) => part.bytes)).toEqual([
        blob.bytes.subarray(4_000_000, 4_000_010),
        blob.bytes.subarray(2_000_000, 2_000_010),
      ])
    })

    it('gives a range to a second reader while the first reads the whole', async () => {
      const ends: string[] = []
      const whole = get().then(() => ends.push('whole'))
      const answer = await get({ range: `bytes=${BLOB_BYTES - 200_000}-${BLOB_BYTES - 100_001}` })
      ends.push('range')
      await whole
      expect(answer.status).toBe(206)
      expect(answer.bytes.equals(blob.bytes.subarray(-200_000, -100_000))).toBe(true)
      expect(ends).toEqual(['range', 'whole'])
    })

    it.each(['-1000', `${BLOB_BYTES - 70_000}-`])('gives bytes=%s, up to the last byte', async (range) => {
      const answer = await get({ range: `bytes=${range}` })
      expect(answer.status).toBe(206)
      expect(answer.bytes.equals(blob.bytes.subarray(-answer.bytes.length))).toBe(true)
      expect(answer.bytes).toHaveLength(range === '-1000' ? 1_000 : 70_000)
    })

    it('is whole in the end', async () => {
      const answer = await get()
      expect(answer.status).toBe(200)
      expect(answer.bytes.equals(blob.bytes)).toBe(true)
    })
  })
}

/**
 * Goal: the image for test pulls is what its digests say, and what any client takes for an image.
 * Method: the bytes are hashed here; `tar` of the system reads the layer.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { doctorImage } from './doctor-image.ts'
import { parseManifest, requiredBlobs } from './manifest.ts'

const { manifest, blobs } = doctorImage()

test.each([manifest, ...blobs])('$mediaType has its digest', ({ digest, bytes }) => {
  expect(`sha256:${createHash('sha256').update(bytes).digest('hex')}`).toBe(digest)
})

test('the manifest names the blobs, and the configuration the layer', () => {
  const parsed = parseManifest(Buffer.from(manifest.bytes).toString(), manifest.mediaType)
  expect(requiredBlobs(parsed).map(({ digest, size }) => ({ digest, size }))).toEqual(
    blobs.map(({ digest, bytes }) => ({ digest, size: bytes.length })),
  )
  const config = JSON.parse(Buffer.from(blobs[0]!.bytes).toString())
  expect(config.rootfs.diff_ids).toEqual([blobs[1]!.digest])
})

test('the layer is a tar with one text file, too long to travel inside an answer', () => {
  const layer = blobs[1]!.bytes
  expect(execFileSync('tar', ['-tvf', '-'], { input: layer, encoding: 'utf8' })).toMatch(
    /^-rw-r--r-- 0\/0\s+65536 1970-01-01 .* shoal-doctor\.txt\n$/,
  )
  expect(layer.length).toBeGreaterThan(32 * 1024)
})

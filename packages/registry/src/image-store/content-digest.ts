/** The digest of bytes that are all there. */
import { createHash } from 'node:crypto'
import { type Digest, type DigestAlgorithm, parseDigest } from '@shoal/core'

export function contentDigest(algorithm: DigestAlgorithm, bytes: Uint8Array): Digest {
  return parseDigest(`${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`)
}

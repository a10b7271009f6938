/** Content that can be named before it is sent and read as often as somebody asks. */
import { createHash } from 'node:crypto'
import { type Digest, parseDigest } from '@shoal/core'

export interface BlobSource {
  readonly mediaType: string
  readonly digest: Digest
  readonly sizeBytes: number
  /** The same bytes each time, from the start. */
  open(): AsyncIterable<Uint8Array>
}

/** Reads everything once to learn digest and size; nothing is kept. */
export async function blobSource(
  mediaType: string,
  open: () => AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): Promise<BlobSource> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  for await (const chunk of open()) {
    signal?.throwIfAborted()
    hash.update(chunk)
    sizeBytes += chunk.length
  }
  return { mediaType, digest: sha256Digest(hash.digest('hex')), sizeBytes, open }
}

export function bytesSource(mediaType: string, bytes: Uint8Array): BlobSource {
  const digest = sha256Digest(createHash('sha256').update(bytes).digest('hex'))
  return {
    mediaType,
    digest,
    sizeBytes: bytes.length,
    async *open() {
      yield bytes
    },
  }
}

export function sha256Digest(hex: string): Digest {
  return parseDigest(`sha256:${hex}`)
}

/**
 * Pushes an image to a registry over the OCI Distribution API, streamed under back-pressure.
 * OCI distribution specification, "Pushing a blob monolithically" (POST, then one PUT) and "Pushing Manifests".
 */
import { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import type { BlobSource } from '../image-builder/blob-source.ts'
import type { Image } from '../image-builder/image.ts'
import { call, header } from './connection.ts'
import { PulledDigestError } from './errors.ts'
import { inParallel } from './in-parallel.ts'

/** As many as Docker pushes at once without being told otherwise is five; three leaves a small machine room to breathe. */
const BLOBS_AT_ONCE = 3

export interface PushTarget {
  readonly dispatcher: Dispatcher
  /** `http://host:port`, without a path. */
  readonly registryUrl: string
  readonly repository: string
  readonly signal: AbortSignal
  /** Told as bytes of blobs leave; blobs that the registry had already count at once. */
  readonly onBytes: (bytes: number) => void
}

/** @throws RegistryAnswerError on any answer that the specification does not allow here · PulledDigestError */
export async function pushImage(target: PushTarget, tag: string, image: Image): Promise<void> {
  await inParallel([...image.layers, image.config], BLOBS_AT_ONCE, (blob) => pushBlob(target, blob))
  const url = `${target.registryUrl}/v2/${target.repository}/manifests/${tag}`
  const { dispatcher, signal } = target
  const { mediaType, digest } = image.manifest
  const response = await call('PUT', url, [201], {
    dispatcher,
    signal,
    headers: { 'content-type': mediaType, 'content-length': String(image.manifest.sizeBytes) },
    body: bodyOf(image.manifest.open()),
  })
  await response.body.dump()
  const stored = header(response, 'docker-content-digest')
  if (stored !== undefined && stored !== digest)
    throw new PulledDigestError(url, digest, stored as typeof digest)
}

async function pushBlob(target: PushTarget, blob: BlobSource): Promise<void> {
  const { dispatcher, registryUrl, repository, signal, onBytes } = target
  const blobs = `${registryUrl}/v2/${repository}/blobs`
  const found = await call('HEAD', `${blobs}/${blob.digest}`, [200, 404], { dispatcher, signal })
  await found.body.dump()
  if (found.statusCode === 200) {
    onBytes(blob.sizeBytes)
    return
  }
  const begun = await call('POST', `${blobs}/uploads/`, [202], { dispatcher, signal })
  await begun.body.dump()
  // Relative or absolute, and it may have a query of its own.
  const location = new URL(header(begun, 'location') ?? '', `${blobs}/uploads/`)
  location.searchParams.set('digest', blob.digest)
  const stored = await call('PUT', location.href, [201], {
    dispatcher,
    signal,
    headers: { 'content-type': 'application/octet-stream', 'content-length': String(blob.sizeBytes) },
    body: bodyOf(counted(blob.open(), onBytes)),
  })
  await stored.body.dump()
}

function bodyOf(bytes: AsyncIterable<Uint8Array>): Readable {
  return Readable.from(bytes, { objectMode: false, highWaterMark: 1024 * 1024 })
}

async function* counted(
  bytes: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of bytes) {
    yield chunk
    onBytes(chunk.length)
  }
}

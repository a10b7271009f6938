/**
 * Pulls an image from a registry the way containerd does, checks every digest while bytes arrive, and throws them away.
 * containerd 1.6–2.x, its resolver: HEAD of the tag, GET of the manifest by digest, then three blobs at a time.
 */
import { createHash } from 'node:crypto'
import { type Digest, digestAlgorithm, parseDigest } from '@shoal/core'
import { MANIFEST_BYTES_MAX, MEDIA_TYPES, parseManifest, requiredBlobs } from '@shoal/oci'
import { discardAnswer, type HttpClient, inParallel, readShortBody } from '@shoal/service'
import { call } from './call.ts'
import { PulledDigestError, PulledSizeError } from './errors.ts'

/** containerd's `max_concurrent_downloads`. */
const BLOBS_AT_ONCE = 3
const RESOLVE_ACCEPT = [
  MEDIA_TYPES.dockerManifest,
  MEDIA_TYPES.dockerManifestList,
  MEDIA_TYPES.ociManifest,
  MEDIA_TYPES.ociIndex,
  '*/*',
].join(', ')

export interface PullSource {
  readonly client: HttpClient
  /** `http://host:port`, without a path. */
  readonly registryUrl: string
  readonly repository: string
  readonly signal: AbortSignal
  /** Told as bytes of blobs arrive. */
  readonly onBytes: (bytes: number) => void
}

export interface PulledImage {
  readonly digest: Digest
  /** Configuration and layers. */
  readonly contentBytes: number
}

/** @throws RegistryAnswerError · PulledDigestError · PulledSizeError · OciError when the manifest cannot be read */
export async function pullImage(source: PullSource, tag: string): Promise<PulledImage> {
  const { digest, mediaType } = await resolve(source, tag)
  const manifest = parseManifest(await pullManifest(source, digest, mediaType), mediaType)
  const blobs = requiredBlobs(manifest)
  await inParallel(blobs, BLOBS_AT_ONCE, (blob) => pullBlob(source, blob))
  return { digest, contentBytes: blobs.reduce((sum, { size }) => sum + size, 0) }
}

async function resolve(source: PullSource, tag: string): Promise<{ digest: Digest; mediaType: string }> {
  const { client, signal } = source
  const response = await call('HEAD', urlOf(source, `manifests/${tag}`), [200], {
    client,
    signal,
    headers: { accept: RESOLVE_ACCEPT },
  })
  await discardAnswer(response)
  return {
    digest: parseDigest(response.header('docker-content-digest') ?? ''),
    mediaType: response.header('content-type') ?? '',
  }
}

async function pullManifest(source: PullSource, digest: Digest, mediaType: string): Promise<string> {
  const { client, signal } = source
  const url = urlOf(source, `manifests/${digest}`)
  const response = await call('GET', url, [200], {
    client,
    signal,
    headers: { accept: `${mediaType}, */*` },
  })
  const bytes = await readShortBody(response, MANIFEST_BYTES_MAX)
  if (bytes === undefined) throw new PulledSizeError(url, MANIFEST_BYTES_MAX, MANIFEST_BYTES_MAX + 1)
  expectDigest(url, digest, createHash(digestAlgorithm(digest)).update(bytes).digest('hex'))
  return bytes.toString('utf8')
}

async function pullBlob(
  source: PullSource,
  blob: { mediaType: string; digest: Digest; size: number },
): Promise<void> {
  const { client, signal, onBytes } = source
  const url = urlOf(source, `blobs/${blob.digest}`)
  const response = await call('GET', url, [200], {
    client,
    signal,
    headers: { accept: `${blob.mediaType}, */*` },
  })
  const hash = createHash(digestAlgorithm(blob.digest))
  let sizeBytes = 0
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    hash.update(chunk)
    sizeBytes += chunk.length
    onBytes(chunk.length)
    if (sizeBytes > blob.size) break
  }
  if (sizeBytes !== blob.size) throw new PulledSizeError(url, blob.size, sizeBytes)
  expectDigest(url, blob.digest, hash.digest('hex'))
}

function urlOf({ registryUrl, repository }: PullSource, rest: string): string {
  return `${registryUrl}/v2/${repository}/${rest}`
}

function expectDigest(url: string, expected: Digest, actualHex: string): void {
  const actual = parseDigest(`${digestAlgorithm(expected)}:${actualHex}`)
  if (expected !== actual) throw new PulledDigestError(url, expected, actual)
}

/**
 * Pushes images to a registry over plain HTTP and reads them back, without any client or code of Shoal's own.
 * Source: OCI distribution-spec, "Pushing blobs" (POST, then one PUT) and "Pulling".
 */
import { createHash } from 'node:crypto'
import { request } from 'undici'
import { type Image, type Index, localArchitecture, type Manifest, mediaTypes } from './images.ts'
import type { Blob } from './layers.ts'

export interface PushResult {
  /** Of the image's manifest, or of the index. */
  readonly digest: string
  /** What was sent: blobs that the registry had already do not count. */
  readonly sentBytes: number
}

export class RegistryAnswerError extends Error {
  readonly code = 'TEST_REGISTRY_ANSWER'
  readonly status: number
  readonly body: string
  constructor(method: string, url: string, status: number, body: string) {
    super(`${method} ${url} was answered with ${status}: ${body.slice(0, 2_000)}`)
    this.status = status
    this.body = body
  }
}

/**
 * @param registryUrl `http://host:port`, without a path
 * @throws RegistryAnswerError on any answer that the specification does not allow here
 */
export async function pushImage(
  registryUrl: string,
  repository: string,
  tag: string,
  image: Image,
): Promise<PushResult> {
  let sentBytes = 0
  for (const blob of image.blobs) sentBytes += await pushBlob(registryUrl, repository, blob)
  sentBytes += await pushManifest(registryUrl, repository, tag, image.manifest)
  return { digest: image.manifest.digest, sentBytes }
}

/** Pushes every image by its digest, then the index by its tag. */
export async function pushIndex(
  registryUrl: string,
  repository: string,
  tag: string,
  index: Index,
): Promise<PushResult> {
  let sentBytes = 0
  for (const image of index.images) {
    sentBytes += (await pushImage(registryUrl, repository, image.manifest.digest, image)).sentBytes
  }
  sentBytes += await pushManifest(registryUrl, repository, tag, index.manifest)
  return { digest: index.manifest.digest, sentBytes }
}

/** @returns the bytes sent, 0 when the registry had the blob already */
export async function pushBlob(registryUrl: string, repository: string, blob: Blob): Promise<number> {
  const blobUrl = `${registryUrl}/v2/${repository}/blobs/${blob.digest}`
  if ((await call('HEAD', blobUrl, [200, 404])).status === 200) return 0
  const uploads = `${registryUrl}/v2/${repository}/blobs/uploads/`
  const { location } = await call('POST', uploads, [202])
  // Relative or absolute, with or without a query of its own.
  const target = new URL(location, uploads)
  target.searchParams.set('digest', blob.digest)
  await call('PUT', target.href, [201], {
    headers: { 'content-type': 'application/octet-stream', 'content-length': String(blob.sizeBytes) },
    body: blob.open(),
  })
  return blob.sizeBytes
}

/** @param reference a tag or the manifest's own digest */
export async function pushManifest(
  registryUrl: string,
  repository: string,
  reference: string,
  manifest: Manifest,
): Promise<number> {
  await call('PUT', `${registryUrl}/v2/${repository}/manifests/${reference}`, [201], {
    headers: { 'content-type': manifest.mediaType },
    body: manifest.bytes,
  })
  return manifest.bytes.length
}

export interface PulledImage {
  /** Of the image's own manifest, behind the index when there is one. */
  readonly digest: string
  /** Every blob came whole and with the digest that the manifest names. */
  readonly blobs: readonly { readonly digest: string; readonly sizeBytes: number }[]
  readonly receivedBytes: number
}

/**
 * Pulls an image as a client would, all blobs at once, checks every digest and throws the bytes away.
 * Of an index the image for `architecture` is taken.
 *
 * @throws RegistryAnswerError on a refusal, DigestMismatchError on wrong bytes
 */
export async function pullImage(
  registryUrl: string,
  repository: string,
  reference: string,
  { architecture = localArchitecture }: { architecture?: string } = {},
): Promise<PulledImage> {
  const url = `${registryUrl}/v2/${repository}/manifests/${reference}`
  const { bytes, digest, document } = await pullManifest(url, reference)
  if (document.manifests) {
    const entry = document.manifests.find(({ platform }) => platform?.architecture === architecture)
    if (!entry) throw new Error(`${url} has no image for ${architecture}`)
    return pullImage(registryUrl, repository, entry.digest, { architecture })
  }
  const descriptors = [document.config, ...(document.layers ?? [])].filter((one) => one !== undefined)
  const digests = [...new Set(descriptors.map((one) => one.digest))]
  const blobs = await Promise.all(digests.map((one) => pullBlob(registryUrl, repository, one)))
  const receivedBytes = blobs.reduce((sum, { sizeBytes }) => sum + sizeBytes, bytes.length)
  return { digest, blobs, receivedBytes }
}

/** Reads one blob to its end and checks it. */
export async function pullBlob(
  registryUrl: string,
  repository: string,
  digest: string,
): Promise<{ digest: string; sizeBytes: number }> {
  const url = `${registryUrl}/v2/${repository}/blobs/${digest}`
  const response = await request(url)
  if (response.statusCode !== 200) await refuse('GET', url, response.statusCode, response.body)
  const hash = createHash('sha256')
  let sizeBytes = 0
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    hash.update(chunk)
    sizeBytes += chunk.length
  }
  expectDigest(url, digest, `sha256:${hash.digest('hex')}`)
  return { digest, sizeBytes }
}

class DigestMismatchError extends Error {
  readonly code = 'TEST_DIGEST_MISMATCH'
  constructor(url: string, expected: string, actual: string) {
    super(`${url} gave bytes with the digest ${actual} instead of ${expected}`)
  }
}

interface Descriptor {
  readonly digest: string
  readonly platform?: { readonly architecture: string }
}

interface ManifestDocument {
  readonly config?: Descriptor
  readonly layers?: readonly Descriptor[]
  readonly manifests?: readonly Descriptor[]
}

async function pullManifest(
  url: string,
  reference: string,
): Promise<{ bytes: Uint8Array; digest: string; document: ManifestDocument }> {
  const accept = Object.values(mediaTypes)
    .flatMap(({ index, manifest }) => [index, manifest])
    .join(', ')
  const response = await request(url, { headers: { accept } })
  if (response.statusCode !== 200) await refuse('GET', url, response.statusCode, response.body)
  const bytes = new Uint8Array(await response.body.arrayBuffer())
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  const promised = response.headers['docker-content-digest']
  if (typeof promised === 'string') expectDigest(url, promised, digest)
  if (reference.includes(':')) expectDigest(url, reference, digest)
  return { bytes, digest, document: JSON.parse(Buffer.from(bytes).toString()) as ManifestDocument }
}

function expectDigest(url: string, expected: string, actual: string): void {
  if (expected !== actual) throw new DigestMismatchError(url, expected, actual)
}

async function call(
  method: 'HEAD' | 'POST' | 'PUT',
  url: string,
  statuses: readonly number[],
  options: Pick<NonNullable<Parameters<typeof request>[1]>, 'headers' | 'body'> = {},
): Promise<{ status: number; location: string }> {
  // Storing a layer of many gigabytes may take a registry minutes after the last byte.
  const response = await request(url, { method, ...options, headersTimeout: 600_000 })
  if (!statuses.includes(response.statusCode)) await refuse(method, url, response.statusCode, response.body)
  await response.body.dump()
  const { location } = response.headers
  return { status: response.statusCode, location: typeof location === 'string' ? location : '' }
}

async function refuse(
  method: string,
  url: string,
  status: number,
  body: { text(): Promise<string> },
): Promise<never> {
  throw new RegistryAnswerError(method, url, status, await body.text())
}

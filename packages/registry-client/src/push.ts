/**
 * Pushes an image to a registry over the OCI Distribution API, streamed under back-pressure.
 * OCI distribution specification, "Pushing a blob monolithically" (POST, then one PUT) and "Pushing Manifests".
 */
import { Readable } from 'node:stream'
import { type Digest, digestAlgorithm } from '@shoal/core'
import type { BlobSource, Image } from '@shoal/images'
import { discardAnswer, type HttpClient, inParallel } from '@shoal/service'
import { call } from './call.ts'
import {
  DigestUnsupportedError,
  PushedDigestError,
  PushedSizeError,
  RegistryAnswerError,
  TagUnsupportedError,
} from './errors.ts'

/** As many as Docker pushes at once without being told otherwise is five; three leaves a small machine room to breathe. */
const BLOBS_AT_ONCE = 3

export interface PushTarget {
  readonly client: HttpClient
  /** `http://host:port`, without a path. */
  readonly registryUrl: string
  readonly repository: string
  readonly signal: AbortSignal
  /** The value of an Authorization header, which only the registry itself is shown. */
  readonly authorization?: string | undefined
  /** Told as bytes of blobs leave; blobs that the registry had already count at once. */
  readonly onBytes: (bytes: number, blob: BlobSource, how: 'sent' | 'skipped') => void
}

/** What a registry must have before a tag may name it. */
export interface PushedContent {
  readonly blobs: readonly BlobSource[]
  /** None before what it names, and without the root. */
  readonly manifests: readonly BlobSource[]
  /** The manifest or index that gets the tag. */
  readonly root: BlobSource
}

/** @throws RegistryAnswerError on any answer that the specification does not allow here · PushedDigestError · PushedSizeError · TagUnsupportedError · DigestUnsupportedError */
export async function pushImage(target: PushTarget, tag: string, image: Image): Promise<void> {
  const blobs = [...image.layers, image.config]
  await pushContent(target, tag, { blobs, manifests: [], root: image.manifest })
}

/** Blobs first, manifests next, the tag last: what has a tag is whole. @throws as {@link pushImage} */
export async function pushContent(
  target: PushTarget,
  tag: string,
  { blobs, manifests, root }: PushedContent,
): Promise<void> {
  await pushBlobs(target, blobs)
  for (const manifest of manifests) await pushManifest(target, manifest.digest, manifest)
  // A registry works out the digest of what it is given under a tag by itself, with SHA-256.
  if (digestAlgorithm(root.digest) === 'sha256') await pushManifest(target, tag, root)
  else await pushTagged(target, tag, root)
}

/**
 * OCI distribution specification, development head, "Pushing Manifests": by its digest, with the tag as a parameter. Without
 * the tag first: what the registry refuses, or stores as something else, has none then.
 */
async function pushTagged(target: PushTarget, tag: string, root: BlobSource): Promise<void> {
  const { client, signal, registryUrl, repository } = target
  await pushManifest(target, root.digest, root)
  const tags = await pushManifest(target, `${root.digest}?tag=${encodeURIComponent(tag)}`, root)
  if (tags.includes(tag)) return
  const url = `${registryUrl}/v2/${repository}/manifests/${tag}`
  const headers = { ...authorizationFor(target, url), accept: root.mediaType }
  const found = await call('HEAD', url, [200, 404], { client, signal, headers })
  await discardAnswer(found)
  if (found.status === 404 || found.header('docker-content-digest') !== root.digest)
    throw new TagUnsupportedError(registryUrl, tag, root.digest)
}

/** The first that fails ends the others: nobody waits for gigabytes that come to nothing. */
async function pushBlobs(target: PushTarget, blobs: readonly BlobSource[]): Promise<void> {
  const stop = new AbortController()
  const signal = AbortSignal.any([target.signal, stop.signal])
  let failure: { readonly error: unknown } | undefined
  try {
    await inParallel(blobs, BLOBS_AT_ONCE, async (blob) => {
      try {
        await pushBlob({ ...target, signal }, blob)
      } catch (error) {
        failure ??= { error }
        stop.abort(error)
        throw error
      }
    })
  } catch (error) {
    throw failure === undefined ? error : failure.error
  }
}

/** @returns the tags that the registry says it gave (`OCI-Tag`); not every one says so */
async function pushManifest(
  target: PushTarget,
  reference: string,
  manifest: BlobSource,
): Promise<readonly string[]> {
  const url = `${target.registryUrl}/v2/${target.repository}/manifests/${reference}`
  const { client, signal } = target
  const { mediaType, digest, sizeBytes } = manifest
  const response = await call('PUT', url, [201], {
    client,
    signal,
    headers: {
      ...authorizationFor(target, url),
      'content-type': mediaType,
      'content-length': String(sizeBytes),
    },
    body: bodyOf(exactly(manifest)),
  }).catch((error) => {
    if (!isDigestRefused(error, digest)) throw error
    throw new DigestUnsupportedError(target.registryUrl, digest, { cause: error })
  })
  await discardAnswer(response)
  const stored = response.header('docker-content-digest')
  if (stored !== undefined && stored !== digest) throw new PushedDigestError(url, digest, stored)
  return response.headers('oci-tag').flatMap((value) => value.split(',').map((tag) => tag.trim()))
}

function isDigestRefused(error: unknown, digest: Digest): boolean {
  if (!(error instanceof RegistryAnswerError) || digestAlgorithm(digest) === 'sha256') return false
  return error.status === 400 && error.body.includes('DIGEST_INVALID')
}

async function pushBlob(target: PushTarget, blob: BlobSource): Promise<void> {
  const { client, registryUrl, repository, signal, onBytes } = target
  const blobs = `${registryUrl}/v2/${repository}/blobs`
  const headers = authorizationFor(target, blobs)
  const found = await call('HEAD', `${blobs}/${blob.digest}`, [200, 404], { client, signal, headers })
  await discardAnswer(found)
  if (found.status === 200) {
    onBytes(blob.sizeBytes, blob, 'skipped')
    return
  }
  const begun = await call('POST', `${blobs}/uploads/`, [202], { client, signal, headers })
  await discardAnswer(begun)
  // Relative or absolute, and it may have a query of its own.
  const location = new URL(begun.header('location') ?? '', `${blobs}/uploads/`)
  location.searchParams.set('digest', blob.digest)
  const stored = await call('PUT', location.href, [201], {
    client,
    signal,
    headers: {
      ...authorizationFor(target, location.href),
      'content-type': 'application/octet-stream',
      'content-length': String(blob.sizeBytes),
    },
    body: bodyOf(exactly(blob, (bytes) => onBytes(bytes, blob, 'sent'))),
  })
  await discardAnswer(stored)
}

/** Uploads may go elsewhere, to a store that has no business with the registry's credentials. */
function authorizationFor(
  { authorization, registryUrl }: PushTarget,
  url: string,
): { authorization?: string } {
  if (authorization === undefined || new URL(url).origin !== new URL(registryUrl).origin) return {}
  return { authorization }
}

function bodyOf(bytes: AsyncIterable<Uint8Array>): Readable {
  return Readable.from(bytes, { objectMode: false, highWaterMark: 1024 * 1024 })
}

/**
 * The registry is told how many bytes come, and waits for them: fewer would keep it waiting, more would be another request. The
 * last bytes leave once the source has ended well, so that what it finds wrong at its end is never whole at the registry.
 */
async function* exactly(
  blob: BlobSource,
  onBytes: (bytes: number) => void = () => {},
): AsyncGenerator<Uint8Array> {
  let sizeBytes = 0
  let held: Uint8Array | undefined
  for await (const chunk of blob.open()) {
    if (held !== undefined) {
      yield held
      onBytes(held.length)
    }
    sizeBytes += chunk.length
    held = chunk
    if (sizeBytes > blob.sizeBytes) break
  }
  if (sizeBytes !== blob.sizeBytes) throw new PushedSizeError(blob.digest, blob.sizeBytes, sizeBytes)
  if (held === undefined) return
  yield held
  onBytes(held.length)
}

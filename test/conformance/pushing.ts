/** The steps of a push, each of which must succeed: what the sections build their repositories with. */
import { expect } from 'vitest'
import { type Answer, call } from './client.ts'
import type { Content, ImageContent, ManifestContent } from './content.ts'

/** As clients do it, more or less; in an image of a hundred layers it is what takes the time. */
const BLOBS_AT_ONCE = 8

/** @returns where to upload to: the `Location`, as it came */
export async function beginUpload(base: string, repository: string, query = ''): Promise<string> {
  return locationOf(await call(base, 'POST', `/v2/${repository}/blobs/uploads/${query}`), 202)
}

export function locationOf(answer: Answer, status: number): string {
  expect({ status: answer.status, said: answer.bytes.toString() }).toEqual({ status, said: '' })
  const location = answer.header('location')
  expect(location).toBeTruthy()
  return location!
}

/** The location with one parameter more; those that it has are the registry's own. */
export function withDigest(location: string, digest: string): string {
  return `${location}${location.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`
}

export async function pushBlob(base: string, repository: string, { digest, bytes }: Content): Promise<void> {
  const location = await beginUpload(base, repository)
  const headers = { 'content-type': 'application/octet-stream' }
  const answer = await call(base, 'PUT', withDigest(location, digest), { headers, body: bytes })
  locationOf(answer, 201)
}

export function putManifest(
  base: string,
  repository: string,
  reference: string,
  { bytes, mediaType }: Omit<ManifestContent, 'digest'>,
): Promise<Answer> {
  const headers = { 'content-type': mediaType }
  return call(base, 'PUT', `/v2/${repository}/manifests/${reference}`, { headers, body: bytes })
}

/** @param reference a tag; the manifest's own digest unless told */
export async function pushManifest(
  base: string,
  repository: string,
  manifest: ManifestContent,
  reference: string = manifest.digest,
): Promise<Answer> {
  const answer = await putManifest(base, repository, reference, manifest)
  locationOf(answer, 201)
  return answer
}

export async function pushImage(
  base: string,
  repository: string,
  { manifest, blobs }: ImageContent,
  reference?: string,
): Promise<Answer> {
  for (let first = 0; first < blobs.length; first += BLOBS_AT_ONCE) {
    const some = blobs.slice(first, first + BLOBS_AT_ONCE)
    await Promise.all(some.map((blob) => pushBlob(base, repository, blob)))
  }
  return pushManifest(base, repository, manifest, reference)
}

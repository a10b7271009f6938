/**
 * Goal: a client that looks for a manifest among the blobs of another registry's repository does not find it there as octets.
 * Method: a directory whose seeder has whatever blob is asked for.
 */
import { parseDigest } from '@shoal/core'
import { MEDIA_TYPES } from '@shoal/oci'
import { sha256 } from '@shoal/testing/content'
import { expect, it } from 'vitest'
import { createBackend } from './backend.ts'
import { BLOB_LENGTH, openTestDirectory, resolvedBlob, signedTag } from './testing/test-directory.ts'

it('a look finds what a manifest names, and a pull whatever there is', async () => {
  const layer = sha256('a layer')
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: layer, size: BLOB_LENGTH },
  }
  const bytes = Buffer.from(JSON.stringify(document))
  const manifest = { digest: sha256(bytes), mediaType: MEDIA_TYPES.ociManifest, bytes }
  await using opened = await openTestDirectory({
    answer: (_, { repository, reference, blob }) => {
      if (blob !== undefined) return { manifests: [], blobs: [resolvedBlob(parseDigest(blob))] }
      const record = { repository, tag: reference!, digest: manifest.digest, issuedAtMs: 1 }
      return { tag: signedTag(record), manifests: [manifest], blobs: [resolvedBlob(layer)] }
    },
    nowMs: () => 0,
    onWanted: () => {},
  })
  const { directory } = opened
  const nothing = { find: () => undefined, whole: () => undefined }
  const backend = createBackend({ directory, downloads: nothing } as unknown as Parameters<
    typeof createBackend
  >[0])
  const { signal } = new AbortController()
  const stat = (name: string, purpose: 'look' | 'pull', digest = layer) =>
    backend.blobStat(name, digest, purpose, signal)
  const found = { digest: layer, length: BLOB_LENGTH, isArriving: false }
  expect(await stat('docker.io/team/app', 'look')).toBeUndefined()
  expect(await stat('team/app', 'look')).toEqual(found)
  await backend.manifest('docker.io/team/app', { kind: 'tag', tag: '1' }, 'pull', signal)
  expect(await stat('docker.io/team/app', 'look')).toEqual(found)
  expect(await stat('docker.io/team/app', 'look', manifest.digest)).toBeUndefined()
  expect(await stat('quay.io/team/app', 'pull')).toEqual(found)
})

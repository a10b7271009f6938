/**
 * The one image of a folder that `skopeo copy … dir:` has written: `manifest.json`, for an index the others of its manifests as
 * `<hex>.manifest.json`, and every blob as `<hex>`. Signatures beside them (`signature-1`) are not pushed.
 * containers/image, "containers-transports(5)", and what skopeo 1.9 writes.
 */
import { createHash } from 'node:crypto'
import { type Digest, digestHex } from '@shoal/core'
import { MEDIA_TYPES } from '@shoal/oci'
import { sha256Digest } from '../builder/blob-source.ts'
import { type ArchiveFiles, readDocument } from './archive-files.ts'
import type { ArchivedImage } from './archived-image.ts'
import type { Content, Wanted } from './content.ts'
import { ArchiveFormatError } from './errors.ts'
import { parseDocument } from './manifest-document.ts'

/** Tells it from what `docker save` has written, which has a `manifest.json` of another kind. */
export const DIRECTORY_VERSION_FILE = 'version'
const MANIFEST_FILE = 'manifest.json'
const VERSION = /^Directory Transport Version: 1\.[01]\s*$/

/** @throws ImageArchiveError */
export async function directoryImages(files: ArchiveFiles): Promise<readonly ArchivedImage[]> {
  const version = (await readDocument(files, DIRECTORY_VERSION_FILE)).toString('utf8')
  if (!VERSION.test(version))
    throw new ArchiveFormatError(
      files.path,
      `${DIRECTORY_VERSION_FILE} says ${JSON.stringify(version.slice(0, 60))}, which is no version of skopeo's dir: that is known here`,
    )
  const bytes = await readDocument(files, MANIFEST_FILE)
  const digest = sha256Digest(createHash('sha256').update(bytes).digest('hex'))
  const root = { mediaType: mediaTypeOf(files.path, bytes), digest, size: bytes.length }
  const location = { content: directoryContent(files, root), root, referrers: [] }
  return [{ names: [digest], isPart: false, locate: async () => location }]
}

function directoryContent(files: ArchiveFiles, root: Wanted): Content {
  return {
    path: files.path,
    find: async (digest: Digest) => {
      if (digest === root.digest) return files.find(MANIFEST_FILE)
      const hex = digestHex(digest)
      return (await files.find(`${hex}.${MANIFEST_FILE}`)) ?? files.find(hex)
    },
  }
}

/** Nothing but the document itself says what it is. */
function mediaTypeOf(path: string, bytes: Buffer): string {
  const text = bytes.toString('utf8')
  const { kind } = parseDocument(path, MANIFEST_FILE, text)
  const { mediaType } = JSON.parse(text) as { mediaType?: unknown }
  if (typeof mediaType === 'string' && mediaType !== '') return mediaType
  return kind === 'index' ? MEDIA_TYPES.ociIndex : MEDIA_TYPES.ociManifest
}

/** Content by its digest: what an archive holds, verified while it is read. */
import { createHash } from 'node:crypto'
import { type Digest, digestAlgorithm, digestHex } from '@shoal/core'
import type { Descriptor } from '@shoal/oci'
import type { BlobSource } from '../builder/blob-source.ts'
import type { ArchiveFile, ArchiveFiles } from './archive-files.ts'
import {
  ArchiveUnreadableError,
  ContentCorruptError,
  ContentMissingError,
  ImageArchiveError,
} from './errors.ts'

export interface Content {
  /** For messages. */
  readonly path: string
  find(digest: Digest): Promise<ArchiveFile | undefined>
}

/** What a descriptor asks for and nothing more. */
export type Wanted = Pick<Descriptor, 'mediaType' | 'digest' | 'size'>

/** OCI image layout specification, "Blobs". */
export function layoutContent(files: ArchiveFiles): Content {
  return {
    path: files.path,
    find: (digest) => files.find(`blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`),
  }
}

/** @throws ContentMissingError · ContentCorruptError when its length is another */
export async function findBlob(content: Content, { mediaType, digest, size }: Wanted): Promise<BlobSource> {
  const { path } = content
  const file = await content.find(digest)
  if (file === undefined) throw new ContentMissingError(path, digest)
  if (file.sizeBytes !== size)
    throw new ContentCorruptError(path, digest, `should have ${size} bytes and has ${file.sizeBytes}`)
  return { mediaType, digest, sizeBytes: size, open: () => verified(path, digest, file) }
}

/**
 * Holds the last bytes back until all are known to be right, so that a request that declares a length is never complete
 * with wrong ones.
 * @throws ContentCorruptError · ArchiveUnreadableError, while it is read
 */
async function* verified(path: string, digest: Digest, file: ArchiveFile): AsyncGenerator<Uint8Array> {
  const hash = createHash(digestAlgorithm(digest))
  let sizeBytes = 0
  let held: Uint8Array | undefined
  for await (const chunk of readable(path, file)) {
    hash.update(chunk)
    sizeBytes += chunk.length
    if (sizeBytes > file.sizeBytes) break
    if (held !== undefined) yield held
    held = chunk
  }
  if (sizeBytes !== file.sizeBytes)
    throw new ContentCorruptError(path, digest, `should have ${file.sizeBytes} bytes and has ${sizeBytes}`)
  const actual = hash.digest('hex')
  if (actual !== digestHex(digest))
    throw new ContentCorruptError(
      path,
      digest,
      `has bytes of the digest ${digestAlgorithm(digest)}:${actual}`,
    )
  if (held !== undefined) yield held
}

async function* readable(path: string, file: ArchiveFile): AsyncGenerator<Uint8Array> {
  try {
    yield* file.open()
  } catch (error) {
    if (error instanceof ImageArchiveError) throw error
    throw new ArchiveUnreadableError(path, (error as Error).message, { cause: error })
  }
}

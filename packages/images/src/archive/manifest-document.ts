/** Manifests and indexes of an archive, checked against their digest and read as strictly as a registry reads them. */
import { manifestKindOf, OciError, type ParsedManifest, parseManifest } from '@shoal/oci'
import type { BlobSource } from '../builder/blob-source.ts'
import { collect } from './archive-files.ts'
import { type Content, findBlob, type Wanted } from './content.ts'
import { ArchiveFormatError } from './errors.ts'

export interface ManifestDocument {
  readonly source: BlobSource
  readonly text: string
  readonly parsed: ParsedManifest
}

/** An index may name anything; what is neither manifest nor index is a blob to a registry. */
export function isManifest({ mediaType }: Pick<Wanted, 'mediaType'>): boolean {
  return manifestKindOf(mediaType) !== undefined
}

/** @throws ContentMissingError · ContentCorruptError · ArchiveLimitError · ArchiveFormatError */
export async function readManifestDocument(content: Content, wanted: Wanted): Promise<ManifestDocument> {
  const source = await findBlob(content, wanted)
  const bytes = await collect(content.path, wanted.digest, source)
  const text = bytes.toString('utf8')
  return { source, text, parsed: parseDocument(content.path, wanted.digest, text, wanted.mediaType) }
}

/** @param mediaType what was said about it; undefined when nothing was */
export function parseDocument(path: string, name: string, text: string, mediaType?: string): ParsedManifest {
  try {
    return parseManifest(text, mediaType)
  } catch (error) {
    if (error instanceof OciError)
      throw new ArchiveFormatError(path, `${name}: ${error.message}`, { cause: error })
    throw error
  }
}

/** The annotations of each descriptor of an index, which @shoal/oci does not read, in the index's order. */
export function annotationsOf(indexText: string): readonly Readonly<Record<string, string>>[] {
  const { manifests } = JSON.parse(indexText) as { manifests?: { annotations?: unknown }[] | null }
  return (manifests ?? []).map(({ annotations }) => {
    if (typeof annotations !== 'object' || annotations === null) return {}
    return Object.fromEntries(Object.entries(annotations).filter(([, value]) => typeof value === 'string'))
  })
}

/** The files of an archive, whether a folder or a tar holds them. Nothing longer than a document is held in memory. */
import { ArchiveLimitError, ContentMissingError } from './errors.ts'

export interface ArchiveFile {
  readonly sizeBytes: number
  /** The same bytes each time, from the start. */
  open(): AsyncIterable<Uint8Array>
}

export interface ArchiveFiles extends AsyncDisposable {
  /** What the person named, for messages. */
  readonly path: string
  /**
   * @param name relative, with slashes
   * @returns the same object for the same content, where links lead to it; undefined when there is no such file
   * @throws ArchivePathError when the name, or a link that it leads to, leaves the archive
   */
  find(name: string): Promise<ArchiveFile | undefined>
}

/** Bytes that are read at a time: few turns of the event loop for a layer of gigabytes. */
export const READ_BYTES = 1024 * 1024
/** Manifests, indexes, configurations: what registries take of a manifest (`MANIFEST_BYTES_MAX` of @shoal/oci). */
export const DOCUMENT_BYTES_MAX = 4 * 1024 * 1024

/** @throws ContentMissingError · ArchiveLimitError when it is longer than a document may be */
export async function readDocument(files: ArchiveFiles, name: string): Promise<Buffer> {
  const file = await files.find(name)
  if (file === undefined) throw new ContentMissingError(files.path, name)
  return collect(files.path, name, file)
}

/** @throws ArchiveLimitError before anything is read */
export async function collect(path: string, name: string, file: ArchiveFile): Promise<Buffer> {
  if (file.sizeBytes > DOCUMENT_BYTES_MAX) {
    throw new ArchiveLimitError(
      path,
      `${name} has ${file.sizeBytes} bytes, ${DOCUMENT_BYTES_MAX} are allowed for a document`,
    )
  }
  const chunks: Uint8Array[] = []
  for await (const chunk of file.open()) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Opens what a person named, whatever of the formats it is: a folder, a tar, a compressed tar. */
import { type FileHandle, open, stat } from 'node:fs/promises'
import type { ArchiveFiles } from './archive-files.ts'
import type { ArchivedImage } from './archived-image.ts'
import { compressionOf, MAGIC_BYTES } from './compression.ts'
import { DIRECTORY_VERSION_FILE, directoryImages } from './directory-transport.ts'
import { SAVED_IMAGES_FILE, savedImages } from './docker-save.ts'
import { ArchiveFormatError, ArchiveUnreadableError } from './errors.ts'
import { folderFiles } from './folder-files.ts'
import { LAYOUT_FILE, layoutImages } from './oci-layout.ts'
import { spool } from './spool.ts'
import { tarFiles } from './tar-files.ts'
import { transportHint } from './transport-hint.ts'

export interface OpenArchive extends AsyncDisposable {
  readonly path: string
  readonly images: readonly ArchivedImage[]
}

/** @throws ImageArchiveError, or the signal's reason */
export async function openArchive(path: string, signal: AbortSignal): Promise<OpenArchive> {
  const files = await openFiles(path, signal)
  try {
    return {
      path,
      images: await imagesOf(files, signal),
      [Symbol.asyncDispose]: () => files[Symbol.asyncDispose](),
    }
  } catch (error) {
    await files[Symbol.asyncDispose]()
    throw error
  }
}

/** Docker ≥ 25 writes both documents; its layout has the manifest as it was, which the other would only approach. */
async function imagesOf(files: ArchiveFiles, signal: AbortSignal): Promise<readonly ArchivedImage[]> {
  if ((await files.find(LAYOUT_FILE)) !== undefined) return layoutImages(files)
  if ((await files.find(DIRECTORY_VERSION_FILE)) !== undefined) return directoryImages(files)
  if ((await files.find(SAVED_IMAGES_FILE)) !== undefined) return savedImages(files, signal)
  throw new ArchiveFormatError(
    files.path,
    `it has neither ${LAYOUT_FILE} (an OCI image layout) nor ${SAVED_IMAGES_FILE} (docker save, skopeo's dir:) at its top`,
  )
}

async function openFiles(path: string, signal: AbortSignal): Promise<ArchiveFiles> {
  try {
    const found = await stat(path)
    if (found.isDirectory()) return await folderFiles(path)
    if (!found.isFile()) throw new ArchiveFormatError(path, 'it is neither a folder nor a file')
    return await tarFiles({ file: await openTar(path, signal), path, signal })
  } catch (error) {
    const { syscall, message } = error as NodeJS.ErrnoException
    if (syscall === undefined) throw error
    throw new ArchiveUnreadableError(path, transportHint(path) ?? message, { cause: error })
  }
}

async function openTar(path: string, signal: AbortSignal): Promise<FileHandle> {
  const file = await open(path)
  let tar = file
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(MAGIC_BYTES), 0, MAGIC_BYTES, 0)
    const compression = compressionOf(buffer.subarray(0, bytesRead))
    if (compression !== undefined) tar = await spool({ file, path, signal }, compression)
  } catch (error) {
    await file.close()
    throw error
  }
  if (tar !== file) await file.close()
  return tar
}

/**
 * Layers as uncompressed tar streams. Nothing is written to disk or collected in memory: the tar is made anew each time
 * that the layer is read, and its bytes depend on the files alone.
 * OCI image specification, "Image Layer Filesystem Changeset". Uncompressed, a layer's digest is also its diff id.
 */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { MEDIA_TYPES } from '@shoal/oci'
import { type Header, type Pack, pack } from 'tar-stream'
import { type BlobSource, blobSource } from './blob-source.ts'

export interface LayerFile {
  /** Inside the image, absolute. */
  readonly path: string
  readonly sizeBytes: number
  /** Permission bits. */
  readonly mode: number
  open(): AsyncIterable<Uint8Array>
}

/** Larger reads than Node's usual 64 KiB: fewer turns of the event loop for a binary of a hundred megabytes. */
const READ_BYTES = 1024 * 1024

export async function buildLayer(files: readonly LayerFile[], signal?: AbortSignal): Promise<BlobSource> {
  return blobSource(MEDIA_TYPES.ociLayer, () => tarOf(files), signal)
}

/** @param source a file of this machine; links are followed */
export async function fileFromDisk(path: string, source: string, mode: number): Promise<LayerFile> {
  const { size } = await stat(source)
  const open = () => createReadStream(source, { highWaterMark: READ_BYTES })
  return { path, sizeBytes: size, mode, open }
}

export function fileFromText(path: string, text: string): LayerFile {
  const bytes = Buffer.from(text)
  return {
    path,
    sizeBytes: bytes.length,
    mode: 0o644,
    async *open() {
      yield bytes
    },
  }
}

async function* tarOf(files: readonly LayerFile[]): AsyncGenerator<Uint8Array> {
  const tar = pack()
  const filled = fill(tar, files).catch((error: Error) => tar.destroy(error))
  try {
    for await (const chunk of tar as AsyncIterable<Uint8Array>) yield chunk
  } finally {
    // Whoever stops reading early leaves no open file behind.
    tar.destroy()
    await filled
  }
}

async function fill(tar: Pack, files: readonly LayerFile[]): Promise<void> {
  for (const folder of foldersOf(files)) {
    tar.entry({ ...still, name: `${folder}/`, type: 'directory', mode: 0o755 })
  }
  for (const { path, sizeBytes, mode, open } of files) {
    const sink = tar.entry({ ...still, name: path.slice(1), size: sizeBytes, mode })
    await pipeline(Readable.from(open(), { objectMode: false, highWaterMark: READ_BYTES }), sink)
  }
  tar.finalize()
}

/** Nothing that differs from one making to the next. */
const still = { mtime: new Date(0), uid: 0, gid: 0 } satisfies Partial<Header>

/** Parents before children, without the leading slash. */
function foldersOf(files: readonly LayerFile[]): string[] {
  const folders = new Set<string>()
  for (const { path } of files) {
    const parts = path.split('/').slice(1, -1)
    for (let depth = 1; depth <= parts.length; depth++) folders.add(parts.slice(0, depth).join('/'))
  }
  return [...folders].sort()
}

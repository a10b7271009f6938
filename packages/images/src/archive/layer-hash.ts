/** What a layer of `docker save` is called in a registry: read once, both digests come out of it. */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Digest, type DigestAlgorithm, parseDigest } from '@shoal/core'
import { MEDIA_TYPES } from '@shoal/oci'
import { sha256Digest } from '../builder/blob-source.ts'
import { type ArchiveFile, READ_BYTES } from './archive-files.ts'
import { type Compression, compressionOf, decompressor, unpackedBytesMax } from './compression.ts'
import { ArchiveFormatError, ArchiveLimitError, ImageArchiveError } from './errors.ts'

export interface HashedLayer {
  readonly mediaType: string
  readonly digest: Digest
  /** Of the tar, uncompressed; what a configuration names. */
  readonly diffId: Digest
  readonly sizeBytes: number
}

const MEDIA_TYPE: Readonly<Record<Compression | 'none', string>> = {
  none: MEDIA_TYPES.ociLayer,
  gzip: MEDIA_TYPES.ociLayerGzip,
  zstd: MEDIA_TYPES.ociLayerZstd,
}

/** What gzip makes of zeros is a 1032nd of them: layers may have such. */
const UNPACKED_TIMES_MAX = 1_100

/**
 * Docker's own layers are plain tars; some other tools compress them, and they are pushed as they are.
 * @param diffIdAlgorithm in which the configuration names the tar
 */
export async function hashLayer(
  path: string,
  name: string,
  file: ArchiveFile,
  diffIdAlgorithm: DigestAlgorithm,
  signal: AbortSignal,
): Promise<HashedLayer> {
  const compression = await compressionOfFile(file)
  const hash = createHash('sha256')
  const diffHash = createHash(diffIdAlgorithm)
  const diffIdOf = () => parseDigest(`${diffIdAlgorithm}:${diffHash.digest('hex')}`)
  const bytes = hashing(file, hash, signal)
  if (compression === undefined) {
    for await (const chunk of bytes) if (diffIdAlgorithm !== 'sha256') diffHash.update(chunk)
    const digest = sha256Digest(hash.digest('hex'))
    const diffId = diffIdAlgorithm === 'sha256' ? digest : diffIdOf()
    return { mediaType: MEDIA_TYPE.none, digest, diffId, sizeBytes: file.sizeBytes }
  }
  const unpacking = decompressor(compression)
  if (unpacking === undefined) throw new ArchiveFormatError(path, `this Node cannot unpack ${compression}`)
  try {
    const packed = Readable.from(bytes, { objectMode: false, highWaterMark: READ_BYTES })
    const bytesMax = unpackedBytesMax(file.sizeBytes, UNPACKED_TIMES_MAX)
    await pipeline(
      packed,
      unpacking,
      async (unpacked: AsyncIterable<Buffer>) => {
        let bytes = 0
        for await (const chunk of unpacked) {
          bytes += chunk.length
          if (bytes > bytesMax)
            throw new ArchiveLimitError(
              path,
              `the ${file.sizeBytes} bytes of ${name} unpack to more than ${bytesMax}`,
            )
          diffHash.update(chunk)
        }
      },
      { signal },
    )
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof ImageArchiveError) throw error
    throw new ArchiveFormatError(path, `the ${compression} of ${name} is damaged`, { cause: error })
  }
  return {
    mediaType: MEDIA_TYPE[compression],
    digest: sha256Digest(hash.digest('hex')),
    diffId: diffIdOf(),
    sizeBytes: file.sizeBytes,
  }
}

async function compressionOfFile(file: ArchiveFile): Promise<Compression | undefined> {
  for await (const chunk of file.open()) return compressionOf(chunk)
  return undefined
}

async function* hashing(
  file: ArchiveFile,
  hash: ReturnType<typeof createHash>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of file.open()) {
    signal.throwIfAborted()
    hash.update(chunk)
    yield chunk
  }
}

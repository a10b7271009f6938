/**
 * Layers for test images, made without any network: files in a gzip tar, bytes that nothing compresses, nothing at all.
 * The digests are computed here and not with the code under test.
 */
import { createCipheriv, createHash, type Hash } from 'node:crypto'
import { Readable, Transform } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { createGzip, gzip, zstdCompressSync } from 'node:zlib'
import { type Header, pack } from 'tar-stream'

/** Bytes by digest. */
export interface Blob {
  /** `sha256:<hex>` */
  readonly digest: string
  readonly sizeBytes: number
  /** The bytes, from the start, as often as asked. */
  open(): Readable
}

export interface Layer extends Blob {
  /** Digest of the tar before compression, as a config's `rootfs.diff_ids` has it. */
  readonly diffId: string
  /** gzip unless told. */
  readonly compression?: 'zstd'
}

export interface LayerFile {
  /** Inside the image, without a leading slash. */
  readonly path: string
  readonly content: Uint8Array | string
  /** 0o644 unless told. */
  readonly mode?: number
}

/** A layer of files, gzipped, held in memory. The same files give the same digest. */
export async function fileLayer(files: readonly LayerFile[]): Promise<Layer> {
  const { tar, diffId } = await packFiles(files)
  return { ...memoryBlob(await promisify(gzip)(tar, { level: 1 })), diffId }
}

/** The same, compressed with zstd as BuildKit and `podman push --compression-format zstd` do. */
export async function zstdLayer(files: readonly LayerFile[]): Promise<Layer> {
  const { tar, diffId } = await packFiles(files)
  return { ...memoryBlob(zstdCompressSync(tar)), diffId, compression: 'zstd' }
}

async function packFiles(files: readonly LayerFile[]): Promise<{ tar: Uint8Array; diffId: string }> {
  const tar = pack()
  for (const folder of foldersOf(files)) tar.entry({ ...still, name: folder, type: 'directory', mode: 0o755 })
  for (const { path, content, mode = 0o644 } of files) {
    tar.entry({ ...still, name: path, mode }, Buffer.from(content))
  }
  tar.finalize()
  const bytes = await buffer(tar)
  return { tar: bytes, diffId: memoryBlob(bytes).digest }
}

/**
 * A layer with one file of `contentBytes` incompressible bytes, a function of `seed` alone; made anew each time it is
 * opened, so that a layer of many gigabytes takes no memory and no disk. About 3 s per GB to make, as much to open.
 * It is a valid gzip whose blocks are stored, a few bytes longer than its content.
 */
export async function randomLayer(init: {
  contentBytes: number
  seed: string
  path?: string
}): Promise<Layer> {
  const path = init.path ?? `random/${createHash('sha256').update(init.seed).digest('hex').slice(0, 12)}`
  const open = (diff?: Hash) => {
    const gzip = createGzip({ level: 0, chunkSize: CHUNK_BYTES })
    const tar = pack()
    const entry = tar.entry({ ...still, name: path, size: init.contentBytes, mode: 0o644 })
    const content = Readable.from(randomBytes(init), { objectMode: false, highWaterMark: CHUNK_BYTES })
    pipeline(content, entry).then(
      () => tar.finalize(),
      (error: Error) => tar.destroy(error),
    )
    // A reader that goes away early is its own business; a failure of the source reaches it through `gzip`.
    const sent = diff ? pipeline(tar, hashing(diff), gzip) : pipeline(tar, gzip)
    sent.catch(() => {})
    return gzip
  }
  const [diff, compressed] = [createHash('sha256'), createHash('sha256')]
  let sizeBytes = 0
  for await (const chunk of open(diff) as AsyncIterable<Buffer>) {
    compressed.update(chunk)
    sizeBytes += chunk.length
  }
  const [digest, diffId] = [`sha256:${compressed.digest('hex')}`, `sha256:${diff.digest('hex')}`]
  return { digest, sizeBytes, diffId, open: () => open() }
}

/** `count` different layers of the same size. */
export function randomLayers(init: { count: number; contentBytes: number; seed: string }): Promise<Layer[]> {
  const { count, contentBytes, seed } = init
  return Promise.all(
    Array.from({ length: count }, (_, i) => randomLayer({ contentBytes, seed: `${seed}/${i}` })),
  )
}

/** The empty layer as the Docker Engine writes it, 32 bytes of gzip around an empty tar: registries know it by its digest. */
export function emptyLayer(): Layer {
  const gzip = Buffer.from('1f8b080000096e8800ff621805a360148c5800080000ffff2eafb5ef00040000', 'hex')
  const diff = createHash('sha256').update(new Uint8Array(1024))
  return { ...memoryBlob(gzip), diffId: `sha256:${diff.digest('hex')}` }
}

export function memoryBlob(bytes: Uint8Array): Blob {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  return { digest, sizeBytes: bytes.length, open: () => Readable.from([bytes], { objectMode: false }) }
}

// Nothing that changes from one making to the next.
const still = { mtime: new Date(0), uid: 0, gid: 0 } satisfies Partial<Header>

const CHUNK_BYTES = 1024 * 1024
/** A cipher's key stream: as good as random and, at more than a gigabyte a second, never what a test waits for. */
function* randomBytes({ contentBytes, seed }: { contentBytes: number; seed: string }): Generator<Uint8Array> {
  const key = createHash('sha256').update(seed).digest()
  const cipher = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16))
  const zeros = new Uint8Array(CHUNK_BYTES)
  for (let left = contentBytes; left > 0; left -= CHUNK_BYTES) {
    yield cipher.update(left < CHUNK_BYTES ? zeros.subarray(0, left) : zeros)
  }
}

function foldersOf(files: readonly LayerFile[]): string[] {
  const folders = new Set<string>()
  for (const { path } of files) {
    const parts = path.split('/').slice(0, -1)
    for (let depth = 1; depth <= parts.length; depth += 1) folders.add(parts.slice(0, depth).join('/'))
  }
  return [...folders].sort()
}

function hashing(hash: Hash): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk)
      done(null, chunk)
    },
  })
}

/**
 * The demo's layers: plain tar files, hashed while they are written. Uncompressed, since Node's own binary compresses
 * slower than it moves, and a layer's digest and its diff ID are the same then.
 */
import { createCipheriv, createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Header, type Pack, pack } from 'tar-stream'

export interface LayerFile {
  /** In the image, without a leading slash. */
  readonly path: string
  readonly mode: number
  readonly content:
    | { readonly kind: 'text'; readonly text: string }
    | { readonly kind: 'copy'; readonly of: string }
    /** Incompressible, a function of the seed alone. */
    | { readonly kind: 'noise'; readonly bytes: number; readonly seed: string }
}

export interface Layer {
  /** The tar file on this machine. */
  readonly file: string
  readonly digest: string
  readonly bytes: number
}

const NOISE_CHUNK_BYTES = 1024 * 1024

/** Writes a layer with these files, and the folders that they need, to `file`. */
export async function writeLayer(file: string, files: readonly LayerFile[]): Promise<Layer> {
  const tar = pack()
  const digest = createHash('sha256')
  let bytes = 0
  const meter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      digest.update(chunk)
      bytes += chunk.length
      done(null, chunk)
    },
  })
  const written = pipeline(tar, meter, createWriteStream(file))
  const added = addAll(tar, files).catch((error: Error) => tar.destroy(error))
  await Promise.all([written, added])
  return { file, digest: `sha256:${digest.digest('hex')}`, bytes }
}

async function addAll(tar: Pack, files: readonly LayerFile[]): Promise<void> {
  for (const folder of foldersOf(files)) tar.entry(header(`${folder}/`, { type: 'directory', mode: 0o755 }))
  for (const { path, mode, content } of files) {
    switch (content.kind) {
      case 'text':
        tar.entry(header(path, { mode }), content.text)
        break
      case 'copy': {
        const { size } = await stat(content.of)
        await pipeline(createReadStream(content.of), tar.entry(header(path, { mode, size })))
        break
      }
      case 'noise':
        await pipeline(noise(content), tar.entry(header(path, { mode, size: content.bytes })))
    }
  }
  tar.finalize()
}

/** A fixed time: the same files make the same layer. */
function header(name: string, rest: Partial<Header>) {
  return { name, mtime: new Date(0), ...rest }
}

function foldersOf(files: readonly LayerFile[]): string[] {
  const folders = new Set<string>()
  for (const { path } of files) {
    const parts = path.split('/').slice(0, -1)
    for (let depth = 1; depth <= parts.length; depth++) folders.add(parts.slice(0, depth).join('/'))
  }
  return [...folders].sort()
}

/** A cipher's key stream: as good as chance, and faster than the disk. */
function* noise({ bytes, seed }: { bytes: number; seed: string }): Generator<Buffer> {
  const key = createHash('sha256').update(seed).digest()
  const cipher = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16))
  for (let left = bytes; left > 0; left -= NOISE_CHUNK_BYTES) {
    yield cipher.update(Buffer.alloc(Math.min(left, NOISE_CHUNK_BYTES)))
  }
}

/**
 * Blobs as files of one folder. A complete blob is `blobs/<alg>/<ab>/<hex>`; one that is on its way is `partial/<alg>-<hex>`,
 * preallocated and sparse; beside them, `metainfo/<alg>-<hex>` says what either should be, and `signatures/<alg>-<hex>` is what
 * somebody signed of that.
 *
 * Killed at any instant, the folder says enough: a complete blob was flushed and checked before it got its name, and every
 * piece of a partial one is verified again at the next start, because nothing else proves that it reached the disk.
 */
import { EventEmitter } from 'node:events'
import { link, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  assert,
  type Digest,
  decodeInfo,
  digestAlgorithm,
  digestHex,
  encodeInfo,
  type Metainfo,
  MetainfoInvalidError,
  torrentName,
  tryParseDigest,
} from '@shoal/core'
import { codeOf, FILE_MODE, FOLDER_MODE, makeFolder, openStaged, publish } from './durable.ts'
import { FileBlob } from './file-blob.ts'
import type { PieceStore, StoredBlob } from './piece-store.ts'

const SIGNATURE_BYTES_MAX = 512

export interface FilePieceStoreEvents {
  /** A piece was found damaged, and is not in its blob's `have` any more. */
  damaged: [digest: Digest, pieceIndex: number]
}

export class FilePieceStore extends EventEmitter<FilePieceStoreEvents> implements PieceStore {
  readonly #folder: string
  readonly #blobs = new Map<Digest, FileBlob>()
  readonly #opening = new Map<Digest, Promise<FileBlob>>()
  /** Not confirmed yet. */
  readonly #arriving = new Map<Digest, FileBlob>()

  constructor(init: { readonly folder: string }) {
    super()
    this.#folder = init.folder
  }

  async start(): Promise<void> {
    await makeFolder(join(this.#folder, 'blobs'))
    await makeFolder(join(this.#folder, 'partial'))
    await makeFolder(join(this.#folder, 'metainfo'))
    await makeFolder(join(this.#folder, 'signatures'))
    await rm(this.#staging, { recursive: true, force: true })
    await mkdir(this.#staging, { mode: FOLDER_MODE })
    for (const name of await readdir(join(this.#folder, 'metainfo'))) await this.#takeUp(name)
    await this.#removeStray()
  }

  async stop(): Promise<void> {
    await Promise.allSettled(this.#opening.values())
    await Promise.all([...this.#blobs.values(), ...this.#arriving.values()].map((blob) => blob.close()))
    this.#arriving.clear()
    this.#blobs.clear()
  }

  get(digest: Digest): StoredBlob | undefined {
    return this.#blobs.get(digest)
  }

  blobs(): readonly StoredBlob[] {
    return [...this.#blobs.values()]
  }

  async open(metainfo: Metainfo): Promise<StoredBlob> {
    const { digest } = metainfo
    const known = this.#blobs.get(digest)
    if (known !== undefined) return known
    let opening = this.#opening.get(digest)
    if (opening === undefined) {
      opening = this.#create(metainfo).finally(() => this.#opening.delete(digest))
      this.#opening.set(digest, opening)
    }
    return opening
  }

  async adopt(metainfo: Metainfo, path: string): Promise<StoredBlob | undefined> {
    const { digest } = metainfo
    const known = this.#blobs.get(digest) ?? (await this.#opening.get(digest))
    if (known !== undefined) return known
    if ((await sizeOf(path)) !== metainfo.length) return undefined
    const paths = this.#paths(digest)
    const adopting = (async () => {
      await this.#writeMetainfo(metainfo)
      await makeFolder(dirname(paths.complete))
      await link(path, paths.complete)
      const blob = this.#blobOf(metainfo)
      blob.markComplete()
      await blob.vouchFor()
      this.#blobs.set(digest, blob)
      return blob
    })()
    this.#opening.set(digest, adopting)
    try {
      return await adopting
    } catch (error) {
      await rm(paths.metainfo, { force: true })
      if (codeOf(error) === undefined) throw error
      return undefined
    } finally {
      this.#opening.delete(digest)
    }
  }

  async openArriving(metainfo: Metainfo): Promise<StoredBlob> {
    const { digest } = metainfo
    assert(!this.#blobs.has(digest) && !this.#arriving.has(digest), 'a blob arrives once')
    const blob = this.#blobOf(metainfo)
    this.#arriving.set(digest, blob)
    await blob.allocate()
    return blob
  }

  confirm(metainfo: Metainfo): void {
    const blob = this.#arriving.get(metainfo.digest)
    if (blob === undefined) return
    this.#arriving.delete(metainfo.digest)
    blob.confirm(metainfo, () => this.#writeMetainfo(metainfo))
    this.#blobs.set(metainfo.digest, blob)
  }

  async dropArriving(digest: Digest): Promise<void> {
    const blob = this.#arriving.get(digest)
    if (blob === undefined) return
    this.#arriving.delete(digest)
    await blob.close()
    // Somebody may have opened the blob in the ordinary way meanwhile.
    if (!this.#blobs.has(digest)) await rm(this.#paths(digest).partial, { force: true })
  }

  async sign(digest: Digest, signature: Uint8Array): Promise<void> {
    const blob = this.#blobs.get(digest)
    if (blob === undefined) return
    // What was decoded is a view of the whole message.
    blob.signature = Uint8Array.from(signature)
    // It is not flushed: without it, or with half of it, whoever signed it is asked again.
    await writeFile(this.#paths(digest).signature, signature, { mode: FILE_MODE })
  }

  async remove(digest: Digest): Promise<void> {
    await this.#opening.get(digest)?.catch(() => {})
    const blob = this.#blobs.get(digest)
    this.#blobs.delete(digest)
    await blob?.close()
    // The metainfo goes last: it is what a restart looks for.
    const paths = this.#paths(digest)
    await rm(paths.complete, { force: true })
    await rm(paths.partial, { force: true })
    await rm(paths.signature, { force: true })
    await rm(paths.metainfo, { force: true })
  }

  get #staging(): string {
    return join(this.#folder, 'staging')
  }

  #paths(digest: Digest) {
    const hex = digestHex(digest)
    const name = torrentName(digest)
    return {
      complete: join(this.#folder, 'blobs', digestAlgorithm(digest), hex.slice(0, 2), hex),
      partial: join(this.#folder, 'partial', name),
      metainfo: join(this.#folder, 'metainfo', name),
      signature: join(this.#folder, 'signatures', name),
    }
  }

  #blobOf(metainfo: Metainfo, describe?: () => Promise<void>): FileBlob {
    const { digest } = metainfo
    return new FileBlob(metainfo, this.#paths(digest), {
      onDamaged: (index) => this.emit('damaged', digest, index),
      ...(describe !== undefined && { describe }),
    })
  }

  async #create(metainfo: Metainfo): Promise<FileBlob> {
    const blob = this.#blobOf(metainfo, () => this.#writeMetainfo(metainfo))
    await blob.allocate()
    this.#blobs.set(metainfo.digest, blob)
    return blob
  }

  async #writeMetainfo(metainfo: Metainfo): Promise<void> {
    const staged = await openStaged(this.#staging)
    try {
      try {
        await staged.handle.writeFile(encodeInfo(metainfo))
        await staged.handle.sync()
      } finally {
        await staged.handle.close()
      }
      await publish(staged.path, this.#paths(metainfo.digest).metainfo, { ifAbsent: false })
    } catch (error) {
      // On a full disk, what could not be kept has to go, or the disk stays full.
      await rm(staged.path, { force: true })
      throw error
    }
  }

  /** Finds what belongs to one metainfo file, and drops what cannot be believed. */
  async #takeUp(name: string): Promise<void> {
    const digest = tryParseDigest(name.replace('-', ':'))
    const path = join(this.#folder, 'metainfo', name)
    const metainfo = digest && readMetainfo(await readFile(path))
    if (digest === undefined || metainfo?.digest !== digest) {
      await rm(path, { recursive: true, force: true })
      return
    }
    const paths = this.#paths(digest)
    const blob = this.#blobOf(metainfo)
    blob.signature = await readSmall(paths.signature)
    if ((await sizeOf(paths.complete)) === metainfo.length) blob.markComplete()
    else if ((await sizeOf(paths.partial)) === metainfo.length) await blob.verifyPieces()
    else {
      await this.remove(digest)
      return
    }
    this.#blobs.set(digest, blob)
  }

  /** Removes partial files that no metainfo tells of, since nobody could finish them, and signatures of nothing. */
  async #removeStray(): Promise<void> {
    for (const name of await readdir(join(this.#folder, 'partial'))) {
      const digest = tryParseDigest(name.replace('-', ':'))
      const blob = digest && this.#blobs.get(digest)
      if (blob === undefined || blob.isComplete)
        await rm(join(this.#folder, 'partial', name), { recursive: true, force: true })
    }
    for (const name of await readdir(join(this.#folder, 'signatures'))) {
      const digest = tryParseDigest(name.replace('-', ':'))
      if (digest === undefined || !this.#blobs.has(digest))
        await rm(join(this.#folder, 'signatures', name), { recursive: true, force: true })
    }
  }
}

/** @returns undefined where there is no such file, or its length is not a signature's */
async function readSmall(path: string): Promise<Uint8Array | undefined> {
  const length = await sizeOf(path)
  return length === undefined || length === 0 || length > SIGNATURE_BYTES_MAX ? undefined : readFile(path)
}

function readMetainfo(bytes: Uint8Array): Metainfo | undefined {
  try {
    return decodeInfo(bytes)
  } catch (error) {
    if (error instanceof MetainfoInvalidError) return undefined
    throw error
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const found = await stat(path)
    return found.isFile() ? found.size : undefined
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

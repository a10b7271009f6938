/** One blob of a FilePieceStore: a file that fills up piece by piece, then gets its final name. */
import { hash } from 'node:crypto'
import { type FileHandle, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import {
  assert,
  Bitfield,
  bytesEqual,
  digestAlgorithm,
  digestHex,
  type Metainfo,
  pieceBytes,
  pieceCount,
  pieceSha256,
  toHex,
} from '@shoal/core'
import { FILE_MODE, makeFolder, syncFolder } from './durable.ts'
import { BlobDigestMismatchError, BlobRemovedError } from './errors.ts'
import { type FileDigest, sharedHasher } from './hasher.ts'
import { readBytes, type StoredBlob } from './piece-store.ts'
import { PieceWrites } from './piece-writes.ts'

/** A blob so short is hashed when it is whole, at once: waking the hashing thread would take longer. */
const SHORT_BYTES = 1024 * 1024
/** A handle that nobody used for this long is closed: a node may hold thousands of blobs. */
const HANDLE_IDLE_MS = 5_000

export class FileBlob implements StoredBlob {
  have: Bitfield
  signature: Uint8Array | undefined
  readonly #paths: { readonly complete: string; readonly partial: string }
  /** What the file should be is on disk: without it, a restart drops the file. */
  #described: Promise<void> = Promise.resolve()
  readonly #describe: () => Promise<void>
  #isComplete = false
  #completing: Promise<void> | undefined
  #isClosed = false
  #handle: Promise<FileHandle> | undefined
  #handleUsers = 0
  readonly #writes: PieceWrites
  /** The digest of the file, as far as its beginning is here without a gap. */
  #digest: FileDigest | undefined
  #firstMissing = 0
  #idleTimer: NodeJS.Timeout | undefined

  #metainfo: Metainfo

  constructor(
    metainfo: Metainfo,
    paths: { readonly complete: string; readonly partial: string },
    describe: () => Promise<void> = async () => {},
  ) {
    this.#metainfo = metainfo
    this.#paths = paths
    this.#describe = describe
    this.have = new Bitfield(pieceCount(metainfo))
    this.#writes = new PieceWrites(metainfo.pieceLength, (index, parts) => this.#write(index, parts))
  }

  get metainfo(): Metainfo {
    return this.#metainfo
  }

  get isComplete(): boolean {
    return this.#isComplete
  }

  /** Makes the file, sparse, with its final length. */
  async allocate(): Promise<void> {
    if (this.metainfo.length > SHORT_BYTES) sharedHasher.wake()
    const handle = await open(this.#paths.partial, 'w', FILE_MODE)
    try {
      await handle.truncate(this.metainfo.length)
    } finally {
      await handle.close()
    }
    // Nobody waits for the disk before the first piece may come; whoever completes the blob hears of it.
    this.#described = this.#describe()
    this.#described.catch(() => {})
  }

  /**
   * What the file should be has become known, after some of it was written by hashes that were learned one by one. Pieces
   * that are not what they should be are forgotten.
   */
  confirm(metainfo: Metainfo, describe: () => Promise<void>): void {
    const { digest, length, pieceLength } = this.#metainfo
    assert(
      metainfo.digest === digest && metainfo.length === length && metainfo.pieceLength === pieceLength,
      'a blob is confirmed as itself',
    )
    for (let index = 0; index < this.have.length; index++)
      if (
        this.have.has(index) &&
        !bytesEqual(pieceSha256(this.#metainfo, index), pieceSha256(metainfo, index))
      )
        this.have.clear(index)
    this.#metainfo = metainfo
    this.#described = describe()
    this.#described.catch(() => {})
  }

  /** The file under its final name was checked before it got it. */
  markComplete(): void {
    this.have = Bitfield.full(this.have.length)
    this.#isComplete = true
  }

  /** Looks which pieces of a file that an earlier process left are right. */
  async verifyPieces(): Promise<void> {
    const { metainfo } = this
    await this.#withHandle(async (handle) => {
      const buffer = Buffer.allocUnsafe(metainfo.pieceLength)
      for (let index = 0; index < this.have.length; index++) {
        const length = pieceBytes(metainfo, index)
        const piece = buffer.subarray(0, length)
        const { bytesRead } = await handle.read(piece, 0, length, index * metainfo.pieceLength)
        if (bytesRead !== length) return
        if (bytesEqual(hash('sha256', piece, 'buffer'), pieceSha256(metainfo, index))) this.have.set(index)
      }
    })
  }

  async writePiece(index: number, parts: readonly Uint8Array[]): Promise<void> {
    assert(bytesOf(parts) === pieceBytes(this.metainfo, index), 'a piece is written whole')
    // What is there is right, and its file may be about to get its final name.
    if (this.have.has(index)) return
    await this.#writes.add(index, parts)
    this.have.set(index)
  }

  async #write(index: number, parts: readonly Uint8Array[]): Promise<void> {
    await this.#withHandle(async (handle) => {
      let position = index * this.metainfo.pieceLength
      for (let rest = parts; rest.length > 0; ) {
        const { bytesWritten } = await handle.writev(rest, position)
        position += bytesWritten
        rest = withoutFirst(rest, bytesWritten)
      }
    })
  }

  async readInto(start: number, parts: readonly Uint8Array[]): Promise<void> {
    assert(start >= 0 && start + bytesOf(parts) <= this.metainfo.length, 'a range lies within the blob')
    await this.#withHandle(async (handle) => {
      let position = start
      for (let rest = withoutFirst(parts, 0); rest.length > 0; ) {
        const { bytesRead } = await handle.readv(rest, position)
        assert(bytesRead > 0, 'a file keeps its length')
        position += bytesRead
        rest = withoutFirst(rest, bytesRead)
      }
    })
  }

  complete(): Promise<void> {
    this.#completing ??= this.#complete().catch((error) => {
      this.#completing = undefined
      throw error
    })
    return this.#completing
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#idleTimer)
    await this.#completing?.catch(() => {})
    await this.#described.catch(() => {})
    await this.#digest?.forget()
    if (this.#handleUsers === 0) await this.#closeHandle()
  }

  async #complete(): Promise<void> {
    assert(this.have.isFull, 'every piece is there')
    if (this.#isComplete) return
    await this.#checkDigest()
    await this.#described
    await this.#withHandle((handle) => handle.sync())
    await makeFolder(dirname(this.#paths.complete))
    // An open handle follows its file to the new name.
    await rename(this.#paths.partial, this.#paths.complete)
    await syncFolder(dirname(this.#paths.complete))
    this.#isComplete = true
  }

  hashAhead(): void {
    if (this.#isClosed || this.metainfo.length <= SHORT_BYTES) return
    this.#digest ??= sharedHasher.file(this.#paths.partial, digestAlgorithm(this.metainfo.digest))
    this.#firstMissing = this.have.nextMissing(this.#firstMissing)
    this.#digest.advance(Math.min(this.#firstMissing * this.metainfo.pieceLength, this.metainfo.length))
  }

  async #checkDigest(): Promise<void> {
    if ((await this.#digestOfFile()) === digestHex(this.metainfo.digest)) return
    this.have = new Bitfield(this.have.length)
    throw new BlobDigestMismatchError(this.metainfo.digest)
  }

  async #digestOfFile(): Promise<string> {
    const { digest, length } = this.metainfo
    if (length <= SHORT_BYTES) {
      return hash(digestAlgorithm(digest), await readBytes(this, 0, length), 'hex')
    }
    this.hashAhead()
    const hashing = this.#digest
    if (hashing === undefined) throw new BlobRemovedError(digest)
    this.#digest = undefined
    this.#firstMissing = 0
    return toHex(await hashing.digest())
  }

  async #withHandle<T>(work: (handle: FileHandle) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new BlobRemovedError(this.metainfo.digest)
    clearTimeout(this.#idleTimer)
    this.#handleUsers++
    try {
      this.#handle ??= this.#isComplete ? open(this.#paths.complete, 'r') : open(this.#paths.partial, 'r+')
      return await work(await this.#handle)
    } finally {
      if (--this.#handleUsers === 0) {
        if (this.#isClosed) await this.#closeHandle()
        else this.#idleTimer = setTimeout(() => void this.#closeHandle(), HANDLE_IDLE_MS).unref()
      }
    }
  }

  async #closeHandle(): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    try {
      await (await handle)?.close()
    } catch {
      // It could not be opened: whoever opened it has heard of it.
    }
  }
}

function bytesOf(parts: readonly Uint8Array[]): number {
  let bytes = 0
  for (const part of parts) bytes += part.length
  return bytes
}

/** What is left of `parts` after their first `count` bytes. */
function withoutFirst(parts: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let skipped = 0
  for (const [position, part] of parts.entries()) {
    if (skipped + part.length > count) return [part.subarray(count - skipped), ...parts.slice(position + 1)]
    skipped += part.length
  }
  return []
}

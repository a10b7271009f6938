/** One blob of a FilePieceStore: a file that fills up piece by piece, then gets its final name. */
import { hash } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
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
import { codeOf, FILE_MODE, makeFolder, syncFolder } from './durable.ts'
import { BlobDigestMismatchError, BlobRemovedError, PieceDamagedError } from './errors.ts'
import { type FileDigest, sharedHasher } from './hasher.ts'
import { sharedPieceChecks } from './piece-checks.ts'
import { readBytes, type StoredBlob } from './piece-store.ts'
import { PieceWrites } from './piece-writes.ts'

/** A blob so short is hashed when it is whole, at once: waking the hashing thread would take longer. */
const SHORT_BYTES = 1024 * 1024
/** A handle that nobody used for this long is closed: a node may hold thousands of blobs. */
const HANDLE_IDLE_MS = 5_000
/** While a file is read, it is looked this often whether somebody has changed it: some microseconds each time. */
const LOOK_INTERVAL_MS = 50

/** A file that is open, for all who use it. */
interface OpenFile {
  readonly handle: Promise<FileHandle>
  users: number
  /** Others are not given it any more; the last user closes it. */
  isRetired: boolean
}

export class FileBlob implements StoredBlob {
  have: Bitfield
  signature: Uint8Array | undefined
  readonly #paths: { readonly complete: string; readonly partial: string }
  /** Resolves when the metainfo is on disk; without it, a restart drops the file. */
  #described: Promise<void> = Promise.resolve()
  readonly #describe: () => Promise<void>
  #isComplete = false
  #completing: Promise<void> | undefined
  #isClosed = false
  #file: OpenFile | undefined
  /** Pieces that this process has seen to be right, because it wrote them or has verified them. */
  readonly #verified: Bitfield
  /** What the file of a complete blob looked like: it changes with every write, whoever writes. */
  #seen: string | undefined
  #lookedAtMs = Number.NEGATIVE_INFINITY
  readonly #checking = new Map<number, Promise<boolean>>()
  #demoting: Promise<void> | undefined
  readonly #onDamaged: (index: number) => void
  readonly #writes: PieceWrites
  /** The digest of the file, as far as its beginning is here without a gap. */
  #digest: FileDigest | undefined
  #firstMissing = 0
  #idleTimer: NodeJS.Timeout | undefined

  #metainfo: Metainfo

  constructor(
    metainfo: Metainfo,
    paths: { readonly complete: string; readonly partial: string },
    init: {
      readonly describe?: () => Promise<void>
      readonly onDamaged?: (index: number) => void
    } = {},
  ) {
    this.#metainfo = metainfo
    this.#paths = paths
    this.#describe = init.describe ?? (async () => {})
    this.#onDamaged = init.onDamaged ?? (() => {})
    this.#verified = new Bitfield(pieceCount(metainfo))
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
    await this.#makeSparse()
    // Pieces may come before this is on disk. If it fails, `complete` does.
    this.#described = this.#describe()
    this.#described.catch(() => {})
  }

  async #makeSparse(): Promise<void> {
    const handle = await open(this.#paths.partial, 'w', FILE_MODE)
    try {
      await handle.truncate(this.metainfo.length)
    } finally {
      await handle.close()
    }
  }

  /**
   * The metainfo has become known, after some pieces were verified by hashes that were learned one by one. Pieces that do not
   * agree with it are forgotten.
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

  /** The file under its final name was checked before it got it; what became of it since is seen when it is read. */
  markComplete(): void {
    this.have = Bitfield.full(this.have.length)
    this.#isComplete = true
  }

  /** The file under its final name was written and checked a moment ago. */
  async vouchFor(): Promise<void> {
    await this.#withHandle((handle) => this.#look(handle))
    for (let index = 0; index < this.#verified.length; index++) this.#verified.set(index)
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
        if (!bytesEqual(hash('sha256', piece, 'buffer'), pieceSha256(metainfo, index))) continue
        this.have.set(index)
        this.#verified.set(index)
      }
    })
  }

  async writePiece(index: number, parts: readonly Uint8Array[]): Promise<void> {
    assert(bytesOf(parts) === pieceBytes(this.metainfo, index), 'a piece is written whole')
    // The piece is there and right, and the file may be about to get its final name: it is not written again.
    if (this.have.has(index)) return
    await this.#writes.add(index, parts)
    this.#verified.set(index)
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
      const doubt = this.#doubt(handle, start, start + bytesOf(parts))
      if (doubt !== undefined) await doubt
      let position = start
      for (let rest = withoutFirst(parts, 0); rest.length > 0; ) {
        const { bytesRead } = await handle.readv(rest, position)
        assert(bytesRead > 0, 'a file keeps its length')
        position += bytesRead
        rest = withoutFirst(rest, bytesRead)
      }
    })
  }

  /** Verifies what was not seen right yet of the bytes [start, end); undefined where there is nothing to do. */
  #doubt(handle: FileHandle, start: number, end: number): Promise<void> | undefined {
    const first = Math.floor(start / this.metainfo.pieceLength)
    const last = Math.floor((end - 1) / this.metainfo.pieceLength)
    const isUnchanged = !this.#isComplete || performance.now() - this.#lookedAtMs < LOOK_INTERVAL_MS
    return isUnchanged && this.#areVerified(first, last) ? undefined : this.#settle(handle, first, last)
  }

  async #settle(handle: FileHandle, first: number, last: number): Promise<void> {
    if (this.#isComplete) await this.#look(handle)
    for (let index = first; index <= last; index++) {
      const isRight = this.#verified.has(index) || (await this.#checkPiece(handle, index, true))
      if (!isRight) throw new PieceDamagedError(this.metainfo.digest, index)
    }
  }

  #areVerified(first: number, last: number): boolean {
    for (let index = first; index <= last; index++) if (!this.#verified.has(index)) return false
    return true
  }

  /** Whether the file is the one that was verified: its time of change is the system's, and cannot be set. */
  async #look(handle: FileHandle): Promise<void> {
    const { ino, size, ctimeNs } = await handle.stat({ bigint: true })
    const seen = `${ino} ${size} ${ctimeNs}`
    this.#lookedAtMs = performance.now()
    if (this.#seen === seen) return
    if (this.#seen !== undefined) clear(this.#verified)
    this.#seen = seen
  }

  async check(index?: number): Promise<boolean> {
    const [first, last] = index === undefined ? [0, this.have.length - 1] : [index, index]
    let isRight = true
    for (let one = first; one <= last; one++) {
      if (!this.have.has(one)) continue
      try {
        isRight =
          (await this.#withHandle((handle) => this.#checkPiece(handle, one, index === undefined))) && isRight
      } catch (error) {
        if (error instanceof PieceDamagedError) isRight = false
        else throw error
      }
    }
    return isRight
  }

  /** Callers at the same time share one look. */
  #checkPiece(handle: FileHandle, index: number, isUrgent: boolean): Promise<boolean> {
    let checking = this.#checking.get(index)
    if (checking === undefined) {
      checking = this.#lookAtPiece(handle, index, isUrgent).finally(() => this.#checking.delete(index))
      this.#checking.set(index, checking)
    }
    return checking
  }

  async #lookAtPiece(handle: FileHandle, index: number, isUrgent: boolean): Promise<boolean> {
    if (await sharedPieceChecks.isRight(handle, this.metainfo, index, isUrgent)) {
      this.#verified.set(index)
      return true
    }
    if (!this.have.clear(index)) return false
    this.#verified.clear(index)
    await this.#demote({ isGone: false })
    this.#onDamaged(index)
    return false
  }

  /** The file does not hold the blob that its final name says: it becomes a partial file again, whose missing pieces are fetched. */
  #demote({ isGone }: { isGone: boolean }): Promise<void> {
    this.#demoting ??= this.#becomePartial(isGone).finally(() => {
      this.#demoting = undefined
    })
    return this.#demoting
  }

  async #becomePartial(isGone: boolean): Promise<void> {
    if (!this.#isComplete) return
    this.#isComplete = false
    this.#completing = undefined
    const file = this.#file
    this.#file = undefined
    if (file !== undefined) file.isRetired = true
    // A file that has other names, as the origin's has, is not written to.
    const isOthers = isGone || file === undefined || (await (await file.handle).stat()).nlink !== 1
    if (!isOthers) return rename(this.#paths.complete, this.#paths.partial)
    clear(this.have)
    await rm(this.#paths.complete, { force: true })
    await this.#makeSparse()
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
    const file = this.#file
    if (file?.users === 0) await this.#closeFile(file)
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
    this.#seen = undefined
    await this.vouchFor()
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
    if (this.#demoting !== undefined) await this.#demoting.catch(() => {})
    if (this.#isClosed) throw new BlobRemovedError(this.metainfo.digest)
    clearTimeout(this.#idleTimer)
    this.#file ??= { handle: this.#open(), users: 0, isRetired: false }
    const file = this.#file
    file.users++
    try {
      return await work(await file.handle)
    } finally {
      if (--file.users === 0) {
        if (this.#isClosed || file.isRetired) await this.#closeFile(file)
        else this.#idleTimer = setTimeout(() => void this.#closeFile(file), HANDLE_IDLE_MS).unref()
      }
    }
  }

  async #open(): Promise<FileHandle> {
    if (!this.#isComplete) return open(this.#paths.partial, 'r+')
    try {
      return await open(this.#paths.complete, 'r')
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
      // Somebody has removed it: nothing of it is here any more.
      const first = this.have.nextInBoth(this.have)
      await this.#demote({ isGone: true })
      this.#onDamaged(first)
      throw new PieceDamagedError(this.metainfo.digest, first)
    }
  }

  async #closeFile(file: OpenFile): Promise<void> {
    if (this.#file === file) this.#file = undefined
    try {
      await (await file.handle).close()
    } catch {
      // It could not be opened, and whoever opened it was told so.
    }
  }
}

/** Clears it in place, because others hold the same bitfield. */
function clear(bits: Bitfield): void {
  for (let index = 0; index < bits.length; index++) bits.clear(index)
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

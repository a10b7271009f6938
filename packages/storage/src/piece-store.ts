/**
 * The agent's cache (and the seeder's copy of what it read from the origin): blobs, whole or in part, by digest.
 * One interface, several backends, one contract suite (`testing/piece-store-contract.ts`).
 *
 * A piece counts only once it is on disk and verified. Whoever writes a piece has verified it; after a crash the store
 * verifies what it finds again, because a file system may have kept the length and lost the bytes. Disks forget, too: a piece of
 * a complete blob is verified before it is read the first time, and again when its file was changed meanwhile.
 */
import type { Bitfield, Digest, Metainfo } from '@shoal/core'

/** One blob in the store. Reading and writing one piece at a time from several places at once is fine. */
export interface StoredBlob {
  readonly metainfo: Metainfo
  /** Verified pieces that are in the store; grows as pieces are written. */
  readonly have: Bitfield
  /** What somebody signed of the metainfo, if that is known. The store does not look at it. */
  readonly signature: Uint8Array | undefined
  /** The whole blob is here and its digest was checked. */
  readonly isComplete: boolean
  /**
   * Keeps piece `index`, in place; `have` has it when the promise resolves.
   * @param parts exactly the piece, one part after the other, verified by the caller
   */
  writePiece(index: number, parts: readonly Uint8Array[]): Promise<void>
  /**
   * Fills `parts`, one after the other, with the blob's bytes from `start` on; all of pieces that are in `have`. What was not
   * seen right since it was written, or since this process began, is verified first.
   * @throws PieceDamagedError when the disk has other bytes; the piece is not in `have` any more, the blob not complete
   */
  readInto(start: number, parts: readonly Uint8Array[]): Promise<void>
  /**
   * Verifies what the disk has of a complete blob, piece `index` or every piece; what is damaged is not in `have` any more.
   * @returns whether all that was looked at is right
   */
  check(index?: number): Promise<boolean>
  /**
   * The digest will be asked for when the last piece is here: what is here without a gap from the beginning may be hashed
   * while others are still coming.
   */
  hashAhead(): void
  /**
   * Checks the digest of the whole blob, makes it durable and keeps it as complete. All pieces must be there. Called
   * twice, it does the work once.
   * @throws BlobDigestMismatchError when the bytes are not the blob; every piece is forgotten then
   */
  complete(): Promise<void>
}

/** Bytes [start, end) in memory of their own; for what is short. */
export async function readBytes(
  from: Pick<StoredBlob, 'readInto'>,
  start: number,
  end: number,
): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafe(end - start)
  await from.readInto(start, [bytes])
  return bytes
}

export interface PieceStore {
  /** Finds what an earlier process left, and verifies what was not complete. */
  start(): Promise<void>
  /** Waits for writes under way and closes files. */
  stop(): Promise<void>
  /** What the store has of the blob, or undefined. */
  get(digest: Digest): StoredBlob | undefined
  /** Every blob that the store has, whole or in part. */
  blobs(): readonly StoredBlob[]
  /** What the store has of the blob, or a new blob without pieces (its space preallocated, sparse where possible). */
  open(metainfo: Metainfo): Promise<StoredBlob>
  /**
   * Takes up a blob that is whole in a file of this machine, without copying it; whoever wrote the file has checked it.
   * @param path a file that is never changed in place
   * @returns undefined where that cannot be done: on another file system, or when the file has not the blob's length
   */
  adopt(metainfo: Metainfo, path: string): Promise<StoredBlob | undefined>
  /**
   * A blob whose pieces' hashes are still being learned (`unknownMetainfo`). It is not among the others, and does not survive a
   * restart, until it is confirmed.
   */
  openArriving(metainfo: Metainfo): Promise<StoredBlob>
  /** The blob's metainfo is known: what arrived of it is now a blob like the others. Does nothing where nothing arrived. */
  confirm(metainfo: Metainfo): void
  /** Forgets what arrived of the blob. */
  dropArriving(digest: Digest): Promise<void>
  /** Keeps a signature of the blob's metainfo beside it. Does nothing for a blob that is not here. */
  sign(digest: Digest, signature: Uint8Array): Promise<void>
  /** Forgets the blob and frees its space; reads under way may fail. */
  remove(digest: Digest): Promise<void>
}

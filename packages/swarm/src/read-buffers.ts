/**
 * Memory that readers fill and clients are sent from, used again and again: a node that serves thousands of short blobs would
 * otherwise leave as many freed buffers behind, which the allocator keeps.
 */

const READ_BUFFER_BYTES = 256 * 1024

/** Kept for the next reader; a busy node has more in use, which are given back to the system. */
const KEPT_MAX = 16

const free: Uint8Array[] = []

export function takeReadBuffer(): Uint8Array {
  return free.pop() ?? new Uint8Array(READ_BUFFER_BYTES)
}

/** Nobody reads from it any more. */
export function giveReadBuffer(buffer: Uint8Array): void {
  if (free.length < KEPT_MAX) free.push(buffer)
}

/**
 * Whether a store refused a write because it is full. Then nothing can be marked before it is removed, and what removes has to
 * do without: it must be able to run when it is needed most. Pure.
 */

/** What systems and stores say: `ENOSPC` and `EDQUOT` of a folder; RGW, MinIO and RFC 4918 (507). */
const CODES = new Set([
  'ENOSPC',
  'EDQUOT',
  'QuotaExceeded',
  'XMinioStorageFull',
  'InsufficientStorage',
  'InsufficientCapacity',
])
const CAUSES_MAX = 8

export function isNoRoom(error: unknown): boolean {
  let cause = error
  for (let depth = 0; depth < CAUSES_MAX && typeof cause === 'object' && cause !== null; depth++) {
    const { code, name, $metadata, cause: deeper } = cause as StoreFailure
    if (CODES.has(code ?? '') || CODES.has(name ?? '') || $metadata?.httpStatusCode === 507) return true
    cause = deeper
  }
  return false
}

interface StoreFailure {
  readonly code?: string
  readonly name?: string
  readonly $metadata?: { readonly httpStatusCode?: number }
  readonly cause?: unknown
}

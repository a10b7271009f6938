/**
 * Byte ranges: what a client asks of a blob, and where a chunk of an upload belongs. Pure.
 * RFC 9110, 14: `Range` and `Content-Range`; OCI distribution specification, "Pushing a blob in chunks" (`start-end`).
 */

/** Bytes `start` up to and without `end`. */
export interface ByteSpan {
  readonly start: number
  readonly end: number
}

export type RangeRequest =
  /** No range was asked for, or what was asked for is not understood and therefore ignored. */
  | { readonly kind: 'whole' }
  /** In the order asked for, each within the blob and not empty; may overlap. */
  | { readonly kind: 'ranges'; readonly ranges: readonly [ByteSpan, ...ByteSpan[]] }
  /** Nothing that was asked for exists: 416. */
  | { readonly kind: 'unsatisfiable' }

/** zstd:chunked clients ask for some hundred ranges at a time; more are answered with the whole. */
export const RANGES_MAX = 1_024

const WHOLE: RangeRequest = { kind: 'whole' }

/**
 * Reads a `Range` header against a blob of `length` bytes.
 * An empty blob has no byte that a range could name; it is given whole, since clients send `bytes=0-` without looking.
 */
export function parseRange(header: string | undefined, length: number): RangeRequest {
  const match = /^bytes[ \t]*=(.*)$/is.exec(header?.trim() ?? '')
  if (match === null || length === 0) return WHOLE
  const specs = match[1]!.split(',', RANGES_MAX + 1)
  if (specs.length > RANGES_MAX) return WHOLE
  const ranges: ByteSpan[] = []
  let specCount = 0
  for (const spec of specs) {
    const text = spec.trim()
    // A list may have empty elements (RFC 9110, 5.6.1).
    if (text === '') continue
    const range = parseSpec(text, length)
    if (range === 'malformed') return WHOLE
    if (range !== 'outside') ranges.push(range)
    specCount++
  }
  if (specCount === 0) return WHOLE
  const [first, ...others] = ranges
  return first === undefined ? { kind: 'unsatisfiable' } : { kind: 'ranges', ranges: [first, ...others] }
}

/** `Content-Range` of a 206. */
export function formatContentRange({ start, end }: ByteSpan, length: number): string {
  return `bytes ${start}-${end - 1}/${length}`
}

/** `Content-Range` of a 416. */
export function formatUnsatisfiedRange(length: number): string {
  return `bytes */${length}`
}

/**
 * Reads the `Content-Range` of an upload's chunk: `start-end`, both inclusive. The form of RFC 9110, `bytes a-b/c`, is
 * taken as well.
 *
 * @returns undefined when it is neither
 */
export function parseUploadRange(header: string): ByteSpan | undefined {
  const match = /^(?:bytes[ \t]+)?([0-9]{1,16})-([0-9]{1,16})(?:\/(?:[0-9]{1,16}|\*))?$/i.exec(header.trim())
  if (match === null) return undefined
  const start = Number(match[1])
  const last = Number(match[2])
  // Below the last safe integer, so that `end` is one too.
  if (last < start || last >= Number.MAX_SAFE_INTEGER) return undefined
  return { start, end: last + 1 }
}

/** The `Range` header that tells how much of an upload was received; `0-0` also stands for nothing at all. */
export function formatUploadRange(received: number): string {
  return `0-${Math.max(0, received - 1)}`
}

function parseSpec(text: string, length: number): ByteSpan | 'outside' | 'malformed' {
  const match = /^([0-9]*)-([0-9]*)$/.exec(text)
  if (match === null) return 'malformed'
  const [, first, last] = match as unknown as [string, string, string]
  if (first === '') {
    if (last === '') return 'malformed'
    // A suffix: the last so many bytes, the whole when there are fewer.
    const start = Math.max(0, length - Number(last))
    return start < length ? { start, end: length } : 'outside'
  }
  // Digits beyond what a number holds exactly are still far outside any blob, which is all that is asked of them here.
  const start = Number(first)
  const end = last === '' ? length : Math.min(length, Number(last) + 1)
  // RFC 9110, 14.2 lets a server reject such a range; the specification's conformance suite expects it.
  if (last !== '' && isLess(last, first)) return 'outside'
  return start < length ? { start, end } : 'outside'
}

/** Compares digits as numbers of any size. */
function isLess(a: string, b: string): boolean {
  return BigInt(a) < BigInt(b)
}

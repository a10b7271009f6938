/**
 * Content digests, `algorithm:hex`. Pure.
 * OCI image specification, "Digests"; the two registered algorithms are the two that Shoal accepts.
 */
import { ShoalError } from './errors.ts'

export const DIGEST_ALGORITHMS = ['sha256', 'sha512'] as const
export type DigestAlgorithm = (typeof DIGEST_ALGORITHMS)[number]

/** A digest that has been checked: lower-case hex of the algorithm's length. */
export type Digest = `${DigestAlgorithm}:${string}` & { readonly __checked: 'digest' }

const HEX_LENGTH: Record<DigestAlgorithm, number> = { sha256: 64, sha512: 128 }
const GRAMMAR = /^(sha256|sha512):([0-9a-f]+)$/

export class DigestInvalidError extends ShoalError {
  readonly code = 'DIGEST_INVALID'
  readonly given: string

  constructor(given: string) {
    super(
      `not a digest: ${JSON.stringify(given.slice(0, 160))}; expected sha256: and 64 or sha512: and 128 lower-case hexadecimal digits`,
    )
    this.given = given
  }
}

/** @returns the digest, or undefined when `text` is not one */
export function tryParseDigest(text: string): Digest | undefined {
  const match = GRAMMAR.exec(text)
  if (match === null) return undefined
  const [, algorithm, hex] = match as unknown as [string, DigestAlgorithm, string]
  return hex.length === HEX_LENGTH[algorithm] ? (text as Digest) : undefined
}

/** @throws DigestInvalidError */
export function parseDigest(text: string): Digest {
  const digest = tryParseDigest(text)
  if (digest === undefined) throw new DigestInvalidError(text)
  return digest
}

export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.slice(0, digest.indexOf(':')) as DigestAlgorithm
}

/** The hexadecimal part. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1)
}

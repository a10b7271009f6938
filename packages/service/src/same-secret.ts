import { createHash, timingSafeEqual } from 'node:crypto'

/** Compares hash against hash, in a time that depends on neither: how long it takes says nothing of a secret. */
export function isSameSecret(presented: string, expected: string): boolean {
  return timingSafeEqual(sha256(presented), sha256(expected))
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

import { concatBytes } from '@shoal/core'
import { StorageObjectTooLargeError } from './errors.ts'
import type { ObjectRead } from './object-store.ts'

/**
 * Collects the body of a small object.
 * @throws StorageObjectTooLargeError when it is longer than `bytesMax`; checked before anything is collected
 */
export async function readWhole(key: string, object: ObjectRead, bytesMax: number): Promise<Uint8Array> {
  if (object.length > bytesMax) {
    // Begun and left: what it holds open is let go.
    for await (const _ of object.body) break
    throw new StorageObjectTooLargeError(key, bytesMax)
  }
  const parts: Uint8Array[] = []
  for await (const part of object.body) parts.push(part)
  return concatBytes(parts)
}

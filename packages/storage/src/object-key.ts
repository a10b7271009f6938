/** The grammar of keys, the same for every backend. Pure. */
import { StorageKeyInvalidError } from './errors.ts'

const SEGMENT = /^[A-Za-z0-9._:+=-]+$/
const KEY_BYTES_MAX = 900
/** What file systems allow in one name. */
const SEGMENT_BYTES_MAX = 255

/** @throws StorageKeyInvalidError */
export function checkKey(key: string): void {
  const isValid =
    key.length <= KEY_BYTES_MAX &&
    key
      .split('/')
      .every(
        (segment) =>
          SEGMENT.test(segment) && segment !== '.' && segment !== '..' && segment.length <= SEGMENT_BYTES_MAX,
      )
  if (!isValid) throw new StorageKeyInvalidError(key)
}

/** What a request's headers say of its body. */
import type { IncomingMessage } from 'node:http'

/** Bytes that the client announced; undefined when it did not. */
export function announcedBytes(raw: IncomingMessage): number | undefined {
  const header = raw.headers['content-length']
  // Node's parser has refused what is not digits, and a length beside Transfer-Encoding.
  return header === undefined ? undefined : Number(header)
}

/** Whether a body follows the headers (RFC 9112, 6.3). */
export function hasBody(raw: IncomingMessage): boolean {
  return raw.headers['transfer-encoding'] !== undefined || (announcedBytes(raw) ?? 0) > 0
}

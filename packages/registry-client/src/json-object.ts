/** Reads JSON of strangers. Pure. */
import { isJsonObject, type JsonObject } from '@shoal/oci'

/** @returns undefined when it is not an object; the parser's own error would quote the text, which may hold a secret */
export function parseJsonObject(text: string | Uint8Array): JsonObject | undefined {
  try {
    const document: unknown = JSON.parse(typeof text === 'string' ? text : new TextDecoder().decode(text))
    return isJsonObject(document) ? document : undefined
  } catch {
    return undefined
  }
}

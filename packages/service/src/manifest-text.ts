/** A manifest's bytes, as `oci` reads them: strict UTF-8, no byte order mark skipped. */
import { OciError, type ParsedManifest, parseManifest } from '@shoal/oci'

/**
 * @param mediaType what the bytes came with, without parameters
 * @throws OciError MANIFEST_INVALID
 */
export function readManifest(bytes: Uint8Array, mediaType?: string): ParsedManifest {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new OciError('MANIFEST_INVALID', 'manifest invalid: the document is not UTF-8', { cause })
  }
  return parseManifest(text, mediaType)
}

import { createHash } from 'node:crypto'
import { encodeInfo, type InfoHash, type Metainfo } from '@shoal/core'

/** SHA-1 of the bencoded info dictionary (BEP 3): the name of a blob's swarm. */
export function infoHashOf(metainfo: Metainfo): InfoHash {
  return createHash('sha1').update(encodeInfo(metainfo)).digest('hex')
}

import { createHash } from 'node:crypto'
import { type Digest, encodeInfo, type InfoHash, type Metainfo } from '@shoal/core'

/** SHA-1 of the bencoded info dictionary (BEP 3): the name of a blob's swarm. */
export function infoHashOf(metainfo: Metainfo): InfoHash {
  return createHash('sha1').update(encodeInfo(metainfo)).digest('hex')
}

/** The name of the swarm of a blob that the seeder is still receiving, so that nobody knows its info dictionary. */
export function arrivalHashOf(digest: Digest, length: number): InfoHash {
  return createHash('sha1').update(`shoal arrival 1\n${digest}\n${length}\n`).digest('hex')
}

/**
 * Signs what tags mean and what blobs' pieces are, so that agents can pass it on to each other while the seeder is away. The
 * key lives in the origin: every seeder of it signs alike, and a seeder that lost its disk is believed again.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto'
import type { Digest, InfoHash } from '@shoal/core'
import { type ObjectStore, readWhole } from '@shoal/storage'
import { metainfoRecordBytes, type SignedTag, type TagRecord, tagRecordBytes } from '@shoal/wire'
import { LRUCache } from 'lru-cache'

export const SIGNING_KEY = 'keys/tag-signing'
const KEY_BYTES_MAX = 4096
/** Signatures of metainfo that are kept, some hundred bytes each: a thousand agents ask for the same blobs. */
const SIGNATURES_MAX = 8_192

export class Signer {
  readonly #key: KeyObject
  readonly #signatures = new LRUCache<InfoHash, Uint8Array>({ max: SIGNATURES_MAX })
  /** Ed25519, SPKI, DER. */
  readonly publicKey: Uint8Array

  private constructor(key: KeyObject) {
    this.#key = key
    this.publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' })
  }

  /** Reads the key from the origin; makes it where there is none. Of several seeders that start at once, one does. */
  static async open(objects: ObjectStore): Promise<Signer> {
    const known = await readKey(objects)
    if (known !== undefined) return new Signer(known)
    const fresh = generateKeyPairSync('ed25519').privateKey
    const bytes = Buffer.from(fresh.export({ type: 'pkcs8', format: 'pem' }))
    const outcome = await objects.put(SIGNING_KEY, bytes, { ifAbsent: true })
    return new Signer(outcome.kind === 'stored' ? fresh : ((await readKey(objects)) ?? fresh))
  }

  signTag(record: TagRecord): SignedTag {
    return { record, signature: sign(null, tagRecordBytes(record), this.#key) }
  }

  /** @param info the bencoded info dictionary, whose SHA-1 is `infoHash` */
  signMetainfo(digest: Digest, infoHash: InfoHash, info: Uint8Array): Uint8Array {
    const known = this.#signatures.peek(infoHash)
    if (known !== undefined) return known
    const infoSha256 = createHash('sha256').update(info).digest('hex')
    const signature = sign(null, metainfoRecordBytes(digest, infoSha256), this.#key)
    this.#signatures.set(infoHash, signature)
    return signature
  }
}

async function readKey(objects: ObjectStore): Promise<KeyObject | undefined> {
  const object = await objects.read(SIGNING_KEY)
  if (object === undefined) return undefined
  return createPrivateKey(Buffer.from(await readWhole(SIGNING_KEY, object, KEY_BYTES_MAX)))
}

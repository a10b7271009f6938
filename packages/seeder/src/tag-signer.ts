/**
 * Signs what tags mean, so that agents can pass it on to each other while the seeder is away. The key lives in the origin:
 * every seeder of it signs alike, and a seeder that lost its disk is believed again.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { type ObjectStore, readWhole } from '@shoal/storage'
import { type SignedTag, type TagRecord, tagRecordBytes } from '@shoal/wire'

const KEY = 'keys/tag-signing'
const KEY_BYTES_MAX = 4096

export class TagSigner {
  readonly #key: KeyObject
  /** Ed25519, SPKI, DER. */
  readonly publicKey: Uint8Array

  private constructor(key: KeyObject) {
    this.#key = key
    this.publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' })
  }

  /** Reads the key from the origin; makes it where there is none. Of several seeders that start at once, one does. */
  static async open(objects: ObjectStore): Promise<TagSigner> {
    const known = await readKey(objects)
    if (known !== undefined) return new TagSigner(known)
    const fresh = generateKeyPairSync('ed25519').privateKey
    const bytes = Buffer.from(fresh.export({ type: 'pkcs8', format: 'pem' }))
    const outcome = await objects.put(KEY, bytes, { ifAbsent: true })
    return new TagSigner(outcome.kind === 'stored' ? fresh : ((await readKey(objects)) ?? fresh))
  }

  sign(record: TagRecord): SignedTag {
    return { record, signature: sign(null, tagRecordBytes(record), this.#key) }
  }
}

async function readKey(objects: ObjectStore): Promise<KeyObject | undefined> {
  const object = await objects.read(KEY)
  if (object === undefined) return undefined
  return createPrivateKey(Buffer.from(await readWhole(KEY, object, KEY_BYTES_MAX)))
}

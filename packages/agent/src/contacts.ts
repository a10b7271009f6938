/**
 * Whom to ask while the seeder is away, and whom to believe: other agents' addresses, and the key with which the seeder
 * signs what tags mean. Both come over the announce stream and are kept across restarts.
 */
import { createPublicKey, verify } from 'node:crypto'
import type { PeerAddress } from '@shoal/core'
import { decodeContacts, encodeContacts, type SignedTag, tagRecordBytes } from '@shoal/wire'
import type { Logger } from 'pino'
import type { ImageRecords } from './image-records.ts'

const CONTACTS_MAX = 32
const CONTACTS_KEY = 'cluster/contacts'
const SIGNING_KEY_KEY = 'cluster/signing-key'

export class Contacts {
  readonly #records: ImageRecords
  readonly #log: Logger
  /** The latest heard of last. */
  readonly #agents = new Map<string, PeerAddress>()
  #signingKey: Uint8Array | undefined
  #writing: Promise<void> = Promise.resolve()

  constructor(parts: { records: ImageRecords; log: Logger }) {
    this.#records = parts.records
    this.#log = parts.log
  }

  async start(): Promise<void> {
    this.#signingKey = await this.#records.read(SIGNING_KEY_KEY)
    const kept = await this.#records.read(CONTACTS_KEY)
    if (kept !== undefined) for (const agent of decodeContacts(kept)) this.#agents.set(agent.peerId, agent)
  }

  /** Waits until what was heard is kept. */
  async stop(): Promise<void> {
    await this.#writing
  }

  /** Addresses, the latest heard of first. */
  get agents(): readonly PeerAddress[] {
    return [...this.#agents.values()].reverse()
  }

  heard(agents: readonly PeerAddress[]): void {
    for (const agent of agents) {
      // An agent that was restarted has a new id and its old address.
      for (const [peerId, known] of this.#agents) {
        if (known.host === agent.host && known.port === agent.port) this.#agents.delete(peerId)
      }
      this.#agents.set(agent.peerId, agent)
    }
    for (const peerId of this.#agents.keys()) {
      if (this.#agents.size <= CONTACTS_MAX) break
      this.#agents.delete(peerId)
    }
    this.#write(CONTACTS_KEY, encodeContacts([...this.#agents.values()]))
  }

  /** The seeder itself said it, on the stream that the agent opened to it. */
  trust(signingKey: Uint8Array): void {
    this.#signingKey = signingKey
    this.#write(SIGNING_KEY_KEY, signingKey)
  }

  /** Whether the seeder has said that the tag means this. */
  isGenuine({ record, signature }: SignedTag): boolean {
    if (this.#signingKey === undefined) return false
    const key = createPublicKey({ key: Buffer.from(this.#signingKey), format: 'der', type: 'spki' })
    return verify(null, tagRecordBytes(record), key, signature)
  }

  #write(key: string, bytes: Uint8Array): void {
    this.#writing = this.#writing
      .then(() => this.#records.write(key, bytes))
      .catch((error) => this.#log.warn({ event: 'record-not-kept', key, err: error }, 'record not kept'))
  }
}

/**
 * Whom to ask while the seeder is away, and whom to believe: other agents' addresses, and the key with which the seeder
 * signs what tags mean and what blobs' pieces are. Both come over the announce stream and are kept across restarts.
 *
 * Anybody who says hello to the seeder becomes a contact, so one address that says it often has one turn like any other.
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { addressKey, type Digest, type PeerAddress } from '@shoal/core'
import {
  decodeContacts,
  encodeContacts,
  metainfoRecordBytes,
  type SignedTag,
  tagRecordBytes,
  WireError,
} from '@shoal/wire'
import type { Logger } from 'pino'
import type { ImageRecords } from './image-records.ts'

const CONTACTS_MAX = 32
/** Signatures that were found genuine: several contacts show the same ones. */
const GENUINE_MAX = 4_096
const CONTACTS_KEY = 'cluster/contacts'
const SIGNING_KEY_KEY = 'cluster/signing-key'

export class Contacts {
  readonly #records: ImageRecords
  readonly #log: Logger
  /** The latest heard of last. */
  readonly #agents = new Map<string, PeerAddress>()
  #signingKey: KeyObject | undefined
  readonly #genuine = new Set<string>()
  #writing: Promise<void> = Promise.resolve()

  constructor(parts: { records: ImageRecords; log: Logger }) {
    this.#records = parts.records
    this.#log = parts.log
  }

  async start(): Promise<void> {
    const key = await this.#records.read(SIGNING_KEY_KEY)
    this.#signingKey = key && readKey(key)
    const kept = await this.#records.read(CONTACTS_KEY)
    if (kept !== undefined) for (const agent of readContacts(kept)) this.#agents.set(agent.peerId, agent)
  }

  /** Waits until what was heard is kept. */
  async stop(): Promise<void> {
    await this.#writing
  }

  /** Addresses, the latest heard of first: one of each host, then another of each, and so on. */
  get agents(): readonly PeerAddress[] {
    const byHost = [...this.#byHost().values()].map((agents) => agents.reverse()).reverse()
    const turns = Math.max(0, ...byHost.map((agents) => agents.length))
    return Array.from({ length: turns }, (_, turn) => byHost.flatMap((agents) => agents[turn] ?? [])).flat()
  }

  heard(agents: readonly PeerAddress[]): void {
    for (const agent of agents) {
      // An agent that was restarted has a new id and its old address.
      for (const [peerId, known] of this.#agents) {
        if (known.host === agent.host && known.port === agent.port) this.#agents.delete(peerId)
      }
      this.#agents.set(agent.peerId, agent)
    }
    while (this.#agents.size > CONTACTS_MAX) {
      const crowded = [...this.#byHost().values()].reduce((a, b) => (b.length > a.length ? b : a))
      this.#agents.delete(crowded[0]!.peerId)
    }
    this.#write(CONTACTS_KEY, encodeContacts([...this.#agents.values()]))
  }

  /** The seeder itself said it, on the stream that the agent opened to it. */
  trust(signingKey: Uint8Array): void {
    this.#signingKey = readKey(signingKey)
    this.#genuine.clear()
    this.#write(SIGNING_KEY_KEY, signingKey)
  }

  /** Whether anybody can tell what is genuine: not before the seeder was reached once. */
  get hasKey(): boolean {
    return this.#signingKey !== undefined
  }

  /** Whether the seeder has said that the tag means this. */
  isGenuineTag({ record, signature }: SignedTag): boolean {
    return this.#isSigned(tagRecordBytes(record), signature)
  }

  /**
   * Whether the seeder has said that these are the blob's pieces.
   * @param infoSha256 of the bencoded info dictionary, hexadecimal
   */
  isGenuineMetainfo(digest: Digest, infoSha256: string, signature: Uint8Array): boolean {
    return this.#isSigned(metainfoRecordBytes(digest, infoSha256), signature)
  }

  #isSigned(bytes: Uint8Array, signature: Uint8Array): boolean {
    if (this.#signingKey === undefined) return false
    const seen = `${Buffer.from(bytes).toString('latin1')}${Buffer.from(signature).toString('latin1')}`
    if (this.#genuine.has(seen)) return true
    if (!verify(null, bytes, this.#signingKey, signature)) return false
    this.#genuine.add(seen)
    if (this.#genuine.size > GENUINE_MAX) this.#genuine.delete(this.#genuine.values().next().value!)
    return true
  }

  /** The oldest first. */
  #byHost(): Map<string, PeerAddress[]> {
    const byHost = new Map<string, PeerAddress[]>()
    for (const agent of this.#agents.values()) {
      const host = addressKey(agent.host)
      const agents = byHost.get(host) ?? []
      // The host that was heard of last comes last.
      byHost.delete(host)
      byHost.set(host, [...agents, agent])
    }
    return byHost
  }

  #write(key: string, bytes: Uint8Array): void {
    this.#writing = this.#writing
      .then(() => this.#records.write(key, bytes))
      .catch((error) => this.#log.warn({ event: 'record-not-kept', key, err: error }, 'record not kept'))
  }
}

/** @returns nobody where the record is spoilt: the seeder tells of others */
function readContacts(record: Uint8Array): readonly PeerAddress[] {
  try {
    return decodeContacts(record)
  } catch (error) {
    if (error instanceof WireError) return []
    throw error
  }
}

/** @returns undefined for what is no Ed25519 key: then nothing is genuine */
function readKey(spki: Uint8Array): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
    return key.asymmetricKeyType === 'ed25519' ? key : undefined
  } catch {
    return undefined
  }
}

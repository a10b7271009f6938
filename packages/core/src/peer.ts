/** Who takes part in a swarm, as the tracker tells it. Pure. */

/** 20 bytes as 40 lower-case hexadecimal digits (BEP 3, `peer_id`, `info_hash`). */
export type PeerId = string
export type InfoHash = string

export type PeerRole = 'agent' | 'seeder'

export interface PeerAddress {
  readonly peerId: PeerId
  /** IP address, without brackets. */
  readonly host: string
  readonly port: number
  readonly role: PeerRole
}

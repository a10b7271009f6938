/** What the tracker's table is told and what it answers. Plain data. */

import type { InfoHash, PeerAddress, PeerId } from '@shoal/core'
import type { SwarmState } from '@shoal/wire'
import type { ImportShare } from '../policy/handout.ts'

export interface AgentEntry {
  readonly address: PeerAddress
  readonly zone: string
  /** Whether it knows the frames with which peers are tried. */
  readonly canTryPeers?: boolean
}

export type TrackerEvent =
  | { readonly kind: 'agent-joined'; readonly agent: AgentEntry }
  | { readonly kind: 'agent-left'; readonly peerId: PeerId }
  | {
      readonly kind: 'announced'
      readonly peerId: PeerId
      readonly swarms: readonly { readonly infoHash: InfoHash; readonly state: SwarmState }[]
      /** How many it leeches at a time, where it said so in an earlier announce than this one. */
      readonly leechingAtATime?: number
    }
  | { readonly kind: 'swarms-left'; readonly peerId: PeerId; readonly infoHashes: readonly InfoHash[] }
  /** A standard client, which is a member of the one swarm until it stops or is silent for `STANDARD_TTL_MS`. */
  | {
      readonly kind: 'standard-announced'
      readonly infoHash: InfoHash
      readonly address: PeerAddress
      readonly isComplete: boolean
    }
  | { readonly kind: 'standard-stopped'; readonly infoHash: InfoHash; readonly peerId: PeerId }
  /** At least every few seconds: expires standard clients. */
  | { readonly kind: 'tick' }

export type TrackerEffect =
  /** Tell agent `to` of peers that it may dial. */
  | {
      readonly kind: 'send-peers'
      readonly to: PeerId
      readonly infoHash: InfoHash
      readonly peers: readonly PeerAddress[]
    }
  /** Tell agent `to` what it may ask of peers in other zones, from now on. Who was never told may ask nothing. */
  | {
      readonly kind: 'set-imports'
      readonly to: PeerId
      readonly infoHash: InfoHash
      readonly imports: ImportShare
    }
  /** The first member came: the seeder should be ready to serve it. */
  | { readonly kind: 'swarm-began'; readonly infoHash: InfoHash }
  /** The last member went. */
  | { readonly kind: 'swarm-ended'; readonly infoHash: InfoHash }

export interface TrackerLimits {
  readonly agentsMax: number
  readonly swarmsPerAgentMax: number
  readonly standardMembersPerSwarmMax: number
  /** Of all swarms together. */
  readonly standardMembersMax: number
  readonly standardMembersPerAddressMax: number
}

export const TRACKER_LIMITS: TrackerLimits = {
  agentsMax: 20_000,
  // Each takes 600 bytes. So many layers of common sizes take 250 GB of a node's disk.
  swarmsPerAgentMax: 8_192,
  standardMembersPerSwarmMax: 1_000,
  standardMembersMax: 20_000,
  // One host cannot fill a swarm.
  standardMembersPerAddressMax: 500,
}

/** Two of the intervals that standard clients are told, and some. */
export const STANDARD_TTL_MS = 5 * 60_000

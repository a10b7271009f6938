/**
 * What the pull of one blob is told and what it answers: the border between deciding and moving. Plain data; of bytes there
 * are only counts.
 *
 * Who performs the effects (the agent's HTTP, store and swarm engine, or the simulator's network) decides nothing: it answers
 * `take-inline` with `inline-ended` and `fetch` with `fetch-ended`, sooner or later, unless the pull is over by then.
 */
import type { Bitfield, PeerAddress } from '@shoal/core'
import type { SwarmState } from '@shoal/wire'
import type { ImportShare } from '../policy/handout.ts'

/** Whom bytes can be had from beside the swarm. */
export type HttpSource = 'seeder' | 'origin'

/** What is looked at when something is decided; all else is told by events. */
export interface PullView {
  /** The pieces that are here: grows as they are written. */
  readonly have: Bitfield
  /** The pieces that readers wait for or read. */
  readonly readerPositions: () => readonly number[]
  /** Peers of the swarm whose connection stands. */
  readonly peersConnected: () => number
}

/** What the tracker has said of a swarm. */
export interface SwarmNews {
  readonly peers: readonly PeerAddress[]
  /** What may be asked of peers in other zones; undefined where nothing was said. */
  readonly imports: ImportShare | undefined
}

export type PullEvent =
  /**
   * This node is in the blob's swarm, and serves what it has.
   * @property isComplete every piece is here, and the whole was checked
   * @property news what was said of the swarm before
   */
  | { readonly kind: 'joined'; readonly isComplete: boolean; readonly news: SwarmNews }
  /**
   * Somebody wants the blob, or wants it again with a later answer of the seeder.
   * @property hasOrigin the answer says where the origin has it
   * @property hasInline the whole blob came along with the answer
   */
  | {
      readonly kind: 'wanted'
      readonly peers: readonly PeerAddress[]
      readonly imports: ImportShare | undefined
      readonly hasOrigin: boolean
      readonly hasInline: boolean
    }
  /** What came along with the answer was taken, or was not right. */
  | { readonly kind: 'inline-ended' }
  | { readonly kind: 'peers-heard'; readonly peers: readonly PeerAddress[] }
  | { readonly kind: 'imports-heard'; readonly imports: ImportShare }
  /** A new announce stream: shares of imports that the tracker gave before are dealt out anew. */
  | { readonly kind: 'stream-opened' }
  | { readonly kind: 'bytes-received'; readonly from: 'peer' | HttpSource }
  /** @property isGood every piece came, and was right */
  | { readonly kind: 'fetch-ended'; readonly isGood: boolean }
  /** Every piece is here, and the whole was checked. */
  | { readonly kind: 'completed' }
  /** The node gives the blob up, or removes it. */
  | { readonly kind: 'left' }
  | { readonly kind: 'timer' }

export type PullEffect =
  /** The tracker is to know what this node has of the blob. */
  | { readonly kind: 'announce'; readonly state: SwarmState }
  /** The tracker is to know that this node is not in the swarm any more. */
  | { readonly kind: 'announce-left' }
  /** The swarm asks its peers for every missing piece from now on. */
  | { readonly kind: 'download' }
  | { readonly kind: 'connect'; readonly peers: readonly PeerAddress[] }
  | { readonly kind: 'set-imports'; readonly imports: ImportShare }
  /** Takes the blob from the answer that it came with. Answered by `inline-ended`. */
  | { readonly kind: 'take-inline' }
  /** Fetches neighbouring pieces by one request over HTTP. Answered by `fetch-ended`. */
  | { readonly kind: 'fetch'; readonly from: HttpSource; readonly pieceIndexes: readonly number[] }
  /** What is being fetched over HTTP is not needed any more. */
  | { readonly kind: 'cancel-fetch' }
  /** No source has given a byte for too long: whoever reads is told. */
  | { readonly kind: 'give-up' }
  /** Send `timer` at this time; replaces what was set before. */
  | { readonly kind: 'set-timer'; readonly atMs: number }

/** What the pull of a blob that still arrives at the seeder is told and what it answers. Plain data; of bytes only hashes. */
import type { PeerAddress } from '@shoal/core'
import type { ImportShare } from '../policy/handout.ts'
import type { PieceHashes } from './early-hashes.ts'
import type { PullView } from './protocol.ts'

export type ArrivingPullView = Pick<PullView, 'have' | 'readerPositions'>

export type ArrivingPullEvent =
  /** This node is in the swarm of the blob's arrival. */
  | { readonly kind: 'joined'; readonly view: ArrivingPullView }
  /** The seeder has received these pieces. */
  | { readonly kind: 'pieces-told'; readonly hashes: PieceHashes }
  | { readonly kind: 'peers-heard'; readonly peers: readonly PeerAddress[] }
  | { readonly kind: 'imports-heard'; readonly imports: ImportShare }
  /** Bytes came from the swarm. */
  | { readonly kind: 'bytes-received' }
  /** A reader waits for a piece that is not here. */
  | { readonly kind: 'reader-waits' }
  /** @property isGood every piece came, and was right */
  | { readonly kind: 'fetch-ended'; readonly isGood: boolean }
  | { readonly kind: 'left' }
  | { readonly kind: 'timer' }

export type ArrivingPullEffect =
  | { readonly kind: 'announce'; readonly state: 'leeching' }
  | { readonly kind: 'announce-left' }
  | { readonly kind: 'download' }
  | { readonly kind: 'connect'; readonly peers: readonly PeerAddress[] }
  | { readonly kind: 'set-imports'; readonly imports: ImportShare }
  /** The hashes of these pieces are in the metainfo from now on: the swarm may ask for them. */
  | { readonly kind: 'learn'; readonly pieceIndexes: readonly number[] }
  /** Has the seeder receive a piece before it is its turn. What it gives is the swarm's business. */
  | { readonly kind: 'nudge'; readonly pieceIndex: number }
  /** The piece has come to the seeder, or nobody waits for it any more. */
  | { readonly kind: 'end-nudge'; readonly pieceIndex: number }
  /** Fetches pieces that the seeder has by one request over HTTP. Answered by `fetch-ended`. */
  | { readonly kind: 'fetch'; readonly pieceIndexes: readonly number[] }
  | { readonly kind: 'cancel-fetch' }
  /** What was given to readers is not what the blob is: they are cut, and nothing is kept. */
  | { readonly kind: 'lose'; readonly reason: string }
  /** Send `timer` at this time; replaces what was set before. */
  | { readonly kind: 'set-timer'; readonly atMs: number }

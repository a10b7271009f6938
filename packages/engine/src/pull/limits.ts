/** Every figure of a pull. Agents go by them, and so does the simulator. */

export interface PullLimits {
  /** Agents that are asked at a time in the seeder's place. */
  readonly contactsAsked: number
  /** Neighbouring pieces are fetched by one request up to this many bytes: an origin charges by the request. */
  readonly runBytesMax: number
  /** Changes that the tracker is to be told of are gathered for so long, and sent in one frame. */
  readonly gatherMs: number
  /** Swarms of which news is kept before this node has joined them, and peers of each. */
  readonly earlySwarmsMax: number
  readonly earlyPeersMax: number
  /** Hashes of pieces of arriving blobs that this node has not begun with: pieces of news, and bytes. */
  readonly earlyHashesMax: number
  readonly earlyHashesBytesMax: number
  /** Blobs that are pulled while they arrive at the seeder. */
  readonly arrivingPullsMax: number
  /** Requests of one byte that tell the seeder what somebody waits for; each is open until the byte is there. */
  readonly nudgesAtOnce: number
  /** How often it is looked whether somebody waits for a piece that does not come by itself. */
  readonly lookMs: number
  /** An arriving blob whose pieces the seeder did not give over HTTP is not asked for there again for so long. */
  readonly restMs: number
}

const MIB = 1024 * 1024

export const PULL_LIMITS: PullLimits = {
  contactsAsked: 8,
  runBytesMax: 8 * MIB,
  gatherMs: 5,
  // The longest manifest that can be pushed names so many blobs.
  earlySwarmsMax: 2_048,
  earlyPeersMax: 64,
  earlyHashesMax: 256,
  earlyHashesBytesMax: 4 * MIB,
  arrivingPullsMax: 64,
  nudgesAtOnce: 16,
  lookMs: 250,
  restMs: 2_000,
}

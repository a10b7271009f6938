/** All floods, by the word that names them on the command line. */
import type { FloodRow } from './row.ts'
import { idlePeerConnections } from './rows/idle-peer-connections.ts'
import { longReferrers } from './rows/long-referrers.ts'
import { openedUploads } from './rows/opened-uploads.ts'
import { slowUploads } from './rows/slow-uploads.ts'
import { unfinishedFrames } from './rows/unfinished-frames.ts'
import { unknownInfoHashes } from './rows/unknown-info-hashes.ts'
import { unpackingFrames } from './rows/unpacking-frames.ts'

export const FLOOD_ROWS = {
  'unpacking-frames': unpackingFrames,
  'unfinished-frames': unfinishedFrames,
  'unknown-info-hashes': unknownInfoHashes,
  'slow-uploads': slowUploads,
  'idle-peer-connections': idlePeerConnections,
  'long-referrers': longReferrers,
  'opened-uploads': openedUploads,
} as const satisfies Record<string, FloodRow>

export type FloodName = keyof typeof FLOOD_ROWS
export const FLOOD_NAMES = Object.keys(FLOOD_ROWS) as FloodName[]

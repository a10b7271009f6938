/**
 * Kraken by its published settings: pieces of 4 MB, ten connections, three requests in flight on each, rarest first without
 * a tie-break by chance, an announce every 3 s, blobs of up to 12 MiB always in endgame. Pure.
 */
import type { Simulate } from '../simulation.ts'
import { simulatePieceSwarm } from './piece-swarm.ts'

export const simulateKraken: Simulate = (scenario, strategy, onProgress) =>
  simulatePieceSwarm(
    scenario,
    strategy,
    {
      pieceLength: () => 4e6,
      connectionsMax: 10,
      announceMs: 3_000,
      peersPerAnnounce: 50,
      piecesInFlight: 3,
      isTieRandom: false,
      choking: undefined,
      alwaysEndgameBytes: 12 * 1024 * 1024,
    },
    onProgress,
  )

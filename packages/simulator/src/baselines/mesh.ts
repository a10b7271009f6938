/**
 * Stock BitTorrent: 50 random peers at each announce, every 30 s, up to 55 connections, four slots by tit-for-tat and one by
 * chance every 10 s, rarest first. Its 16 KiB requests, some of them in flight, are a piece in flight here. Pure.
 */
import type { Simulate } from '../simulation.ts'
import { simulatePieceSwarm } from './piece-swarm.ts'

const KIB = 1024

export const simulateMesh: Simulate = (scenario, strategy, onProgress) =>
  simulatePieceSwarm(
    scenario,
    strategy,
    {
      // What create-torrent and libtorrent choose: some thousand pieces, within these bounds.
      pieceLength: (bytes) =>
        Math.min(4096 * KIB, Math.max(256 * KIB, 2 ** Math.ceil(Math.log2(Math.max(1, bytes / 1500))))),
      connectionsMax: 55,
      announceMs: 30_000,
      peersPerAnnounce: 50,
      piecesInFlight: 1,
      isTieRandom: true,
      choking: { slots: 4, everyMs: 10_000 },
      alwaysEndgameBytes: 0,
    },
    onProgress,
  )

/** BitTorrent clients of others, each started as its users start it, without discovery, on loopback, in a folder of its own. */
import { connect } from 'node:net'
import type { RunningProcess } from '../process.ts'
import { untilReady } from '../readiness.ts'

export interface StandardClientInit {
  /** The `.torrent`, with its tracker. */
  readonly torrentPath: string
  /** Where the torrent's file is, or is to come. */
  readonly folder: string
  /** A folder for the client's own files. */
  readonly home: string
}

/** A client with one torrent, of which it downloads or seeds the file. */
export interface RunningClient extends AsyncDisposable {
  /** Where it listens on 127.0.0.1. */
  readonly port: number
  /** Resolves when it says that the file is whole. */
  readonly whole: Promise<void>
}

export type StandardClient = (init: StandardClientInit) => Promise<RunningClient>

export const READY_TIMEOUT_MS = 20_000

export async function untilListening(daemon: RunningProcess, name: string, port: number): Promise<void> {
  await untilReady(daemon, name, READY_TIMEOUT_MS, () => isListening(port))
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

/**
 * One face for the BitTorrent clients of others: each fetches a blob or seeds one, as its users would have it do.
 * All run with encryption, DHT, uTP, local discovery and peer exchange off, on loopback, in folders of their own.
 */
import { encodeTorrent, type Metainfo, torrentName } from '@shoal/core'
import type { ComponentName } from '../components.ts'

export interface PeerEndpoint {
  readonly host: string
  readonly port: number
}

export interface ClientTask {
  readonly metainfo: Metainfo
  /** Empty for this client alone. */
  readonly folder: string
}

export interface RunningClient extends AsyncDisposable {
  /** Where it takes connections. */
  readonly address: PeerEndpoint
}

export interface Download extends RunningClient {
  /** @returns once the client says that it has the blob and wrote it; rejects when it ends before, or takes too long */
  finished(timeoutMs: number): Promise<void>
}

export interface BitTorrentClient {
  readonly name: string
  readonly components: readonly ComponentName[]
  /** Longer than it ever takes for a few megabytes, on a machine that does much else. */
  readonly transferTimeoutMs: number
  /** False for a client that cannot be told of a peer on loopback: the other side has to dial. */
  readonly dialsLoopback: boolean
  /** Fetches into `folder`, a file with the torrent's name; dials `peer` if it can. */
  download(task: ClientTask, peer: PeerEndpoint): Promise<Download>
  /** Serves the file with the torrent's name in `folder`. Resolves when it has checked the file and takes connections. */
  seed(task: ClientTask): Promise<RunningClient>
}

export const HOST = '127.0.0.1'
/** Programs start in well under a second; this is for a machine that does much else. */
export const START_TIMEOUT_MS = 20_000

/** What a client is handed: private, so that it looks for peers nowhere else. */
export function torrentOf({ metainfo }: ClientTask, announceUrl?: string): Buffer {
  return Buffer.from(encodeTorrent(metainfo, announceUrl))
}

export function blobName({ metainfo }: ClientTask): string {
  return torrentName(metainfo.digest)
}

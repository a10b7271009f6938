import { type Digest, ShoalError } from '@shoal/core'

/** What goes wrong while pieces move. */
abstract class SwarmError extends ShoalError {}

export class PieceMismatchError extends SwarmError {
  readonly code = 'SWARM_PIECE_MISMATCH'
  readonly digest: Digest
  readonly pieceIndex: number
  readonly source: string

  constructor(digest: Digest, pieceIndex: number, source: string) {
    super(
      `piece ${pieceIndex} of ${digest} from ${source} failed verification and was dropped; it is asked for elsewhere`,
    )
    this.digest = digest
    this.pieceIndex = pieceIndex
    this.source = source
  }
}

export class TransferFailedError extends SwarmError {
  readonly code = 'SWARM_TRANSFER_FAILED'
  readonly digest: Digest

  constructor(digest: Digest, reason: string, options?: ErrorOptions) {
    super(`${digest} could not be fetched: ${reason}; the pieces that are here stay`, options)
    this.digest = digest
  }
}

export class PeerListenError extends SwarmError {
  readonly code = 'SWARM_LISTEN_FAILED'
  constructor(host: string, port: number, options?: ErrorOptions) {
    super(
      `cannot listen for peers on ${host}:${port}; is the port free and the address this machine's?`,
      options,
    )
  }
}

/** What somebody said of where a peer is leads nowhere that may be dialled. */
export class PeerHostRefusedError extends SwarmError {
  readonly code = 'SWARM_PEER_HOST_REFUSED'
  constructor(host: string) {
    super(`${host} was not dialled: none of its addresses is one to which others may lead this service`)
  }
}

/** An engine that is a package of its own was chosen where that package is not. */
export class EngineNotInstalledError extends SwarmError {
  readonly code = 'SWARM_ENGINE_NOT_INSTALLED'
  readonly engine: string
  readonly packageName: string

  constructor(engine: string, packageName: string, options?: ErrorOptions) {
    super(
      `the ${engine} engine is not installed here: images and archives leave ${packageName} out; run Shoal from a checkout of its sources (npm ci installs it), or with --engine native`,
      options,
    )
    this.engine = engine
    this.packageName = packageName
  }
}

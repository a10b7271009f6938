/** One swarm of the native engine, as its owner sees it: wishes become events of the node's engine. */
import { EventEmitter } from 'node:events'
import type { InfoHash, PeerAddress } from '@shoal/core'
import type { ImportShare, NodeEvent } from '@shoal/engine'
import type { Swarm, SwarmEvents } from '../engine.ts'

export interface NativeSwarmParts {
  readonly infoHash: InfoHash
  readonly step: (event: NodeEvent) => void
  readonly peersConnected: () => number
  readonly learnPiece: (index: number) => void
  readonly leave: () => Promise<void>
}

export class NativeSwarm extends EventEmitter<SwarmEvents> implements Swarm {
  readonly infoHash: InfoHash
  readonly #parts: NativeSwarmParts

  constructor(parts: NativeSwarmParts) {
    super()
    this.infoHash = parts.infoHash
    this.#parts = parts
  }

  get peersConnected(): number {
    return this.#parts.peersConnected()
  }

  connect(peers: readonly PeerAddress[]): void {
    this.#parts.step({ kind: 'peers-found', infoHash: this.infoHash, peers })
  }

  setImports(imports: ImportShare): void {
    this.#parts.step({ kind: 'imports-set', infoHash: this.infoHash, imports })
  }

  download(): void {
    this.#parts.step({ kind: 'download-wanted', infoHash: this.infoHash })
  }

  pause(): void {
    this.#parts.step({ kind: 'download-paused', infoHash: this.infoHash })
  }

  setReaderPositions(pieceIndexes: readonly number[]): void {
    this.#parts.step({ kind: 'readers-moved', infoHash: this.infoHash, pieceIndexes })
  }

  addPiece(index: number): void {
    this.#parts.step({ kind: 'piece-added', infoHash: this.infoHash, index })
  }

  learnPiece(index: number): void {
    this.#parts.learnPiece(index)
  }

  leave(): Promise<void> {
    return this.#parts.leave()
  }
}

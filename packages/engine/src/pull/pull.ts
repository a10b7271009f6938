/**
 * The pull of one blob: decides when its pieces are asked of the swarm, of the seeder's registry and of the origin, which run of
 * pieces one request brings, when a pull is given up, and what the tracker is told meanwhile. Pure: `step(nowMs, event) →
 * effects`; time is an argument, chance a seeded prng. The agent and the simulator run this very code.
 *
 * A blob that is here is seeded, and one that is here in part is held: served, and not asked for. Once it is wanted, the swarm
 * is asked all the time, and the ladder of sources says when its silence is reason enough to ask elsewhere too, by one request
 * after the other. After each, the swarm has its chance again. Which peer gives which piece is the node engine's business.
 */
import { assert, type PeerAddress, type PeerId, type Prng } from '@shoal/core'
import type { BlobShape } from '../node/protocol.ts'
import { type ImportShare, NO_IMPORTS } from '../policy/handout.ts'
import { pickPieces } from '../policy/piece-picker.ts'
import type { HttpSource, PullEffect, PullEvent, PullView } from './protocol.ts'
import { runOfPieces } from './run-of-pieces.ts'
import { afterFailure, HEALTHY, nextStep, type SourceHealth } from './source-ladder.ts'

export interface PullInit {
  /** This node's: it is no peer of its own. */
  readonly peerId: PeerId
  readonly shape: BlobShape
  readonly view: PullView
  readonly prng: Prng
}

/**
 * `held`: nobody wants it. `inline`: what came along with the answer is being taken. `swarming`: the swarm alone is asked.
 * `fetching`: and a request over HTTP is under way.
 */
type Phase = 'held' | 'inline' | 'swarming' | 'fetching' | 'complete' | 'left'

/** Most events, those of received bytes among them, lead to nothing. */
const NOTHING: readonly PullEffect[] = []

export class Pull {
  readonly #init: PullInit
  #phase: Phase = 'held'
  /** What may be imported was said once; from then on the stream knows better than an answer that was kept. */
  #knowsImports = false
  #startedAtMs = 0
  #peerBytesAtMs = 0
  #anyBytesAtMs = 0
  /** Spreads a crowd that loses its peers at once; drawn when the pull begins. */
  #chance = 1
  #hasOrigin = false
  #fetchingFrom: HttpSource | undefined
  readonly #health: Record<HttpSource, SourceHealth> = { seeder: HEALTHY, origin: HEALTHY }

  constructor(init: PullInit) {
    this.#init = init
  }

  /** Whether somebody wants it; pieces may all be here by now. */
  get isWanted(): boolean {
    return this.#phase === 'inline' || this.#phase === 'swarming' || this.#phase === 'fetching'
  }

  step(nowMs: number, event: PullEvent): readonly PullEffect[] {
    if (this.#phase === 'left') return NOTHING
    switch (event.kind) {
      case 'joined':
        return this.#joined(event)
      case 'wanted':
        return this.#wanted(nowMs, event)
      case 'inline-ended':
        return this.#phase === 'inline' ? this.#begin(nowMs) : NOTHING
      case 'peers-heard':
        return [this.#connect(event.peers)]
      case 'imports-heard':
        return [this.#setImports(event.imports)]
      case 'stream-opened':
        return this.#phase === 'complete' ? NOTHING : [{ kind: 'set-imports', imports: NO_IMPORTS }]
      case 'bytes-received':
        this.#anyBytesAtMs = nowMs
        if (event.from === 'peer') this.#peerBytesAtMs = nowMs
        return NOTHING
      case 'fetch-ended':
        return this.#fetchEnded(nowMs, event.isGood)
      case 'completed':
        return [...this.#end('complete'), { kind: 'announce', state: 'seeding' }]
      case 'left':
        return [...this.#end('left'), { kind: 'announce-left' }]
      case 'timer':
        return this.#phase === 'swarming' ? this.#climb(nowMs) : NOTHING
    }
  }

  #joined({ isComplete, news }: Extract<PullEvent, { kind: 'joined' }>): PullEffect[] {
    const effects: PullEffect[] = []
    if (news.imports !== undefined) effects.push(this.#setImports(news.imports))
    if (news.peers.length > 0) effects.push(this.#connect(news.peers))
    if (isComplete) this.#phase = 'complete'
    if (isComplete) effects.push({ kind: 'announce', state: 'seeding' })
    else if (this.#init.view.have.setCount > 0) effects.push({ kind: 'announce', state: 'holding' })
    return effects
  }

  #wanted(nowMs: number, event: Extract<PullEvent, { kind: 'wanted' }>): readonly PullEffect[] {
    if (this.#phase === 'complete' || this.#init.view.have.isFull) return NOTHING
    this.#hasOrigin = event.hasOrigin
    const effects: PullEffect[] = []
    if (this.#phase === 'held') {
      if (event.hasInline) {
        this.#phase = 'inline'
        effects.push({ kind: 'take-inline' })
      } else effects.push(...this.#begin(nowMs))
    }
    if (!this.#knowsImports && event.imports !== undefined)
      effects.push({ kind: 'set-imports', imports: event.imports })
    this.#knowsImports = true
    effects.push(this.#connect(event.peers))
    return effects
  }

  #begin(nowMs: number): PullEffect[] {
    this.#phase = 'swarming'
    this.#startedAtMs = nowMs
    this.#peerBytesAtMs = nowMs
    this.#anyBytesAtMs = nowMs
    if (this.#init.view.have.isFull) return []
    this.#chance = 1 - this.#init.prng.next()
    return [{ kind: 'announce', state: 'leeching' }, { kind: 'download' }, ...this.#climb(nowMs)]
  }

  /** Lets the swarm work for as long as the ladder says, or fetches a run of pieces from elsewhere. */
  #climb(nowMs: number): PullEffect[] {
    this.#phase = 'swarming'
    const { view, shape } = this.#init
    // What follows is the check of the whole.
    if (view.have.isFull) return []
    const step = nextStep(nowMs, {
      startedAtMs: this.#startedAtMs,
      peerBytesAtMs: this.#peerBytesAtMs,
      anyBytesAtMs: this.#anyBytesAtMs,
      peersConnected: view.peersConnected(),
      chance: this.#chance,
      seeder: this.#health.seeder,
      origin: this.#hasOrigin ? this.#health.origin : undefined,
    })
    if (step.kind === 'give-up') return [{ kind: 'give-up' }]
    if (step.kind === 'wait') return [{ kind: 'set-timer', atMs: step.untilMs }]
    this.#phase = 'fetching'
    this.#fetchingFrom = step.from
    const isMissing = (index: number) => index < view.have.length && !view.have.has(index)
    const pieceIndexes = runOfPieces(this.#mostWanted(), shape.pieceLength, isMissing)
    return [{ kind: 'fetch', from: step.from, pieceIndexes }]
  }

  /** The piece that a reader waits for, or else any that is missing. */
  #mostWanted(): number {
    const { view, prng } = this.#init
    const [first] = pickPieces(
      {
        have: view.have,
        isRequested: () => false,
        isOffered: () => true,
        availability: () => 0,
        readerPositions: view.readerPositions(),
      },
      1,
      prng,
    )
    assert(first !== undefined, 'a blob that is not whole misses a piece')
    return first
  }

  #fetchEnded(nowMs: number, isGood: boolean): readonly PullEffect[] {
    if (this.#phase !== 'fetching') return NOTHING
    const from = this.#fetchingFrom!
    this.#fetchingFrom = undefined
    this.#health[from] = isGood ? HEALTHY : afterFailure(this.#health[from], nowMs)
    return this.#climb(nowMs)
  }

  #end(phase: 'complete' | 'left'): PullEffect[] {
    const wasFetching = this.#phase === 'fetching'
    this.#phase = phase
    this.#fetchingFrom = undefined
    return wasFetching ? [{ kind: 'cancel-fetch' }] : []
  }

  #setImports(imports: ImportShare): PullEffect {
    this.#knowsImports = true
    return { kind: 'set-imports', imports }
  }

  #connect(peers: readonly PeerAddress[]): PullEffect {
    return { kind: 'connect', peers: peers.filter(({ peerId }) => peerId !== this.#init.peerId) }
  }

  /** What must hold between any two steps: for tests and the simulator. */
  check(): void {
    const isFetching = this.#phase === 'fetching'
    assert((this.#fetchingFrom !== undefined) === isFetching, 'a request is known by whom it is asked of')
    assert(this.#peerBytesAtMs <= this.#anyBytesAtMs, 'bytes from peers are bytes')
    assert(
      !this.isWanted || this.#startedAtMs <= this.#anyBytesAtMs,
      'a pull counts silence from its beginning',
    )
    assert(this.#chance > 0 && this.#chance <= 1, 'chance is in (0, 1]')
    assert(this.#phase !== 'complete' || this.#init.view.have.isFull, 'what is complete has every piece')
  }
}

/**
 * Gives fetches their turns, as `fetch-places.ts` decides, and ends those that have fallen silent.
 */
import { UpstreamUnavailableError } from '@shoal/registry-client'
import { type Fetch, type FetchEvent, FetchPlaces } from './fetch-places.ts'

export interface FetchInTurn extends Fetch {
  /** For how long it has waited for a byte of its registry. */
  silentMs(nowMs: number): number
}

/** The turn is over; another may come. */
export class TurnOverError extends Error {
  constructor() {
    super('others have waited for longer')
  }
}

interface Turn {
  readonly over: AbortController
  readonly begun: PromiseWithResolvers<void>
}

const TICK_MS = 1_000
/** Whoever waits for a byte turns elsewhere then: clients of the registry are cut. */
const SILENCE_MS_MAX = 20_000
/** Before the first: registries that proxy others fetch before they answer. */
const FIRST_SILENCE_MS_MAX = 30_000

export class FetchTurns {
  readonly #nowMs: () => number
  readonly #places = new FetchPlaces<FetchInTurn>()
  readonly #turns = new Map<FetchInTurn, Turn>()
  #ticking: NodeJS.Timeout | undefined

  constructor({ nowMs }: { readonly nowMs: () => number }) {
    this.#nowMs = nowMs
  }

  /**
   * Does the work when the fetch has a place. One that is to give way, or that is silent for too long, is told by the signal.
   * @throws TurnOverError · UpstreamUnavailableError, and what the work or `signal` says
   */
  async take<T>(
    fetch: FetchInTurn,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    signal.throwIfAborted()
    const turn: Turn = { over: new AbortController(), begun: Promise.withResolvers() }
    const leave = () => turn.begun.reject(signal.reason)
    signal.addEventListener('abort', leave, { once: true })
    this.#turns.set(fetch, turn)
    this.#ticking ??= setInterval(() => this.#tick(), TICK_MS).unref()
    this.#step({ kind: 'asked', fetch })
    try {
      await turn.begun.promise
      return await work(AbortSignal.any([signal, turn.over.signal]))
    } finally {
      signal.removeEventListener('abort', leave)
      this.#turns.delete(fetch)
      this.#step({ kind: 'ended', fetch })
      if (this.#turns.size === 0) {
        clearInterval(this.#ticking)
        this.#ticking = undefined
      }
    }
  }

  #step(event: FetchEvent<FetchInTurn>): void {
    for (const { kind, fetch } of this.#places.step(this.#nowMs(), event)) {
      const turn = this.#turns.get(fetch)
      if (kind === 'begin') turn?.begun.resolve()
      else turn?.over.abort(new TurnOverError())
    }
  }

  #tick(): void {
    const now = this.#nowMs()
    for (const [fetch, { over }] of this.#turns) {
      const silentMs = fetch.silentMs(now)
      if (silentMs < (fetch.receivedBytes === 0 ? FIRST_SILENCE_MS_MAX : SILENCE_MS_MAX)) continue
      over.abort(new UpstreamUnavailableError(fetch.host, `no byte of a blob came for ${silentMs} ms`))
    }
    this.#step({ kind: 'tick' })
  }
}

/**
 * Several replicas over one store, in any order that a test chooses: each call to the store waits for its turn, and between
 * two turns everything runs until it asks the store again. A replica can be killed before a call or after it, so that its
 * answer is never heard, or be told that a call failed which in truth happened.
 *
 * A schedule is a list of choices. `everySchedule` tries all with few changes of turn, which is where most faults are; a random
 * generator picks some of the rest.
 */
import { type ListOptions, type ObjectRead, type ObjectStore, StorageUnavailableError } from '@shoal/storage'
import type { MapObjectStore } from '@shoal/testing/map-object-store'

/** What may happen next to one replica. */
export interface Move {
  readonly replica: string
  readonly kind: 'go-on' | 'die-before' | 'die-after' | 'answer-lost'
}

/** @returns an index into the moves */
export type Choose = (moves: readonly Move[]) => number

interface Waiting {
  readonly replica: string
  readonly grant: (kind: Move['kind']) => void
}

export class Turns {
  readonly #waiting: Waiting[] = []
  readonly #dead = new Set<string>()
  /** What happened, for the message of a test that fails. */
  readonly trace: string[] = []

  readonly #store: MapObjectStore

  constructor(store: MapObjectStore) {
    this.#store = store
  }

  /** The store as one replica sees it. */
  storeOf(replica: string): ObjectStore {
    const store = this.#store
    const call = <T>(doing: string, key: string, work: () => Promise<T>) =>
      this.#call(replica, doing, key, work)
    return {
      description: store.description,
      start: async () => {},
      stop: async () => {},
      stat: (key: string) => call('stat', key, () => store.stat(key)),
      read: (key: string, options?: object) =>
        call<ObjectRead | undefined>('read', key, () => store.read(key, options)),
      put: (key, bytes, precondition) =>
        call(`put ${JSON.stringify(precondition ?? '')}`, key, () => store.put(key, bytes, precondition)),
      createWriter: (key: string) => store.createWriter(key),
      resumeWriter: (key, checkpoint) => store.resumeWriter(key, checkpoint),
      sweepWriters: async () => 0,
      delete: (key: string) => call('delete', key, () => store.delete(key)),
      deleteIf: (key, etag) => call(`delete ${etag}`, key, () => store.deleteIf(key, etag)),
      list: (prefix: string, options: ListOptions) => call('list', prefix, () => store.list(prefix, options)),
      localFile: () => undefined,
      presign: async () => undefined,
    }
  }

  /**
   * Runs what the replicas do to its end, one call at a time.
   * @param faults what may happen to a replica beside its going on; one fault in a run
   */
  async run(
    work: { readonly [replica: string]: () => Promise<unknown> },
    choose: Choose,
    faults: readonly Exclude<Move['kind'], 'go-on'>[] = [],
  ): Promise<{ readonly [replica: string]: PromiseSettledResult<unknown> | 'dead' }> {
    const ends: { [replica: string]: PromiseSettledResult<unknown> | 'dead' } = {}
    for (const [replica, doing] of Object.entries(work)) {
      doing().then(
        (value) => {
          ends[replica] = { status: 'fulfilled', value }
        },
        (reason) => {
          ends[replica] = { status: 'rejected', reason }
        },
      )
    }
    let isFaulty = false
    for (;;) {
      await quiet()
      const waiting = this.#waiting.toSorted((a, b) => (a.replica < b.replica ? -1 : 1))
      if (waiting.length === 0) break
      const kinds: readonly Move['kind'][] = isFaulty ? ['go-on'] : ['go-on', ...faults]
      const moves: readonly Move[] = waiting.flatMap(({ replica }) =>
        kinds.map((kind) => ({ replica, kind })),
      )
      const move = moves[choose(moves)]!
      isFaulty ||= move.kind !== 'go-on'
      if (move.kind.startsWith('die')) {
        this.#dead.add(move.replica)
        ends[move.replica] = 'dead'
      }
      const next = waiting.find(({ replica }) => replica === move.replica)!
      this.#waiting.splice(this.#waiting.indexOf(next), 1)
      next.grant(move.kind)
    }
    return ends
  }

  async #call<T>(replica: string, doing: string, key: string, work: () => Promise<T>): Promise<T> {
    if (this.#dead.has(replica)) return never()
    const kind = await new Promise<Move['kind']>((grant) => this.#waiting.push({ replica, grant }))
    this.trace.push(`${replica} ${kind === 'go-on' ? '' : `${kind}: `}${doing} ${key}`)
    if (kind === 'die-before') return never()
    const result = await work()
    if (kind === 'die-after') return never()
    if (kind === 'answer-lost') throw new StorageUnavailableError('a Map', doing)
    return result
  }
}

/**
 * Runs `attempt` with every sequence of choices in which the turn passes from one replica that could go on to another at most
 * so many times: two that undo each other's work could do so for ever.
 * @returns how many there were
 */
export async function everySchedule(
  attempt: (choose: Choose) => Promise<void>,
  { switchesMax }: { readonly switchesMax: number },
): Promise<number> {
  let choices: { at: number; of: number }[] = []
  for (let count = 1; ; count++) {
    const taken = choices
    let depth = 0
    let switches = 0
    let current: string | undefined
    await attempt((moves) => {
      const own = moves.flatMap(({ replica }, index) => (replica === current ? [index] : []))
      const others = moves.flatMap(({ replica }, index) => (replica === current ? [] : [index]))
      const mayStay = own.length > 0
      const open = mayStay && switches === switchesMax ? own : [...own, ...others]
      taken[depth] ??= { at: 0, of: open.length }
      const index = open[taken[depth++]!.at]!
      const next = moves[index]!.replica
      if (mayStay && next !== current) switches++
      current = next
      return index
    })
    choices = taken.slice(0, depth)
    while (choices.length > 0 && choices.at(-1)!.at + 1 >= choices.at(-1)!.of) choices.pop()
    const last = choices.at(-1)
    if (last === undefined) return count
    last.at++
  }
}

/** Nothing here waits for anything but the store and other promises. */
function quiet(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function never(): Promise<never> {
  return new Promise(() => {})
}

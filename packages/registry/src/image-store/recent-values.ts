/**
 * What was read from the origin a short while ago, so that requests to the origin grow with images and not with nodes.
 * Bounded in weight, least recently used goes first; many who ask for one key share one read. "Not there" is never kept.
 */
import { LRUCache } from 'lru-cache'

interface Entry<V> {
  readonly value: V
  readonly readAtMs: number
}

export interface RecentValuesInit<V> {
  /** Of all values together. */
  readonly weightMax: number
  readonly weigh?: (value: V) => number
  /** How old a value may be; the longest time in which a change by another replica is not seen. */
  readonly ageMsMax: number
  readonly nowMs: () => number
}

export class RecentValues<V> {
  readonly #entries: LRUCache<string, Entry<V>>
  readonly #reads = new Map<string, Promise<V | undefined>>()
  readonly #init: RecentValuesInit<V>

  constructor(init: RecentValuesInit<V>) {
    this.#init = init
    this.#entries = new LRUCache({
      maxSize: init.weightMax,
      // The library takes no weight of 0.
      sizeCalculation: ({ value }) => Math.max(1, init.weigh?.(value) ?? 1),
    })
  }

  async get(key: string, read: () => Promise<V | undefined>): Promise<V | undefined> {
    const entry = this.#entries.get(key)
    if (entry !== undefined && this.#init.nowMs() - entry.readAtMs <= this.#init.ageMsMax) return entry.value
    const underWay = this.#reads.get(key)
    if (underWay !== undefined) return underWay
    const reading = this.#read(key, read)
    this.#reads.set(key, reading)
    return reading
  }

  set(key: string, value: V): void {
    this.#reads.delete(key)
    this.#entries.set(key, { value, readAtMs: this.#init.nowMs() })
  }

  /** Also keeps a read that is under way from being remembered: it may have seen what was there before. */
  delete(key: string): void {
    this.#reads.delete(key)
    this.#entries.delete(key)
  }

  async #read(key: string, read: () => Promise<V | undefined>): Promise<V | undefined> {
    // One turn later, so that `get` has noted this read as the current one.
    await undefined
    const reading = this.#reads.get(key)
    try {
      const value = await read()
      if (value !== undefined && reading !== undefined && this.#reads.get(key) === reading)
        this.set(key, value)
      return value
    } finally {
      if (this.#reads.get(key) === reading) this.#reads.delete(key)
    }
  }
}

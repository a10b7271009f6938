/**
 * What was read from the origin a short while ago, so that requests to the origin grow with images and not with nodes.
 * Bounded in weight, least recently used goes first; many who ask for one key share one read. "Not there" is never kept.
 */
interface Entry<V> {
  readonly value: V
  readonly weight: number
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
  // A Map iterates in order of insertion: the first entry is the one that was not used for longest.
  readonly #entries = new Map<string, Entry<V>>()
  readonly #reads = new Map<string, Promise<V | undefined>>()
  #weight = 0

  readonly #init: RecentValuesInit<V>

  constructor(init: RecentValuesInit<V>) {
    this.#init = init
  }

  async get(key: string, read: () => Promise<V | undefined>): Promise<V | undefined> {
    const entry = this.#entries.get(key)
    if (entry !== undefined && this.#init.nowMs() - entry.readAtMs <= this.#init.ageMsMax) {
      this.#entries.delete(key)
      this.#entries.set(key, entry)
      return entry.value
    }
    const underWay = this.#reads.get(key)
    if (underWay !== undefined) return underWay
    const reading = this.#read(key, read)
    this.#reads.set(key, reading)
    return reading
  }

  set(key: string, value: V): void {
    this.delete(key)
    const weight = this.#init.weigh?.(value) ?? 1
    if (weight > this.#init.weightMax) return
    this.#entries.set(key, { value, weight, readAtMs: this.#init.nowMs() })
    this.#weight += weight
    for (const oldest of this.#entries.keys()) {
      if (this.#weight <= this.#init.weightMax) break
      this.#remove(oldest)
    }
  }

  /** Also keeps a read that is under way from being remembered: it may have seen what was there before. */
  delete(key: string): void {
    this.#reads.delete(key)
    this.#remove(key)
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

  #remove(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#weight -= entry.weight
  }
}

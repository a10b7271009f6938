/**
 * What the announce stream tells of blobs on their way to the seeder, for whoever waits for the next thing to ask: an end, a new
 * beginning of the stream, or that nothing was heard for long. It saves a question that waits, for every blob and agent.
 */
import type { InfoHash } from '@shoal/core'
import type { Announcer } from './announcer.ts'

/** Without a word of a blob for so long, it is asked for: an end may have been told to a stream that was just being lost. */
const QUIET_MS = 10_000
/** Ends that nobody waits for yet: the answer that says a blob is on its way, and its end, come over two connections. */
const ENDED_MAX = 256

interface Waiter {
  readonly resolve: () => void
  readonly quiet: NodeJS.Timeout
}

export class ArrivalNews {
  readonly #announcer: Announcer
  readonly #waiters = new Map<InfoHash, Set<Waiter>>()
  readonly #ended = new Set<InfoHash>()

  constructor(parts: { readonly announcer: Announcer }) {
    this.#announcer = parts.announcer
    const { announcer } = parts
    announcer.on('arrivalEnded', (infoHash) => this.#end(infoHash))
    announcer.on('pieces', (infoHash) => {
      for (const waiter of this.#waiters.get(infoHash) ?? []) waiter.quiet.refresh()
    })
    // Of a seeder that was started anew nothing more is heard of what it received before.
    for (const event of ['welcome', 'closed'] as const) announcer.on(event, () => this.#wakeAll())
  }

  /** Whether the seeder tells of ends; otherwise it must be asked, and waited for. */
  get isTold(): boolean {
    return this.#announcer.tellsArrivalsEnd
  }

  /**
   * Resolves when it is time to ask for the blob again.
   * @param quietMs how long nothing need be heard of it
   */
  async next(infoHash: InfoHash, quietMs = QUIET_MS): Promise<void> {
    if (this.#ended.delete(infoHash)) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const waiter: Waiter = { resolve, quiet: setTimeout(resolve, quietMs).unref() }
    const waiters = this.#waiters.get(infoHash) ?? new Set()
    this.#waiters.set(infoHash, waiters.add(waiter))
    await promise
    clearTimeout(waiter.quiet)
    waiters.delete(waiter)
    if (waiters.size === 0) this.#waiters.delete(infoHash)
  }

  #end(infoHash: InfoHash): void {
    const waiters = this.#waiters.get(infoHash)
    if (waiters !== undefined) {
      for (const { resolve } of waiters) resolve()
      return
    }
    this.#ended.add(infoHash)
    for (const oldest of this.#ended) {
      if (this.#ended.size <= ENDED_MAX) break
      this.#ended.delete(oldest)
    }
  }

  #wakeAll(): void {
    this.#ended.clear()
    for (const waiters of this.#waiters.values()) for (const { resolve } of waiters) resolve()
  }
}

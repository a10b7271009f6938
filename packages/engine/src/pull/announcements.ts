/**
 * What the tracker is told of this node's swarms, and when. Pure: `step(nowMs, event) → effects`.
 *
 * The tracker keeps nothing about an agent whose stream is closed, so everything is said again on every new one: a restarted
 * seeder knows all swarms within seconds. Changes are gathered for a moment and sent together.
 */
import type { InfoHash } from '@shoal/core'
import { SWARMS_PER_FRAME_MAX, type SwarmState } from '@shoal/wire'
import { PULL_LIMITS } from './limits.ts'

export type AnnouncementEvent =
  | { readonly kind: 'announce'; readonly infoHash: InfoHash; readonly state: SwarmState }
  | { readonly kind: 'leave'; readonly infoHash: InfoHash }
  | { readonly kind: 'stream-opened' }
  | { readonly kind: 'stream-closed' }
  | { readonly kind: 'timer' }

/** Each as long as one frame may be. */
export type AnnouncementEffect =
  | {
      readonly kind: 'send-announce'
      readonly swarms: readonly { readonly infoHash: InfoHash; readonly state: SwarmState }[]
    }
  | { readonly kind: 'send-leave'; readonly infoHashes: readonly InfoHash[] }
  /** Send `timer` at this time. */
  | { readonly kind: 'set-timer'; readonly atMs: number }

export class Announcements {
  readonly #states = new Map<InfoHash, SwarmState>()
  readonly #changed = new Set<InfoHash>()
  #isOpen = false
  #isGathering = false

  step(nowMs: number, event: AnnouncementEvent): AnnouncementEffect[] {
    switch (event.kind) {
      case 'announce':
        if (this.#states.get(event.infoHash) === event.state) return []
        this.#states.set(event.infoHash, event.state)
        return this.#gather(nowMs, event.infoHash)
      case 'leave':
        return this.#states.delete(event.infoHash) ? this.#gather(nowMs, event.infoHash) : []
      case 'stream-opened':
        this.#isOpen = true
        for (const infoHash of this.#states.keys()) this.#changed.add(infoHash)
        return this.#tell()
      case 'stream-closed':
        this.#isOpen = false
        return []
      case 'timer':
        this.#isGathering = false
        return this.#tell()
    }
  }

  #gather(nowMs: number, infoHash: InfoHash): AnnouncementEffect[] {
    this.#changed.add(infoHash)
    if (this.#isGathering) return []
    this.#isGathering = true
    return [{ kind: 'set-timer', atMs: nowMs + PULL_LIMITS.gatherMs }]
  }

  /** Tells what has changed; while the stream is closed nothing is lost, since opening it says everything. */
  #tell(): AnnouncementEffect[] {
    const changed = [...this.#changed]
    this.#changed.clear()
    if (!this.#isOpen) return []
    const swarms = changed.flatMap((infoHash) => {
      const state = this.#states.get(infoHash)
      return state === undefined ? [] : [{ infoHash, state }]
    })
    const left = changed.filter((infoHash) => !this.#states.has(infoHash))
    return [
      ...inFrames(swarms).map((some) => ({ kind: 'send-announce', swarms: some }) as const),
      ...inFrames(left).map((some) => ({ kind: 'send-leave', infoHashes: some }) as const),
    ]
  }
}

function inFrames<T>(items: readonly T[]): T[][] {
  const frames: T[][] = []
  for (let start = 0; start < items.length; start += SWARMS_PER_FRAME_MAX)
    frames.push(items.slice(start, start + SWARMS_PER_FRAME_MAX))
  return frames
}

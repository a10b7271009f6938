/**
 * Of which info hashes there are swarms, when agents announce some that the table does not know. Pure:
 * `step(nowMs, event) → effects`.
 *
 * Finding out costs a read of the origin, and an info hash is 20 bytes that anybody can make up. So each is looked up once,
 * however many announce it; few at a time, those of all agents by turns; and who announces what is not there has a budget for
 * it, by agent and by address, while what is there costs nobody anything. What was found not to be there is remembered for a
 * while, with those who announced it: if it comes after all, they need not say it again.
 *
 * When there is no room for more, what is new is forgotten before anything is kept of it, unless it comes from an agent that has
 * less than its share: that agent takes the place of what is oldest, at a rate. Taking places from each other for as long as
 * somebody announces would cost more than all the look-ups: 160,000 info hashes that nobody knows once took
 * 130 MB and a second in one piece.
 */
import { addressKey, type InfoHash, type PeerId } from '@shoal/core'
import type { SwarmState } from '@shoal/wire'
import { TokenBucket } from '../policy/token-bucket.ts'

export interface LookupLimits {
  /** Look-ups under way. */
  readonly atOnceMax: number
  /** Info hashes that wait to be looked up, or that are remembered as unknown. */
  readonly hashesMax: number
  readonly hashesPerAddressMax: number
  /** What agents have announced of those. */
  readonly announcesMax: number
  readonly announcesPerAddressMax: number
  readonly announcesPerAgentMax: number
  /** Look-ups that find nothing. */
  readonly misses: MissRates
  /** Info hashes of one address for which others are forgotten. */
  readonly displacedPerAddress: Rate
  /** For how long an info hash is remembered as unknown. */
  readonly unknownMs: number
}

/** Misses in a second in the long run, and how many at once after a while without. */
export interface MissRates {
  readonly perAgent: Rate
  readonly perAddress: Rate
  readonly all: Rate
}

interface Rate {
  readonly perSecond: number
  readonly atOnce: number
}

export const LOOKUP_LIMITS: LookupLimits = {
  atOnceMax: 32,
  hashesMax: 32_768,
  // As many as one agent may be in.
  hashesPerAddressMax: 8_192,
  // When 500 agents say at once what they have, most of it waits for a moment: 60 bytes each.
  announcesMax: 1_048_576,
  announcesPerAddressMax: 262_144,
  announcesPerAgentMax: 8_192,
  // A collection of garbage may have removed some hundred blobs that an agent still has.
  misses: {
    perAgent: { perSecond: 10, atOnce: 500 },
    perAddress: { perSecond: 50, atOnce: 2_000 },
    all: { perSecond: 200, atOnce: 8_000 },
  },
  // As many as there are places; in the long run what one agent has that comes again.
  displacedPerAddress: { perSecond: 500, atOnce: 8_192 },
  unknownMs: 30_000,
}

type Swarms = readonly { readonly infoHash: InfoHash; readonly state: SwarmState }[]

export type LookupEvent =
  /** An agent announced swarms that the table does not know. @property ip where its stream comes from */
  | { readonly kind: 'announced'; readonly peerId: PeerId; readonly ip: string; readonly swarms: Swarms }
  | { readonly kind: 'swarms-left'; readonly peerId: PeerId; readonly infoHashes: readonly InfoHash[] }
  | { readonly kind: 'agent-left'; readonly peerId: PeerId }
  /** Answers `look-up`. */
  | {
      readonly kind: 'looked-up'
      readonly infoHash: InfoHash
      readonly outcome: 'known' | 'unknown' | 'failed'
    }
  /** Whatever was found before: there is a swarm of it now. */
  | { readonly kind: 'appeared'; readonly infoHash: InfoHash }
  /** Somebody who is no agent asked for it, and it is not there. */
  | { readonly kind: 'missed'; readonly ip: string; readonly infoHash: InfoHash }
  /** Every few seconds: what waited for a budget goes on. */
  | { readonly kind: 'tick' }

export type LookupEffect =
  | { readonly kind: 'look-up'; readonly infoHash: InfoHash }
  /** What the agent has announced is of a swarm. @property leechingAtATime with how many others that it leeches */
  | {
      readonly kind: 'announce'
      readonly peerId: PeerId
      readonly infoHash: InfoHash
      readonly state: SwarmState
      readonly leechingAtATime: number
    }

/** All that comes from one address. */
interface Place {
  readonly key: string
  readonly misses: TokenBucket
  readonly displaced: TokenBucket
  /** Its info hashes, each where it was announced first. */
  readonly queued: Map<InfoHash, Heard>
  readonly unknown: Map<InfoHash, Heard>
  /** Those that are looked up now. They are not forgotten for others: what is not found would be on nobody's budget. */
  readonly asked: Map<InfoHash, Heard>
  announces: number
  askers: number
}

interface Asker {
  readonly peerId: PeerId
  readonly place: Place
  readonly misses: TokenBucket
  /** What is to be looked up for it, and what of that was. */
  queue: InfoHash[]
  announces: number
  /** Info hashes that it was the first to announce. */
  hashes: number
  leechingAtATime: number
  isGone: boolean
}

interface Heard {
  readonly infoHash: InfoHash
  readonly place: Place
  /** Who announced it first; absent where nobody did who is an agent. */
  readonly announcer: Asker | undefined
  state: 'queued' | 'asked' | 'unknown'
  /** On whose budget it is looked up. */
  asker: Asker | undefined
  untilMs: number
  readonly waiting: Map<Asker, SwarmState>
}

export class Lookups {
  readonly #limits: LookupLimits
  readonly #heard = new Map<InfoHash, Heard>()
  readonly #places = new Map<string, Place>()
  readonly #askers = new Map<PeerId, Asker>()
  /** Those for whom something is to be looked up, by turns; and of these those whose budget is spent. */
  readonly #turns = new Set<Asker>()
  readonly #resting = new Set<Asker>()
  readonly #misses: TokenBucket
  #announces = 0
  #underWay = 0
  /** The origin failed: nothing is asked of it before the next tick. */
  #isPaused = false
  #effects: LookupEffect[] = []

  constructor(limits: LookupLimits = LOOKUP_LIMITS) {
    this.#limits = limits
    this.#misses = bucket(limits.misses.all, 0)
  }

  /** Info hashes that are remembered, unknown or not looked up yet. */
  get hashCount(): number {
    return this.#heard.size
  }

  get announceCount(): number {
    return this.#announces
  }

  /** Whether it was found not long ago that there is nothing of this info hash. */
  isUnknown(nowMs: number, infoHash: InfoHash): boolean {
    const heard = this.#heard.get(infoHash)
    return heard?.state === 'unknown' && heard.untilMs > nowMs
  }

  /** Whether somebody at this address, who is no agent, may have something looked up. */
  mayAsk(nowMs: number, ip: string): boolean {
    const place = this.#places.get(addressKey(ip))
    return this.#misses.hasAny(nowMs) && (place === undefined || place.misses.hasAny(nowMs))
  }

  step(nowMs: number, event: LookupEvent): readonly LookupEffect[] {
    switch (event.kind) {
      case 'announced':
        this.#announced(nowMs, event)
        break
      case 'swarms-left':
        for (const infoHash of event.infoHashes) this.#leave(event.peerId, infoHash)
        return NOTHING
      case 'agent-left':
        this.#agentLeft(event.peerId)
        break
      case 'looked-up':
        this.#lookedUp(nowMs, event.infoHash, event.outcome)
        break
      case 'appeared':
        this.#appeared(event.infoHash)
        break
      case 'missed':
        this.#missed(nowMs, event.ip, event.infoHash)
        return NOTHING
      case 'tick':
        this.#tick(nowMs)
        break
    }
    this.#ask(nowMs)
    const effects = this.#effects
    if (effects.length > 0) this.#effects = []
    return effects
  }

  #announced(nowMs: number, { peerId, ip, swarms }: Extract<LookupEvent, { kind: 'announced' }>): void {
    const asker = this.#askers.get(peerId) ?? this.#newAsker(nowMs, peerId, ip)
    let leeching = 0
    for (const { state } of swarms) if (state === 'leeching') leeching++
    if (leeching > 0) asker.leechingAtATime = leeching
    for (const { infoHash, state } of swarms) {
      const heard = this.#heard.get(infoHash) ?? this.#newHeard(nowMs, infoHash, asker)
      if (heard === undefined) continue
      if (!this.#wait(heard, asker, state)) {
        if (heard.waiting.size === 0 && heard.state !== 'asked') this.#forget(heard)
        continue
      }
      const isForgotten = heard.state === 'unknown' && heard.untilMs <= nowMs
      if (isForgotten || heard.asker === undefined) this.#queue(heard, asker)
    }
  }

  #newAsker(nowMs: number, peerId: PeerId, ip: string): Asker {
    const place = this.#placeOf(nowMs, ip)
    place.askers++
    const asker: Asker = {
      peerId,
      place,
      misses: bucket(this.#limits.misses.perAgent, nowMs),
      queue: [],
      announces: 0,
      hashes: 0,
      leechingAtATime: 1,
      isGone: false,
    }
    this.#askers.set(peerId, asker)
    return asker
  }

  #placeOf(nowMs: number, ip: string): Place {
    const key = addressKey(ip)
    let place = this.#places.get(key)
    if (place === undefined) {
      const misses = bucket(this.#limits.misses.perAddress, nowMs)
      const displaced = bucket(this.#limits.displacedPerAddress, nowMs)
      place = {
        key,
        misses,
        displaced,
        queued: new Map(),
        unknown: new Map(),
        asked: new Map(),
        announces: 0,
        askers: 0,
      }
      this.#places.set(key, place)
    }
    return place
  }

  /** @returns undefined when there is no room for it: what is announced of it is forgotten */
  #newHeard(nowMs: number, infoHash: InfoHash, asker: Asker): Heard | undefined {
    const { place } = asker
    if (this.#isFull(place) && !this.#displaceFor(nowMs, asker)) return undefined
    const heard: Heard = {
      infoHash,
      place,
      announcer: asker,
      state: 'queued',
      asker: undefined,
      untilMs: 0,
      waiting: new Map(),
    }
    asker.hashes++
    this.#heard.set(infoHash, heard)
    place.queued.set(infoHash, heard)
    return heard
  }

  #isFull(place: Place): boolean {
    return this.#isPlaceFull(place) || this.#heard.size >= this.#limits.hashesMax
  }

  #isPlaceFull(place: Place): boolean {
    return hashCountOf(place) >= this.#limits.hashesPerAddressMax
  }

  /** Those at one address have equal shares of its places; who comes under new names again and again is held by the rate. */
  #displaceFor(nowMs: number, asker: Asker): boolean {
    const { place, hashes } = asker
    if (hashes * place.askers >= this.#limits.hashesPerAddressMax || !place.displaced.hasAny(nowMs))
      return false
    const oldest = this.#oldest(place)
    // To lose one of its own for another would go on without end.
    if (oldest === undefined || oldest.announcer === asker) return false
    place.displaced.spend(1)
    this.#forget(oldest)
    return true
  }

  #displaceForMissed(place: Place): boolean {
    const oldest = this.#oldest(place)
    if (oldest !== undefined) this.#forget(oldest)
    return oldest !== undefined
  }

  /** What goes if there is to be room for one more of this place. */
  #oldest(place: Place): Heard | undefined {
    const from = this.#isPlaceFull(place) ? place : this.#greediest()
    // What is known not to be there is worth least; of what waits, what has waited longest.
    return first(from.unknown) ?? first(from.queued)
  }

  #greediest(): Place {
    let found: Place | undefined
    let most = -1
    for (const place of this.#places.values()) {
      const count = place.queued.size + place.unknown.size
      if (count > most) {
        found = place
        most = count
      }
    }
    return found!
  }

  /** @returns false when too much is announced already: it is forgotten */
  #wait({ waiting }: Heard, asker: Asker, state: SwarmState): boolean {
    const { announcesMax, announcesPerAddressMax, announcesPerAgentMax } = this.#limits
    const isKnown = waiting.has(asker)
    const isFull =
      this.#announces >= announcesMax ||
      asker.place.announces >= announcesPerAddressMax ||
      asker.announces >= announcesPerAgentMax
    if (!isKnown && isFull) return false
    waiting.set(asker, state)
    if (isKnown) return true
    this.#announces++
    asker.place.announces++
    asker.announces++
    return true
  }

  #queue(heard: Heard, asker: Asker): void {
    heard.state = 'queued'
    heard.asker = asker
    heard.place.unknown.delete(heard.infoHash)
    heard.place.asked.delete(heard.infoHash)
    heard.place.queued.set(heard.infoHash, heard)
    asker.queue.push(heard.infoHash)
    if (asker.queue.length > 2 * this.#limits.announcesPerAgentMax) this.#tidy(asker)
    if (!this.#resting.has(asker)) this.#turns.add(asker)
  }

  /** What was forgotten for others, or is somebody else's by now, is looked up for it no more. */
  #tidy(asker: Asker): void {
    asker.queue = asker.queue.filter((infoHash) => this.#isQueuedFor(asker, this.#heard.get(infoHash)))
  }

  #isQueuedFor(asker: Asker, heard: Heard | undefined): heard is Heard {
    return heard?.state === 'queued' && heard.asker === asker
  }

  #leave(peerId: PeerId, infoHash: InfoHash): void {
    const asker = this.#askers.get(peerId)
    const heard = this.#heard.get(infoHash)
    if (asker !== undefined && heard !== undefined) this.#stopWaiting(heard, asker)
  }

  #stopWaiting({ waiting }: Heard, asker: Asker): void {
    if (!waiting.delete(asker)) return
    this.#announces--
    asker.place.announces--
    asker.announces--
  }

  /** What it had announced is dropped when its turn comes; what others have announced as well goes on for them. */
  #agentLeft(peerId: PeerId): void {
    const asker = this.#askers.get(peerId)
    if (asker === undefined) return
    asker.isGone = true
    asker.place.askers--
    this.#askers.delete(peerId)
    this.#turns.delete(asker)
    this.#resting.delete(asker)
    for (const infoHash of asker.queue) {
      const heard = this.#heard.get(infoHash)
      if (!this.#isQueuedFor(asker, heard)) continue
      const heir = livingIn(heard)
      if (heir === undefined) this.#forget(heard)
      else this.#queue(heard, heir)
    }
    asker.queue = []
  }

  #lookedUp(nowMs: number, infoHash: InfoHash, outcome: 'known' | 'unknown' | 'failed'): void {
    this.#underWay--
    const heard = this.#heard.get(infoHash)
    // It appeared meanwhile, or was forgotten for others.
    if (heard?.state !== 'asked') return
    if (outcome === 'known') {
      this.#appeared(infoHash)
      return
    }
    const { place, asker } = heard
    if (outcome === 'failed') {
      this.#isPaused = true
      const heir = livingIn(heard)
      if (heir === undefined) this.#forget(heard)
      else this.#queue(heard, heir)
      return
    }
    this.#misses.spend(1)
    place.misses.spend(1)
    asker?.misses.spend(1)
    this.#becomeUnknown(nowMs, heard)
  }

  #becomeUnknown(nowMs: number, heard: Heard): void {
    const { place, infoHash } = heard
    heard.state = 'unknown'
    heard.untilMs = nowMs + this.#limits.unknownMs
    place.queued.delete(infoHash)
    place.asked.delete(infoHash)
    place.unknown.set(infoHash, heard)
  }

  #missed(nowMs: number, ip: string, infoHash: InfoHash): void {
    const place = this.#placeOf(nowMs, ip)
    this.#misses.spend(1)
    place.misses.spend(1)
    if (this.#heard.has(infoHash) || (this.#isFull(place) && !this.#displaceForMissed(place))) return
    const heard: Heard = {
      infoHash,
      place,
      announcer: undefined,
      state: 'unknown',
      asker: undefined,
      untilMs: 0,
      waiting: new Map(),
    }
    this.#heard.set(infoHash, heard)
    this.#becomeUnknown(nowMs, heard)
  }

  #appeared(infoHash: InfoHash): void {
    const heard = this.#heard.get(infoHash)
    if (heard === undefined) return
    for (const [{ peerId, isGone, leechingAtATime }, state] of heard.waiting)
      if (!isGone) this.#effects.push({ kind: 'announce', peerId, infoHash, state, leechingAtATime })
    this.#forget(heard)
  }

  #forget(heard: Heard): void {
    const { infoHash, place, announcer, waiting } = heard
    if (announcer !== undefined) announcer.hashes--
    for (const asker of [...waiting.keys()]) this.#stopWaiting(heard, asker)
    this.#heard.delete(infoHash)
    place.queued.delete(infoHash)
    place.unknown.delete(infoHash)
    place.asked.delete(infoHash)
  }

  #tick(nowMs: number): void {
    this.#isPaused = false
    for (const asker of this.#resting) this.#turns.add(asker)
    this.#resting.clear()
    for (const place of this.#places.values()) {
      for (const heard of place.unknown.values()) {
        if (heard.untilMs > nowMs) break
        for (const asker of heard.waiting.keys()) if (asker.isGone) this.#stopWaiting(heard, asker)
        if (heard.waiting.size === 0) this.#forget(heard)
      }
      const isIdle = place.askers === 0 && hashCountOf(place) === 0
      if (isIdle && place.misses.isFull(nowMs) && place.displaced.isFull(nowMs))
        this.#places.delete(place.key)
    }
  }

  #ask(nowMs: number): void {
    while (!this.#isPaused && this.#underWay < this.#limits.atOnceMax && this.#misses.hasAny(nowMs)) {
      const [asker] = this.#turns
      if (asker === undefined) return
      this.#turns.delete(asker)
      if (!asker.misses.hasAny(nowMs) || !asker.place.misses.hasAny(nowMs)) {
        this.#resting.add(asker)
        continue
      }
      const heard = this.#nextOf(asker)
      if (heard === undefined) continue
      this.#turns.add(asker)
      heard.state = 'asked'
      heard.place.queued.delete(heard.infoHash)
      heard.place.asked.set(heard.infoHash, heard)
      this.#underWay++
      this.#effects.push({ kind: 'look-up', infoHash: heard.infoHash })
    }
  }

  /** What was announced first; what nobody waits for any more is dropped. */
  #nextOf(asker: Asker): Heard | undefined {
    const { queue } = asker
    for (let position = 0; position < queue.length; position++) {
      const heard = this.#heard.get(queue[position]!)
      if (!this.#isQueuedFor(asker, heard)) continue
      if (livingIn(heard) === undefined) {
        this.#forget(heard)
        continue
      }
      queue.splice(0, position + 1)
      return heard
    }
    asker.queue = []
    return undefined
  }
}

function hashCountOf({ queued, unknown, asked }: Place): number {
  return queued.size + unknown.size + asked.size
}

function livingIn({ waiting }: Heard): Asker | undefined {
  for (const asker of waiting.keys()) if (!asker.isGone) return asker
  return undefined
}

function first(map: ReadonlyMap<InfoHash, Heard>): Heard | undefined {
  for (const heard of map.values()) return heard
  return undefined
}

function bucket({ perSecond, atOnce }: Rate, nowMs: number): TokenBucket {
  return new TokenBucket(perSecond, nowMs, (atOnce / perSecond) * 1000)
}

const NOTHING: readonly LookupEffect[] = []

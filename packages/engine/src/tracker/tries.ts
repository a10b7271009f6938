/**
 * Who tries whom when an agent asks whether peers reach it, and what it is told. Pure: `step(nowMs, event) → effects`.
 *
 * Some other agents and the seeder dial the asker, and it is told of them so that it dials them in turn. Nobody is ever
 * sent to another address than the one that the asker itself announced. Rounds are few, short and forgotten.
 *
 * An agent may announce any address. Whoever announces a stranger's must not learn from others which ports are open there: it
 * is told why it was not reached, and how soon that was clear, only where it announced the address that it comes from. The
 * seeder, which connects to nobody otherwise, goes to no other address at all.
 */
import type { PeerAddress, PeerId } from '@shoal/core'
import type { DialOutcome, TriedOutcome } from '@shoal/wire'
import type { AgentEntry } from './protocol.ts'

export interface TryLimits {
  /** Agents that try the asker, the seeder not counted. */
  readonly partnersMax: number
  readonly roundsMax: number
  /** Between two questions of one agent. */
  readonly intervalMs: number
  /** For all of a round. */
  readonly roundMs: number
}

export const TRY_LIMITS: TryLimits = {
  // Two in the zone and two outside tell a broken node from a broken link.
  partnersMax: 4,
  roundsMax: 32,
  intervalMs: 1_000,
  // A dial takes 2 s at most; the rest is for the ways there and back.
  roundMs: 3_000,
}

export interface Tried {
  readonly peerId: PeerId
  readonly outcome: TriedOutcome
  readonly ms: number
}

export type TryEvent =
  /**
   * @param partners of `chooseTryPartners`
   * @param isOwnAddress whether the asker's stream comes from the host that it announced
   */
  | {
      readonly kind: 'asked'
      readonly asker: PeerAddress
      readonly id: number
      readonly partners: readonly PeerAddress[]
      readonly isOwnAddress: boolean
    }
  | {
      readonly kind: 'dialled'
      readonly by: PeerId
      readonly dial: number
      readonly outcome: DialOutcome
      readonly ms: number
    }
  | { readonly kind: 'agent-left'; readonly peerId: PeerId }
  | { readonly kind: 'timer' }

export type TryEffect =
  | {
      readonly kind: 'tell-peers'
      readonly asker: PeerAddress
      readonly id: number
      readonly peers: readonly PeerAddress[]
    }
  | { readonly kind: 'dial'; readonly by: PeerAddress; readonly dial: number; readonly address: PeerAddress }
  | {
      readonly kind: 'tell-tried'
      readonly asker: PeerId
      readonly id: number
      readonly tries: readonly Tried[]
    }
  | { readonly kind: 'refuse'; readonly asker: PeerId; readonly id: number }
  | { readonly kind: 'set-timer'; readonly atMs: number }

interface Round {
  readonly asker: PeerId
  readonly id: number
  readonly isOwnAddress: boolean
  readonly endsAtMs: number
  /** Who has not said yet, by the number of the dial. */
  readonly waiting: Map<number, PeerId>
  readonly tries: Tried[]
  /** Where how soon it is over would tell what must not be told. */
  lastsToItsEnd: boolean
}

export class Tries {
  readonly #seeder: PeerAddress
  readonly #limits: TryLimits
  /** By the asker, the oldest first. */
  readonly #rounds = new Map<PeerId, Round>()
  readonly #roundOfDial = new Map<number, Round>()
  /** When each asked, the latest last; those that may ask again are forgotten. */
  readonly #askedAtMs = new Map<PeerId, number>()
  #nextDial = 0

  constructor(init: { seeder: PeerAddress; limits?: TryLimits }) {
    this.#seeder = init.seeder
    this.#limits = init.limits ?? TRY_LIMITS
  }

  get roundCount(): number {
    return this.#rounds.size
  }

  step(nowMs: number, event: TryEvent): TryEffect[] {
    switch (event.kind) {
      case 'asked':
        return this.#asked(nowMs, event)
      case 'dialled':
        return this.#dialled(event)
      case 'agent-left':
        this.#forget(this.#rounds.get(event.peerId))
        return []
      case 'timer':
        return this.#expire(nowMs)
    }
  }

  #asked(nowMs: number, event: Extract<TryEvent, { kind: 'asked' }>): TryEffect[] {
    const { asker, id, partners, isOwnAddress } = event
    const { roundsMax, intervalMs, roundMs } = this.#limits
    for (const [peerId, askedAtMs] of this.#askedAtMs) {
      if (nowMs - askedAtMs < intervalMs) break
      this.#askedAtMs.delete(peerId)
    }
    const isRefused =
      this.#rounds.has(asker.peerId) || this.#askedAtMs.has(asker.peerId) || this.#rounds.size >= roundsMax
    if (isRefused) return [{ kind: 'refuse', asker: asker.peerId, id }]
    this.#askedAtMs.set(asker.peerId, nowMs)
    const round: Round = {
      asker: asker.peerId,
      id,
      isOwnAddress,
      endsAtMs: nowMs + roundMs,
      waiting: new Map(),
      tries: [],
      lastsToItsEnd: false,
    }
    this.#rounds.set(asker.peerId, round)
    const dials = (isOwnAddress ? [this.#seeder, ...partners] : partners).map((by): TryEffect => {
      const dial = this.#nextDial
      this.#nextDial = (this.#nextDial + 1) % 2 ** 32
      round.waiting.set(dial, by.peerId)
      this.#roundOfDial.set(dial, round)
      return { kind: 'dial', by, dial, address: asker }
    })
    const told: TryEffect = { kind: 'tell-peers', asker, id, peers: [this.#seeder, ...partners] }
    if (dials.length === 0) return [told, this.#end(round)]
    return [told, ...dials, { kind: 'set-timer', atMs: this.#earliestEndMs() }]
  }

  /** What comes too late, twice, or from somebody who was not asked changes nothing. */
  #dialled({ by, dial, outcome, ms }: Extract<TryEvent, { kind: 'dialled' }>): TryEffect[] {
    const round = this.#roundOfDial.get(dial)
    if (round?.waiting.get(dial) !== by) return []
    round.waiting.delete(dial)
    this.#roundOfDial.delete(dial)
    const mayBeTold = round.isOwnAddress || outcome === 'reached'
    round.tries.push({ peerId: by, ...(mayBeTold ? { outcome, ms } : { outcome: 'unreached', ms: 0 }) })
    if (!mayBeTold) round.lastsToItsEnd = true
    return round.waiting.size === 0 && !round.lastsToItsEnd ? [this.#end(round)] : []
  }

  #expire(nowMs: number): TryEffect[] {
    const over = [...this.#rounds.values()].filter(({ endsAtMs }) => endsAtMs <= nowMs)
    const told = over.map((round) => this.#end(round))
    return this.#rounds.size === 0 ? told : [...told, { kind: 'set-timer', atMs: this.#earliestEndMs() }]
  }

  #end(round: Round): TryEffect {
    this.#forget(round)
    const { asker, id, tries } = round
    return { kind: 'tell-tried', asker, id, tries }
  }

  #forget(round: Round | undefined): void {
    if (round === undefined) return
    for (const dial of round.waiting.keys()) this.#roundOfDial.delete(dial)
    this.#rounds.delete(round.asker)
  }

  /** All rounds are equally long, and kept in the order in which they began. */
  #earliestEndMs(): number {
    const [first] = this.#rounds.values()
    return first!.endsAtMs
  }
}

/**
 * Those on other hosts first: a connection that never leaves the host proves little. Among these by turns one in the
 * asker's zone and one outside.
 *
 * @param drawn by chance; their order decides among equals
 */
export function chooseTryPartners(
  asker: AgentEntry,
  drawn: readonly AgentEntry[],
  countMax: number,
): PeerAddress[] {
  const others = drawn.filter(
    ({ canTryPeers, address }) => canTryPeers === true && address.peerId !== asker.address.peerId,
  )
  const isOnHost = ({ address }: AgentEntry) => address.host === asker.address.host
  return [others.filter((other) => !isOnHost(other)), others.filter(isOnHost)]
    .flatMap((group) => {
      const inside = group.filter(({ zone }) => zone === asker.zone)
      const outside = group.filter(({ zone }) => zone !== asker.zone)
      return group.flatMap((_, turn) => [inside[turn], outside[turn]].filter((one) => one !== undefined))
    })
    .slice(0, countMax)
    .map(({ address }) => address)
}

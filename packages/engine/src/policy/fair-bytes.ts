/**
 * Memory that strangers share (frames that are not finished, answers that are not read): a bound for all of them together and
 * one for each address. Pure: it counts, and says who has to give theirs up.
 *
 * When there is too much, whoever holds most at the address that holds most loses it. Holding much therefore takes nothing
 * from those who hold little.
 */
import { addressKey } from '@shoal/core'

export interface FairBytesInit {
  readonly bytesMax: number
  /** Of these, how many one address (of IPv6: one /64) may hold. */
  readonly bytesPerAddressMax: number
}

interface Held<Holder> {
  readonly holders: Map<Holder, number>
  bytes: number
}

export class FairBytes<Holder extends object> {
  readonly #init: FairBytesInit
  readonly #byAddress = new Map<string, Held<Holder>>()
  readonly #addressOf = new Map<Holder, string>()
  #bytes = 0

  constructor(init: FairBytesInit) {
    this.#init = init
  }

  /** Of all together. */
  get bytes(): number {
    return this.#bytes
  }

  /**
   * @param bytes what the holder holds from now on, 0 for nothing
   * @returns who holds too much: nothing is counted for them any more, and whoever keeps the bytes gives them up
   */
  holds(ip: string, holder: Holder, bytes: number): readonly Holder[] {
    const known = this.#addressOf.get(holder)
    if (known === undefined && bytes === 0) return NOBODY
    const key = known ?? addressKey(ip)
    const held = this.#byAddress.get(key) ?? { holders: new Map<Holder, number>(), bytes: 0 }
    const change = bytes - (held.holders.get(holder) ?? 0)
    if (change === 0) return NOBODY
    this.#bytes += change
    held.bytes += change
    if (bytes > 0) {
      held.holders.set(holder, bytes)
      this.#addressOf.set(holder, key)
      this.#byAddress.set(key, held)
    } else {
      held.holders.delete(holder)
      this.#addressOf.delete(holder)
      if (held.holders.size === 0) this.#byAddress.delete(key)
    }
    return change > 0 ? this.#giveUp(key) : NOBODY
  }

  #giveUp(key: string): readonly Holder[] {
    const losers: Holder[] = []
    for (;;) {
      const held = this.#byAddress.get(key)
      const isAddressFull = (held?.bytes ?? 0) > this.#init.bytesPerAddressMax
      if (!isAddressFull && this.#bytes <= this.#init.bytesMax) return losers
      const loser = largest(isAddressFull ? held! : this.#greediest())
      losers.push(loser)
      this.holds('', loser, 0)
    }
  }

  #greediest(): Held<Holder> {
    let found: Held<Holder> | undefined
    for (const held of this.#byAddress.values()) if (held.bytes > (found?.bytes ?? 0)) found = held
    return found!
  }
}

function largest<Holder>({ holders }: Held<Holder>): Holder {
  let found: Holder | undefined
  let most = 0
  for (const [holder, bytes] of holders) {
    if (bytes <= most) continue
    found = holder
    most = bytes
  }
  return found!
}

const NOBODY: readonly never[] = []

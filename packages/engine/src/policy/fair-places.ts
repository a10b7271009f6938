/**
 * Places that strangers share (connections, uploads, unfinished handshakes): a bound for all of them together and one for each
 * address, so that nobody can take what is meant for everybody. Pure.
 *
 * Who holds a place without having done anything yet can lose it: when there is no room, the place that has idled longest at
 * the address that holds most goes to who comes. Sitting on places therefore keeps nobody out.
 */
import { addressKey, assert } from '@shoal/core'

export interface FairPlacesInit {
  readonly placesMax: number
  /** Of these, how many one address (of IPv6: one /64) may have. */
  readonly placesPerAddressMax: number
}

/** `displaced` has lost its place: whoever keeps the places closes it. */
export type TakenPlace<Holder> =
  | { readonly kind: 'taken'; readonly displaced?: Holder }
  | { readonly kind: 'refused'; readonly why: 'address' | 'all' }

/** Of one address; those that came first first. */
interface Places<Holder> {
  readonly idle: Set<Holder>
  readonly inUse: Set<Holder>
}

export class FairPlaces<Holder extends object> {
  readonly #init: FairPlacesInit
  readonly #byAddress = new Map<string, Places<Holder>>()
  readonly #addressOf = new Map<Holder, string>()

  constructor(init: FairPlacesInit) {
    assert(init.placesMax > 0 && init.placesPerAddressMax > 0, 'there are places')
    this.#init = init
  }

  /** Places that are held. */
  get size(): number {
    return this.#addressOf.size
  }

  /** Places that are held from this address. */
  heldBy(ip: string): number {
    return countOf(this.#byAddress.get(addressKey(ip)))
  }

  /**
   * @param ip where the holder comes from
   * @param isSpared whether somebody at another address keeps his place although he idles
   */
  take(ip: string, holder: Holder, isSpared: (idle: Holder) => boolean = () => false): TakenPlace<Holder> {
    assert(!this.#addressOf.has(holder), 'a holder has one place')
    const key = addressKey(ip)
    const isAddressFull = countOf(this.#byAddress.get(key)) >= this.#init.placesPerAddressMax
    const isFull = isAddressFull || this.size >= this.#init.placesMax
    const displaced = isFull ? this.#idlest(isAddressFull ? key : this.#greediest()) : undefined
    if (isFull && displaced === undefined) return { kind: 'refused', why: isAddressFull ? 'address' : 'all' }
    if (displaced !== undefined && this.#addressOf.get(displaced) !== key && isSpared(displaced))
      return { kind: 'refused', why: 'address' }
    if (displaced !== undefined) this.free(displaced)
    const places = this.#byAddress.get(key) ?? { idle: new Set(), inUse: new Set() }
    places.idle.add(holder)
    this.#byAddress.set(key, places)
    this.#addressOf.set(holder, key)
    return displaced === undefined ? { kind: 'taken' } : { kind: 'taken', displaced }
  }

  /** The holder does what the place is for, and keeps it. */
  use(holder: Holder): void {
    const places = this.#placesOf(holder)
    if (places?.idle.delete(holder)) places.inUse.add(holder)
  }

  /** The holder does nothing any more, and may lose the place; it counts as having come now. */
  rest(holder: Holder): void {
    const places = this.#placesOf(holder)
    if (places === undefined) return
    places.inUse.delete(holder)
    places.idle.delete(holder)
    places.idle.add(holder)
  }

  /** Does nothing for who has no place. */
  free(holder: Holder): void {
    const key = this.#addressOf.get(holder)
    if (key === undefined) return
    this.#addressOf.delete(holder)
    const places = this.#byAddress.get(key)
    places?.idle.delete(holder)
    places?.inUse.delete(holder)
    if (countOf(places) === 0) this.#byAddress.delete(key)
  }

  #placesOf(holder: Holder): Places<Holder> | undefined {
    const key = this.#addressOf.get(holder)
    return key === undefined ? undefined : this.#byAddress.get(key)
  }

  /** Of the addresses with an idle place, the one that holds most. */
  #greediest(): string | undefined {
    let found: string | undefined
    let most = 0
    for (const [key, places] of this.#byAddress) {
      const count = countOf(places)
      if (count <= most || places.idle.size === 0) continue
      found = key
      most = count
    }
    return found
  }

  #idlest(key: string | undefined): Holder | undefined {
    const [first] = (key !== undefined && this.#byAddress.get(key)?.idle) || []
    return first
  }
}

function countOf<Holder>(places: Places<Holder> | undefined): number {
  return places === undefined ? 0 : places.idle.size + places.inUse.size
}

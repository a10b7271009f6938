/**
 * Places that strangers share (connections, uploads, unfinished handshakes): a bound for all of them together and one for each
 * address, so that nobody can take what is meant for everybody. Pure.
 *
 * Who holds a place without having done anything yet can lose it: when there is no room, the place that has idled longest at
 * the address that holds most goes to who comes. Sitting on places therefore keeps nobody out.
 */
import { addressKey } from './address-class.ts'
import { assert } from './errors.ts'

export interface FairPlacesInit {
  readonly placesMax: number
  /** Of these, how many one address (of IPv6: one /64) may have. */
  readonly placesPerAddressMax: number
}

/** `displaced` has lost its place: whoever keeps the places closes it. */
export type TakenPlace<Holder> =
  | { readonly kind: 'taken'; readonly displaced?: Holder }
  | { readonly kind: 'refused'; readonly why: 'address' | 'all' }

interface Place<Holder> {
  readonly holder: Holder
  isIdle: boolean
}

export class FairPlaces<Holder extends object> {
  readonly #init: FairPlacesInit
  /** Of each address, those that came first first. */
  readonly #byAddress = new Map<string, Map<Holder, Place<Holder>>>()
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
    return this.#byAddress.get(addressKey(ip))?.size ?? 0
  }

  /** @param ip where the holder comes from */
  take(ip: string, holder: Holder): TakenPlace<Holder> {
    assert(!this.#addressOf.has(holder), 'a holder has one place')
    const key = addressKey(ip)
    const isAddressFull = (this.#byAddress.get(key)?.size ?? 0) >= this.#init.placesPerAddressMax
    const isFull = isAddressFull || this.size >= this.#init.placesMax
    const displaced = isFull ? this.#idlest(isAddressFull ? key : this.#greediest()) : undefined
    if (isFull && displaced === undefined) return { kind: 'refused', why: isAddressFull ? 'address' : 'all' }
    if (displaced !== undefined) this.free(displaced)
    const places = this.#byAddress.get(key) ?? new Map<Holder, Place<Holder>>()
    places.set(holder, { holder, isIdle: true })
    this.#byAddress.set(key, places)
    this.#addressOf.set(holder, key)
    return displaced === undefined ? { kind: 'taken' } : { kind: 'taken', displaced }
  }

  /** The holder does what the place is for, and keeps it. */
  use(holder: Holder): void {
    const place = this.#placeOf(holder)
    if (place !== undefined) place.isIdle = false
  }

  /** The holder does nothing any more, and may lose the place; it counts as having come now. */
  rest(holder: Holder): void {
    const key = this.#addressOf.get(holder)
    const places = key === undefined ? undefined : this.#byAddress.get(key)
    if (places?.delete(holder)) places.set(holder, { holder, isIdle: true })
  }

  /** Does nothing for who has no place. */
  free(holder: Holder): void {
    const key = this.#addressOf.get(holder)
    if (key === undefined) return
    this.#addressOf.delete(holder)
    const places = this.#byAddress.get(key)
    places?.delete(holder)
    if (places?.size === 0) this.#byAddress.delete(key)
  }

  #placeOf(holder: Holder): Place<Holder> | undefined {
    const key = this.#addressOf.get(holder)
    return key === undefined ? undefined : this.#byAddress.get(key)?.get(holder)
  }

  /** Of the addresses with an idle place, the one that holds most. */
  #greediest(): string | undefined {
    let found: string | undefined
    let most = 0
    for (const [key, places] of this.#byAddress) {
      if (places.size <= most || this.#idlest(key) === undefined) continue
      found = key
      most = places.size
    }
    return found
  }

  #idlest(key: string | undefined): Holder | undefined {
    if (key === undefined) return undefined
    for (const place of this.#byAddress.get(key)?.values() ?? []) if (place.isIdle) return place.holder
    return undefined
  }
}

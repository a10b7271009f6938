/**
 * Goal: nobody takes what is meant for everybody, and who does something keeps its place.
 * Method: by hand, and random comings and goings against the rules.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FairPlaces } from './fair-places.ts'

const holder = (name: string) => ({ name })

describe('FairPlaces', () => {
  it('gives the place of the idlest at the greediest address to who comes when all are taken', () => {
    const places = new FairPlaces<{ name: string }>({ placesMax: 3, placesPerAddressMax: 3 })
    const [first, second, third] = ['a', 'b', 'c'].map(holder) as [object & { name: string }, never, never]
    for (const one of [first, second, third]) places.take('10.0.0.1', one)
    expect(places.take('10.0.0.2', holder('d'))).toEqual({ kind: 'taken', displaced: first })
    expect(places.size).toBe(3)
    expect(places.heldBy('10.0.0.1')).toBe(2)
  })

  it('leaves who does something alone, until it rests again', () => {
    const places = new FairPlaces<{ name: string }>({ placesMax: 1, placesPerAddressMax: 1 })
    const busy = holder('busy')
    places.take('10.0.0.1', busy)
    places.use(busy)
    expect(places.take('10.0.0.2', holder('late'))).toEqual({ kind: 'refused', why: 'all' })
    expect(places.take('10.0.0.1', holder('more'))).toEqual({ kind: 'refused', why: 'address' })
    places.rest(busy)
    expect(places.take('10.0.0.2', holder('late'))).toEqual({ kind: 'taken', displaced: busy })
  })

  it('counts an IPv6 network as one address, and a mapped address as what it is', () => {
    const places = new FairPlaces<{ name: string }>({ placesMax: 9, placesPerAddressMax: 9 })
    places.take('2001:db8:0:1::1', holder('a'))
    places.take('2001:db8:0:1:ffff::2', holder('b'))
    places.take('2001:db8:0:2::1', holder('c'))
    places.take('::ffff:10.0.0.1', holder('d'))
    expect(places.heldBy('2001:db8:0:1::9')).toBe(2)
    expect(places.heldBy('10.0.0.1')).toBe(1)
  })

  it('keeps to its bounds whatever comes and goes, and displaces the idle only', () => {
    const step = fc.record({
      what: fc.constantFrom('take', 'take', 'use', 'rest', 'free'),
      who: fc.nat(11),
      from: fc.nat(3),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 6 }), (steps, perAddress) => {
        const places = new FairPlaces<{ name: string }>({ placesMax: 7, placesPerAddressMax: perAddress })
        const holders = Array.from({ length: 12 }, (_, n) => holder(String(n)))
        const held = new Map<object, { from: number; isIdle: boolean }>()
        for (const { what, who, from } of steps) {
          const one = holders[who]!
          const known = held.get(one)
          if (what === 'take' && known === undefined) {
            const answer = places.take(`10.0.0.${from}`, one)
            const all = [...held.values()]
            const fromHere = all.filter((place) => place.from === from)
            if (answer.kind === 'refused') {
              const rivals = answer.why === 'address' ? fromHere : all
              expect(rivals.length).toBe(answer.why === 'address' ? perAddress : 7)
              expect(rivals.every(({ isIdle }) => !isIdle)).toBe(true)
              continue
            }
            if (answer.displaced !== undefined) {
              expect(held.get(answer.displaced)?.isIdle).toBe(true)
              held.delete(answer.displaced)
            }
            held.set(one, { from, isIdle: true })
          } else if (what === 'use' || what === 'rest') {
            places[what](one)
            if (known !== undefined) known.isIdle = what === 'rest'
          } else if (what === 'free') {
            places.free(one)
            held.delete(one)
          }
          expect(places.size).toBe(held.size)
          expect(places.size).toBeLessThanOrEqual(7)
          for (const n of [0, 1, 2, 3]) {
            const here = [...held.values()].filter((place) => place.from === n).length
            expect(places.heldBy(`10.0.0.${n}`)).toBe(here)
            expect(here).toBeLessThanOrEqual(perAddress)
          }
        }
      }),
    )
  })
})

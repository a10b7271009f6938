/**
 * Goal: every piece is fetched by one connection, whatever is waited for and whatever breaks; what is waited for comes first.
 * Method: the plan alone; connections are turns that a random story gives, and every piece says who brought it.
 */
import { Bitfield } from '@shoal/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FetchPlan, type Stretch } from './fetch-plan.ts'

const MIB = 1024 ** 2

function begin(pieces: number, here: readonly number[] = []) {
  const have = new Bitfield(pieces)
  for (const index of here) have.set(index)
  return { have, plan: new FetchPlan({ have, pieceLength: MIB }) }
}

describe('a plan', () => {
  it('goes in order, and leaves out what is here', () => {
    const { plan, have } = begin(10, [3, 4])
    const first = plan.takeNext()!
    expect(first).toMatchObject({ next: 0, end: 3 })
    for (const index of [0, 1, 2]) {
      have.set(index)
      expect(plan.advance(first)).toBe(index < 2)
    }
    plan.release(first)
    expect(plan.takeNext()).toMatchObject({ next: 5, end: 10 })
    expect(plan.takeNext()).toBeUndefined()
  })

  it('fetches what is waited for beside it, eight MiB from there on, and the one in order ends before it', () => {
    const { plan } = begin(100)
    const inOrder = plan.takeNext()!
    plan.want(50)
    expect(plan.takeWanted(8 * MIB)).toMatchObject({ next: 50, end: 58 })
    expect(inOrder).toMatchObject({ next: 0, end: 50 })
    plan.release(inOrder)
    expect(plan.takeNext()).toMatchObject({ next: 0, end: 50 })
    expect(plan.takeNext()).toMatchObject({ next: 58, end: 100 })
  })

  it('goes on from there for eight MiB in stretches as short as they must be, others between them', () => {
    const { plan, have } = begin(100)
    plan.takeNext()
    plan.want(50)
    plan.want(80)
    const taken: number[] = []
    for (let next = plan.takeWanted(2 * MIB); next !== undefined; next = plan.takeWanted(2 * MIB)) {
      taken.push(next.first)
      for (let isGoingOn = true; isGoingOn; ) {
        have.set(next.next)
        isGoingOn = plan.advance(next)
      }
      plan.release(next)
    }
    expect(taken).toEqual([50, 80, 52, 82, 54, 84, 56, 86])
  })

  it('leaves to the one in order what another could not bring, so that its connection need not end', () => {
    const { plan, have } = begin(100)
    const inOrder = plan.takeNext()!
    plan.want(50)
    const refused = plan.takeWanted(8 * MIB)!
    plan.want(70)
    const other = plan.takeWanted(8 * MIB)!
    expect(inOrder.end).toBe(50)
    plan.release(refused)
    expect(inOrder.end).toBe(70)
    have.set(70)
    plan.advance(other)
    plan.release(other)
    expect(inOrder.end).toBe(70)
  })

  it('opens nothing for what comes at once anyway, unless that breaks', () => {
    const { plan, have } = begin(100)
    const inOrder = plan.takeNext()!
    plan.want(0)
    plan.want(1)
    expect(plan.takeWanted(8 * MIB)).toBeUndefined()
    have.set(0)
    plan.advance(inOrder)
    plan.release(inOrder)
    expect(plan.takeWanted(8 * MIB)).toMatchObject({ next: 1, end: 9 })
    expect(plan.takeWanted(8 * MIB)).toBeUndefined()
  })

  it('remembers 64 pieces that are waited for, the last ones', () => {
    const { plan } = begin(10_000)
    for (let n = 0; n < 100; n++) plan.want(100 * n)
    const taken: number[] = []
    for (let next = plan.takeWanted(8 * MIB); next !== undefined; next = plan.takeWanted(8 * MIB)) {
      taken.push(next.first)
      plan.want(next.first)
      if (taken.length > 200) break
    }
    expect(taken).toHaveLength(64)
    expect(Math.min(...taken)).toBe(3_600)
  })

  it('brings every piece once, whatever happens', () => {
    const happening = fc.oneof(
      fc.record({ kind: fc.constantFrom('next' as const, 'wanted' as const) }),
      fc.record({ kind: fc.constant('want' as const), at: fc.nat() }),
      fc.record({ kind: fc.constantFrom('piece' as const, 'break' as const), at: fc.nat() }),
    )
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.array(happening, { maxLength: 400 }),
        (pieces, story) => {
          const { plan, have } = begin(pieces)
          const open: Stretch[] = []
          const take = (stretch: Stretch | undefined) => {
            if (stretch !== undefined) open.push(stretch)
          }
          const bring = (stretch: Stretch) => {
            // A piece that somebody else brought would be here.
            expect(have.set(stretch.next)).toBe(true)
            if (plan.advance(stretch)) return
            plan.release(stretch)
            open.splice(open.indexOf(stretch), 1)
          }
          for (const event of story) {
            if (event.kind === 'next' && open.length < 3) take(plan.takeNext())
            else if (event.kind === 'wanted' && open.length < 3) take(plan.takeWanted(8 * MIB))
            else if (event.kind === 'want') plan.want(event.at % pieces)
            else if ('at' in event && open.length > 0) {
              const stretch = open[event.at % open.length]!
              if (event.kind === 'piece') bring(stretch)
              else {
                plan.release(stretch)
                open.splice(open.indexOf(stretch), 1)
              }
            }
          }
          while (!have.isFull) {
            take(plan.takeNext())
            expect(open.length).toBeGreaterThan(0)
            bring(open[0]!)
          }
          expect(plan.takeNext()).toBeUndefined()
          expect(plan.takeWanted(8 * MIB)).toBeUndefined()
        },
      ),
    )
  })
})

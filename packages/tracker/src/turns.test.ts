/**
 * Goal: frames are worked off in the order in which each stream sent them, so much in one turn of the event loop, and no stream
 * waits for another that has sent more. Method: works that write down who they were of; turns that are waited for.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { Turns } from './turns.ts'

interface Stream {
  readonly name: string
}

function played() {
  const done: string[] = []
  const paused = new Set<string>()
  const turns = new Turns<Stream>({
    onWaits: ({ name }, frames) => {
      if (frames > 1) paused.add(name)
    },
    onGoesOn: ({ name }) => paused.delete(name),
  })
  const take = (stream: Stream, frame: number, cost: number) =>
    turns.take(stream, () => {
      done.push(`${stream.name}${frame}`)
      return cost
    })
  return { done, paused, turns, take }
}

const [a, b] = [{ name: 'a' }, { name: 'b' }]

describe('turns', () => {
  it('work off little at once', () => {
    const { done, paused, take } = played()
    for (let frame = 0; frame < 5; frame++) take(a, frame, 10)
    expect(done).toEqual(['a0', 'a1', 'a2', 'a3', 'a4'])
    expect(paused).toEqual(new Set())
  })

  it('let what is too much wait, read nothing of who waits, and go from stream to stream', async () => {
    const { done, paused, take } = played()
    for (let frame = 0; frame < 3; frame++) take(a, frame, 1_024)
    take(b, 0, 1_024)
    expect(done).toEqual(['a0'])
    // Who has one frame waiting is read from as before.
    expect(paused).toEqual(new Set(['a']))
    await nextTurn()
    expect(done).toEqual(['a0', 'a1'])
    await nextTurn()
    expect(done).toEqual(['a0', 'a1', 'b0'])
    expect(paused).toEqual(new Set(['a']))
    await nextTurn()
    expect(done).toEqual(['a0', 'a1', 'b0', 'a2'])
    expect(paused).toEqual(new Set())
  })

  it('hold few frames of a stream, in their order', async () => {
    const { done, take } = played()
    take(b, 0, 2_000)
    for (let frame = 0; frame < 1_000; frame++) take(a, frame, 1)
    expect(done.length).toBeGreaterThan(900)
    while (done.length < 1_001) await nextTurn()
    expect(done).toEqual(['b0', ...Array.from({ length: 1_000 }, (_, frame) => `a${frame}`)])
  })

  it('forget who is gone, and go on after a work that throws', async () => {
    const { done, turns, take } = played()
    take(a, 0, 2_000)
    take(a, 1, 1)
    take(b, 0, 1)
    turns.forget(a)
    await nextTurn()
    expect(done).toEqual(['a0', 'b0'])
    expect(() =>
      turns.take(a, () => {
        throw new Error('a bug')
      }),
    ).toThrow('a bug')
    take(b, 1, 1)
    expect(done).toEqual(['a0', 'b0', 'b1'])
  })
})

/** Goal: everything happens in the order of (time, sequence). Method: random events on the heap and on lines. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { TimeQueue } from './time-queue.ts'

it('runs events by time, and those of one time in the order in which they were made', () => {
  const delays = fc.array(fc.record({ ms: fc.integer({ min: 0, max: 20 }), isLine: fc.boolean() }), {
    maxLength: 400,
  })
  fc.assert(
    fc.property(delays, delays, (first, second) => {
      const queue = new TimeQueue()
      const happened: { atMs: number; made: number; nowMs: number }[] = []
      let made = 0
      const make = ({ ms, isLine }: { ms: number; isLine: boolean }) => {
        const event = { atMs: queue.nowMs + (isLine ? ms % 4 : ms), made: made++, nowMs: 0 }
        const task = { run: () => void happened.push({ ...event, nowMs: queue.nowMs }) }
        if (isLine) queue.after(ms % 4, task)
        else queue.at(event.atMs, task)
      }
      first.forEach(make)
      for (let i = 0; i < first.length / 2; i++) queue.runOne(Number.POSITIVE_INFINITY)
      second.forEach(make)
      while (queue.runOne(1e9));
      expect(happened).toHaveLength(first.length + second.length)
      for (const { atMs, nowMs } of happened) expect(nowMs).toBe(atMs)
      for (let i = 1; i < happened.length; i++) {
        const [before, after] = [happened[i - 1]!, happened[i]!]
        expect(before.atMs < after.atMs || (before.atMs === after.atMs && before.made < after.made)).toBe(
          true,
        )
      }
    }),
  )
})

it('stops where it is told to', () => {
  const queue = new TimeQueue()
  queue.at(5, { run: () => {} })
  expect(queue.runOne(4)).toBe(false)
  expect(queue.runOne(5)).toBe(true)
  expect(queue.runOne(Number.POSITIVE_INFINITY)).toBe(false)
})

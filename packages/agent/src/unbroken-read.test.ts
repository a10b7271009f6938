/** Goal: a body that breaks is whole in the end, or cut. Method: a source that breaks where the test says. */
import { expect, test } from 'vitest'
import { unbrokenRead } from './unbroken-read.ts'

const bytes = Uint8Array.from({ length: 100 }, (_, n) => n)
class Broken extends Error {}

/** Gives ten bytes at a time, and breaks at each of these offsets once. */
function breakingAt(...offsets: number[]) {
  const left = [...offsets]
  return async function* read({ start, end }: { start: number; end: number }) {
    for (let at = start; at < end; at += 10) {
      if (left[0] === at) {
        left.shift()
        throw new Broken()
      }
      yield bytes.subarray(at, Math.min(end, at + 10))
    }
  }
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<number[]> {
  const all: number[] = []
  for await (const chunk of chunks) all.push(...chunk)
  return all
}

const range = { start: 20, end: 95 }
const mayGoOn = (error: unknown) => error instanceof Broken

test('goes on where it broke, as often as there is progress', async () => {
  const read = breakingAt(20, 30, 40, 40, 50, 90)
  expect(await collect(unbrokenRead(range, read, mayGoOn))).toEqual([...bytes.subarray(20, 95)])
})

test('is cut where it breaks at one place again and again, or for another reason', async () => {
  await expect(collect(unbrokenRead(range, breakingAt(40, 40, 40), mayGoOn))).rejects.toThrow(Broken)
  await expect(collect(unbrokenRead(range, breakingAt(40), () => false))).rejects.toThrow(Broken)
})

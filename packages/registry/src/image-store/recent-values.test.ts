/** Goal: bounded, fresh, and one read for many who ask. Method: time and reads in the test's hands. */
import { describe, expect, test } from 'vitest'
import { RecentValues } from './recent-values.ts'

let nowMs = 0
const create = (weightMax = 10) =>
  new RecentValues<string>({ weightMax, weigh: (value) => value.length, ageMsMax: 100, nowMs: () => nowMs })
const never = () => Promise.reject(new Error('should not be read'))

describe('a value', () => {
  test('is read once by many, and remembered for a while', async () => {
    const values = create()
    let reads = 0
    const read = async () => `v${++reads}`
    expect(await Promise.all([values.get('k', read), values.get('k', read)])).toEqual(['v1', 'v1'])
    nowMs += 100
    expect(await values.get('k', never)).toBe('v1')
    nowMs += 1
    expect(await values.get('k', read)).toBe('v2')
  })

  test('that is not there, or fails, is asked for again', async () => {
    const values = create()
    expect(await values.get('k', async () => undefined)).toBeUndefined()
    await expect(values.get('k', () => Promise.reject(new Error('down')))).rejects.toThrow('down')
    expect(await values.get('k', async () => 'there')).toBe('there')
  })

  test('that changes while it is read is not remembered as it was', async () => {
    const values = create()
    let finish: (value: string) => void = () => {}
    const reading = values.get('k', () => new Promise<string>((resolve) => (finish = resolve)))
    await new Promise(setImmediate)
    values.delete('k')
    finish('old')
    expect(await reading).toBe('old')
    expect(await values.get('k', async () => 'new')).toBe('new')
  })
})

test('the least recently used go when there is no room, and what is too heavy is never kept', async () => {
  const values = create()
  values.set('a', 'xxxxx')
  values.set('b', 'yyyyy')
  await values.get('a', never)
  values.set('c', 'zzzzz')
  expect(await values.get('a', never)).toBe('xxxxx')
  expect(await values.get('c', never)).toBe('zzzzz')
  await expect(values.get('b', never)).rejects.toThrow()
  values.set('d', 'more than ten')
  await expect(values.get('d', never)).rejects.toThrow()
  expect(await values.get('a', never)).toBe('xxxxx')
})

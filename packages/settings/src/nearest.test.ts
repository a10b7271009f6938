/** Goal: a slip of the finger is recognised, and nobody is offered a word that he cannot have meant. */
import { assert, constantFrom, nat, property, string } from 'fast-check'
import { expect, test } from 'vitest'
import { nearest } from './nearest.ts'

const KEYS = ['listen', 'peerListen', 'cache', 'cacheMaxBytes', 'zone', 'tagTtlMs'] as const

test.each([
  ['listne', 'listen'],
  ['peer-listen', 'peerListen'],
  ['PEERLISTEN', 'peerListen'],
  ['cacheMaxByte', 'cacheMaxBytes'],
  ['zoen', 'zone'],
  ['zenon', undefined],
  ['zon', 'zone'],
  ['tagTTL', 'tagTtlMs'],
  ['colour', undefined],
  ['', undefined],
  ['x', undefined],
])('%j: %s', (given, meant) => {
  expect(nearest(given, KEYS)).toBe(meant)
})

test('of two that are equally near, the first of the alphabet: the message does not depend on order', () => {
  expect(nearest('car', ['cat', 'cab', 'bar'])).toBe('bar')
  expect(nearest('car', ['bar', 'cab', 'cat'])).toBe('bar')
  expect(nearest('a', [])).toBeUndefined()
})

test('a name is nearest to itself, and is found when one letter is lost or two are swapped', () => {
  assert(
    property(constantFrom(...KEYS), nat(20), (key, at) => {
      const index = at % key.length
      const slipped = key.slice(0, index) + key.slice(index + 1)
      const next = key[index + 1] ?? ''
      const swapped = key.slice(0, index) + next + key.charAt(index) + key.slice(index + 2)
      return [key, slipped, swapped].every((text) => nearest(text, KEYS) === key)
    }),
  )
  assert(
    property(string(), (text) => {
      const found = nearest(text, KEYS)
      return found === undefined || (KEYS as readonly string[]).includes(found)
    }),
  )
})

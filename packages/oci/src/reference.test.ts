/**
 * Goal: exactly the OCI grammar of names and tags, and references that survive parsing and formatting.
 * Method: texts generated from the grammar, texts one step outside it, and the names that attackers send.
 */
import { parseDigest } from '@shoal/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  formatImageReference,
  isRepositoryName,
  isTag,
  looksLikeHost,
  parseImageReference,
  ReferenceInvalidError,
} from './reference.ts'

const DIGEST = parseDigest(`sha256:${'ab'.repeat(32)}`)

const alphanumeric = fc.stringMatching(/^[a-z0-9]{1,6}$/)
const separator = fc.constantFrom('.', '_', '__', '-', '--', '---')
const component = fc
  .tuple(alphanumeric, fc.array(fc.tuple(separator, alphanumeric), { maxLength: 3 }))
  .map(([head, tail]) => head + tail.flat().join(''))
const name = fc.array(component, { minLength: 1, maxLength: 4 }).map((components) => components.join('/'))
const tag = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}$/)
const host = fc.constantFrom(
  'localhost',
  'localhost:5000',
  'registry.example',
  '127.0.0.1:7000',
  '[::1]:5000',
  'Host',
)

describe('repository names', () => {
  test('every name of the grammar is taken, also in front of an endpoint’s words', () => {
    fc.assert(fc.property(name, (text) => isRepositoryName(text) === text.length <= 255))
    for (const text of ['a', 'library/ubuntu', 'a/manifests/blobs', 'a__b', 'a--b', 'x/y/z/0']) {
      expect(isRepositoryName(text)).toBe(true)
    }
  })

  test('a name of 255 characters is taken, one of 256 is not', () => {
    expect(isRepositoryName('a'.repeat(255))).toBe(true)
    expect(isRepositoryName('a'.repeat(256))).toBe(false)
  })

  test.each([
    '',
    '/',
    'a/',
    '/a',
    'a//b',
    '.',
    '..',
    '../x',
    'a/../b',
    'A',
    'a___b',
    'a..b',
    'a._b',
    '_uploads',
    'a/_manifests',
    '-a',
    'a-',
    'a\0b',
    'a%2fb',
    'a b',
    'a\n',
    'ä',
  ])('%j is no name', (text) => {
    expect(isRepositoryName(text)).toBe(false)
  })

  test('a hostile name costs no more time than its length', () => {
    const startedAt = performance.now()
    isRepositoryName(`${'a-'.repeat(120)}!`)
    isRepositoryName(`${'-'.repeat(250)}`)
    isRepositoryName('a'.repeat(10_000_000))
    expect(performance.now() - startedAt).toBeLessThan(500)
  })
})

describe('tags', () => {
  test('the grammar, up to 128 characters', () => {
    fc.assert(fc.property(tag, isTag))
    expect(isTag('a'.repeat(128))).toBe(true)
    for (const text of ['', '.a', '-a', 'a/b', 'a:b', 'a'.repeat(129), 'a\n', '..'])
      expect(isTag(text)).toBe(false)
  })
})

describe('references', () => {
  test('what was parsed is formatted as it was', () => {
    const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
    fc.assert(
      fc.property(
        optional(host),
        name,
        optional(tag),
        optional(fc.constant(DIGEST)),
        (host, name, tag, digest) => {
          // Without a host in front, a first component with a dot would be read as one.
          fc.pre(host !== undefined || !looksLikeHost(name.split('/')[0]!) || !name.includes('/'))
          const text = `${host ? `${host}/` : ''}${name}${tag ? `:${tag}` : ''}${digest ? `@${digest}` : ''}`
          const parsed = parseImageReference(text)
          expect(parsed.repository).toBe(name)
          expect(parsed.host).toBe(host)
          expect(parsed.tag).toBe(tag)
          expect(formatImageReference(parsed)).toBe(text)
        },
      ),
    )
  })

  test('a host is told from a name by its dot, port or capital, or by being localhost', () => {
    expect(parseImageReference('localhost/app')).toEqual({ host: 'localhost', repository: 'app' })
    expect(parseImageReference('library/app:1')).toEqual({ repository: 'library/app', tag: '1' })
    expect(parseImageReference('app:5000')).toEqual({ repository: 'app', tag: '5000' })
    expect(parseImageReference('h:5000/app')).toEqual({ host: 'h:5000', repository: 'app' })
  })

  test.each([
    '',
    ':',
    '@',
    'a:',
    'a@',
    'a@sha256:1',
    'h:0/a',
    'h:99999/a',
    'http://h/a',
    'a:b:c',
    'h.example/',
    '..:1/a',
  ])('%j is refused', (text) => {
    expect(() => parseImageReference(text)).toThrow(ReferenceInvalidError)
  })

  test('any text is either parsed or refused with the one error', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), (text) => {
        try {
          expect(formatImageReference(parseImageReference(text))).toBe(text)
        } catch (error) {
          expect(error).toBeInstanceOf(ReferenceInvalidError)
        }
      }),
    )
  })
})

/** Goal: every header that RFC 9110 allows is read, and no header can do harm. Method: properties, and headers seen in the wild. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Challenge, parseChallenges } from './challenge.ts'

const plain = (challenges: readonly Challenge[]) =>
  challenges.map(({ scheme, parameters, token68 }) => ({
    scheme,
    parameters: Object.fromEntries(parameters),
    ...(token68 === undefined ? {} : { token68 }),
  }))

test.each([
  [
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull"',
    [
      {
        scheme: 'bearer',
        parameters: {
          realm: 'https://auth.docker.io/token',
          service: 'registry.docker.io',
          scope: 'repository:library/nginx:pull',
        },
      },
    ],
  ],
  // The example of RFC 9110, 11.6.1.
  [
    'Basic realm="simple", Newauth realm="apps", type=1, title="Login to \\"apps\\""',
    [
      { scheme: 'basic', parameters: { realm: 'simple' } },
      { scheme: 'newauth', parameters: { realm: 'apps', type: '1', title: 'Login to "apps"' } },
    ],
  ],
  [
    'Negotiate, NTLM dGVzdA==,  ,Basic Realm = x , charset="UTF-8"',
    [
      { scheme: 'negotiate', parameters: {} },
      { scheme: 'ntlm', parameters: {}, token68: 'dGVzdA==' },
      { scheme: 'basic', parameters: { realm: 'x', charset: 'UTF-8' } },
    ],
  ],
  [
    'BEARER realm="a, Basic realm=b",realm=second',
    [{ scheme: 'bearer', parameters: { realm: 'a, Basic realm=b' } }],
  ],
  ['Basic realm="open', [{ scheme: 'basic', parameters: {} }]],
  ['="x"', []],
  ['', []],
])('%s', (header, expected) => {
  expect(plain(parseChallenges([header]))).toEqual(expected)
})

test('several headers are one list, and an endless one is none', () => {
  expect(parseChallenges(['Basic realm=a', 'Bearer realm=b']).map(({ scheme }) => scheme)).toEqual([
    'basic',
    'bearer',
  ])
  expect(parseChallenges([`Basic realm="${'x'.repeat(20_000)}"`])).toEqual([])
})

describe('as properties', () => {
  const TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
  const token = fc.string({ unit: fc.constantFrom(...TOKEN), minLength: 1, maxLength: 12 })
  const lower = token.map((text) => text.toLowerCase())
  const value = fc.string({ unit: fc.constantFrom(...' \t!"#,=\\/:;aZ09é'), maxLength: 20 })
  const space = fc.constantFrom('', ' ', '\t', '  ')
  const parameter = fc.record({ name: lower, value, quoted: fc.boolean(), before: space, after: space })
  const challenge = fc.record({
    scheme: lower,
    parameters: fc.uniqueArray(parameter, { selector: ({ name }) => name, minLength: 1, maxLength: 4 }),
    separator: fc.constantFrom(',', ', ', ' , ', ',,', ',\t, '),
  })

  const build = (challenges: readonly (typeof challenge extends fc.Arbitrary<infer T> ? T : never)[]) =>
    challenges
      .map(({ scheme, parameters, separator }) => {
        const written = parameters.map(({ name, value: text, quoted, before, after }) => {
          const isToken = text !== '' && [...text].every((character) => TOKEN.includes(character))
          const form = isToken && !quoted ? text : `"${text.replace(/["\\]/g, '\\$&')}"`
          return `${name}${before}=${after}${form}`
        })
        return `${scheme} ${written.join(separator)}`
      })
      .join(', ')

  test('what was built is read', () => {
    fc.assert(
      fc.property(fc.array(challenge, { minLength: 1, maxLength: 4 }), (challenges) => {
        const expected = challenges.map(({ scheme, parameters }) => ({
          scheme,
          parameters: Object.fromEntries(parameters.map(({ name, value: text }) => [name, text])),
        }))
        expect(plain(parseChallenges([build(challenges)]))).toEqual(expected)
      }),
    )
  })

  test('anything at all is read without an error and in no time', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'aB =,"\\\t/é'), maxLength: 300 }), (text) => {
        expect(Array.isArray(parseChallenges([text]))).toBe(true)
      }),
    )
    for (const piece of ['a=', 'a ', '\\"', ',', 'a,', '" ', '\t', 'a="",']) {
      const startedAt = performance.now()
      parseChallenges([`Bearer realm="${piece.repeat(16_000 / piece.length)}`])
      parseChallenges([piece.repeat(16_000 / piece.length)])
      expect(performance.now() - startedAt).toBeLessThan(500)
    }
  })
})

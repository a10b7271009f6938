/**
 * Goal: nobody without the secret triggers anything, everybody with it does in the way that his registry can, and no error
 * says anything of it.
 * Method: every format with the right, a wrong, an old and no secret; signatures over bytes that differ by one.
 */
import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { assertAuthentic, type PresentedRequest } from './authenticity.ts'
import { TriggerForbiddenError, TriggerSecretUnsetError } from './errors.ts'
import { TRIGGER_FORMATS, type TriggerFormat } from './push-event.ts'

const SECRET = 'correct horse battery staple'
const OLD = 'the one before'
const BODY = Buffer.from('{"action":"published", "é": 1}')

const hmac = (secret: string, body: Uint8Array = BODY) =>
  createHmac('sha256', secret).update(body).digest('hex')
const basic = (user: string, password: string) =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
const header = (name: string, value: string): PresentedRequest => ({
  headers: { [name]: value },
  rawBody: BODY,
})
const query = (querySecret: string): PresentedRequest => ({ headers: {}, querySecret, rawBody: BODY })

type Show = (secret: string) => PresentedRequest

const authorization: readonly Show[] = [
  (secret) => header('authorization', secret),
  (secret) => header('authorization', `Bearer ${secret.replaceAll(' ', '-')}`),
  (secret) => header('authorization', `bearer   ${secret.replaceAll(' ', '-')}`),
  (secret) => header('authorization', basic('shoal', secret)),
  (secret) => header('authorization', basic('', secret)),
]
const WAYS: Record<TriggerFormat, readonly Show[]> = {
  distribution: authorization,
  harbor: authorization,
  quay: [query],
  ecr: [(secret) => header('x-api-key', secret), ...authorization],
  artifactory: [
    (secret) => header('x-jfrog-event-auth', secret),
    (secret) => header('x-jfrog-event-auth', hmac(secret)),
    (secret) => header('x-jfrog-event-auth', hmac(secret).toUpperCase()),
    ...authorization,
  ],
  dockerhub: [query],
  ghcr: [(secret) => header('x-hub-signature-256', `sha256=${hmac(secret)}`)],
  cloudevents: [...authorization, (secret) => header('x-api-key', secret)],
}
const cases = TRIGGER_FORMATS.flatMap((format) =>
  WAYS[format].map((show, way) => [format, way, show] as const),
)
// A bearer token has no spaces, so each secret is accepted in the form that a header can hold as well.
const accepted = (...secrets: string[]) => secrets.flatMap((secret) => [secret, secret.replaceAll(' ', '-')])

describe.each(cases)('%s, way %i', (format, _way, show) => {
  it('lets the right secret in, also the old one while both count', () => {
    assertAuthentic(format, show(SECRET), accepted(SECRET))
    assertAuthentic(format, show(OLD), accepted(SECRET, OLD))
    assertAuthentic(format, show(SECRET), accepted(OLD, SECRET))
  })

  it('refuses a wrong one, the old one once it is gone, a part of it, and none', () => {
    for (const wrong of ['x', OLD, SECRET.slice(0, -1), `${SECRET}!`, SECRET.toUpperCase(), '']) {
      expect(() => assertAuthentic(format, show(wrong), accepted(SECRET))).toThrow(TriggerForbiddenError)
    }
    expect(() => assertAuthentic(format, { headers: {}, rawBody: BODY }, [SECRET])).toThrow(
      TriggerForbiddenError,
    )
  })

  it('refuses everything while there is no secret', () => {
    for (const none of [[], [''], ['', '']]) {
      for (const shown of [SECRET, '', 'undefined']) {
        expect(() => assertAuthentic(format, show(shown), none)).toThrow(TriggerSecretUnsetError)
      }
    }
  })

  it('says where the secret is expected, and nothing of it', () => {
    try {
      assertAuthentic(format, show('wrong guess'), [SECRET, OLD])
    } catch (error) {
      const text = JSON.stringify([String(error), error, (error as Error).stack])
      for (const secret of [SECRET, OLD, 'wrong guess', hmac(SECRET)]) expect(text).not.toContain(secret)
      expect(text).toContain(format)
    }
  })
})

describe('proofs', () => {
  test('count only where the sender has no better one', () => {
    expect(() => assertAuthentic('ghcr', query(SECRET), [SECRET])).toThrow(TriggerForbiddenError)
    expect(() => assertAuthentic('ghcr', header('authorization', SECRET), [SECRET])).toThrow(
      TriggerForbiddenError,
    )
    expect(() => assertAuthentic('harbor', query(SECRET), [SECRET])).toThrow(TriggerForbiddenError)
    expect(() => assertAuthentic('quay', header('authorization', SECRET), [SECRET])).toThrow(
      TriggerForbiddenError,
    )
  })

  test('a signature holds for exactly the bytes that were sent', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (rawBody, at, flip) => {
          const headers = { 'x-hub-signature-256': `sha256=${hmac(SECRET, rawBody)}` }
          assertAuthentic('ghcr', { headers, rawBody }, [SECRET])
          const other = rawBody.slice()
          other[at % other.length]! ^= flip
          expect(() => assertAuthentic('ghcr', { headers, rawBody: other }, [SECRET])).toThrow(
            TriggerForbiddenError,
          )
        },
      ),
    )
  })

  test.each([`sha1=${hmac(SECRET)}`, hmac(SECRET), `sha256=${hmac(SECRET)} `, 'sha256=', 'sha256=zz', '='])(
    'a signature in another form is none: %s',
    (signature) => {
      expect(() => assertAuthentic('ghcr', header('x-hub-signature-256', signature), [SECRET])).toThrow(
        TriggerForbiddenError,
      )
    },
  )

  test('what no secret could be is refused without fuss', () => {
    const odd = ['Bearer', 'Bearer ', 'Basic ', 'Basic %%%', basic('nopassword', ''), 'x'.repeat(1_000_000)]
    for (const value of [...odd, `Bearer ${'x'.repeat(1_000_000)}`]) {
      expect(() => assertAuthentic('harbor', header('authorization', value), [SECRET])).toThrow(
        TriggerForbiddenError,
      )
    }
    const twice = { headers: { authorization: ['x', SECRET] }, rawBody: BODY }
    expect(() => assertAuthentic('harbor', twice, [SECRET])).toThrow(TriggerForbiddenError)
  })

  test('a secret that is itself a whole header is taken as it was typed', () => {
    assertAuthentic('harbor', header('authorization', 'Token abc'), ['Token abc'])
    assertAuthentic('harbor', header('authorization', 'Bearer abc'), ['Bearer abc'])
  })
})

/**
 * Goal: what is written for a schema is read; whatever else arrives is one of our errors, soon, and nothing is built of it.
 * Method: random schemas with random values that they allow; random bytes; frames that claim, or unpack to, far more than
 * they bring.
 */
import { toHex } from '@shoal/core'
import fc from 'fast-check'
import Type, { type TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { describe, expect, it } from 'vitest'
import { FrameInvalidError, FrameTooLargeError, WireError } from './errors.ts'
import { shapeOf } from './frame-shape.ts'
import { decodeMessage, encodeMessage } from './msgpack.ts'
import { Bytes } from './schema.ts'

interface Case {
  readonly schema: TSchema
  readonly value: unknown
}
const cases: fc.Arbitrary<Case> = fc.letrec<{ case: Case }>((tie) => ({
  case: fc.oneof(
    { depthSize: 'small' },
    fc.integer().map((value) => ({ schema: Type.Integer(), value })),
    fc.boolean().map((value) => ({ schema: Type.Boolean(), value })),
    fc.string({ maxLength: 300, unit: 'grapheme' }).map((value) => ({
      schema: Type.String({ maxLength: [...value].length }),
      value,
    })),
    fc.uint8Array({ maxLength: 300 }).map((value) => ({ schema: Bytes(value.length), value })),
    fc.constantFrom('a', 'ä', '€').map((value) => ({ schema: Type.Enum(['a', 'ä', '€']), value })),
    fc.tuple(tie('case'), fc.nat({ max: 20 })).map(([{ schema, value }, count]) => ({
      schema: Type.Array(schema, { maxItems: count }),
      value: new Array(count).fill(value),
    })),
    fc
      .dictionary(fc.stringMatching(/^[a-z]{1,9}$/), fc.tuple(tie('case'), fc.boolean(), fc.boolean()), {
        maxKeys: 9,
        noNullPrototype: true,
      })
      .map((fields) => ({
        schema: Type.Object(
          Object.fromEntries(
            Object.entries(fields).map(([name, [{ schema }, isOptional]]) => [
              name,
              isOptional ? Type.Optional(schema) : schema,
            ]),
          ),
        ),
        value: Object.fromEntries(
          Object.entries(fields).flatMap(([name, [{ value }, isOptional, isThere]]) =>
            isOptional && !isThere ? [] : [[name, value]],
          ),
        ),
      })),
    fc.tuple(tie('case'), tie('case'), fc.boolean()).map(([one, other, isOther]) => ({
      schema: Type.Union([one.schema, other.schema]),
      value: isOther ? other.value : one.value,
    })),
  ),
})).case

const Thing = Type.Object({
  name: Type.String({ maxLength: 9 }),
  things: Type.Optional(
    Type.Array(Type.Object({ id: Type.Integer(), bytes: Bytes(4) }), { maxItems: 1_000 }),
  ),
})
const shape = shapeOf(Thing)
const read = (bytes: Uint8Array) => decodeMessage(bytes, 1e7, shape)

describe('MessagePack', () => {
  it('reads what is written of a value that the schema allows', () => {
    fc.assert(
      fc.property(cases, ({ schema, value }) => {
        const bytes = encodeMessage(value)
        const decoded = decodeMessage(bytes, bytes.length, shapeOf(schema))
        expect(toHex(encodeMessage(decoded))).toBe(toHex(bytes))
        expect(Compile(schema).Check(decoded)).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  it('refuses what was cut anywhere', () => {
    fc.assert(
      fc.property(cases, fc.nat(), ({ schema, value }, at) => {
        const bytes = encodeMessage(value)
        const cut = bytes.subarray(0, at % bytes.length)
        expect(() => decodeMessage(cut, 1e6, shapeOf(schema))).toThrow(FrameInvalidError)
      }),
    )
  })

  it('throws nothing but its own errors on random bytes, and what it lets through the decoder ends where it did', () => {
    fc.assert(
      fc.property(cases, fc.uint8Array({ maxLength: 100 }), ({ schema }, bytes) => {
        try {
          decodeMessage(bytes, 1e6, shapeOf(schema))
        } catch (error) {
          expect(error).toBeInstanceOf(WireError)
          // The decoder itself found nothing wrong with what had been walked.
          expect((error as Error).cause).toBeUndefined()
        }
      }),
      { numRuns: 5_000 },
    )
  })

  it.each([
    ['an array of four thousand million', [0xdd, 0xff, 0xff, 0xff, 0xff]],
    ['a map of thirty million', [0xdf, 0x01, 0xff, 0xff, 0xff]],
    ['a string of four gigabytes', [0xdb, 0xff, 0xff, 0xff, 0xff, 0x41]],
    ['an extension type', [0xc7, 0x01, 0x01, 0x00]],
    ['lists without end', new Array(100).fill(0x91)],
    ['two values', [0x81, 0xa4, 0x6e, 0x61, 0x6d, 0x65, 0xa0, 0x02]],
    ['a field twice', [0x82, 0xa4, 0x6e, 0x61, 0x6d, 0x65, 0xa0, 0xa4, 0x6e, 0x61, 0x6d, 0x65, 0xa0]],
    ['a key that is a list', [0x81, 0x90, 0x01]],
    ['nothing', []],
  ])('refuses %s', (_what, bytes) => {
    expect(() => read(Uint8Array.from(bytes))).toThrow(FrameInvalidError)
  })

  it.each<[string, object]>([
    ['empty maps, a byte each', { name: '', things: new Array(1_000).fill({}) }],
    ['empty lists, a byte each', { name: '', things: new Array(1_000).fill([]) }],
    ['elements without what must be in them', { name: '', things: new Array(9).fill({ id: 1 }) }],
    [
      'more elements than there may be',
      { name: '', things: new Array(1_001).fill({ id: 1, bytes: new Uint8Array(1) }) },
    ],
    ['bytes that are too long for their place', { name: '', things: [{ id: 1, bytes: new Uint8Array(5) }] }],
    ['a string that is too long for its place', { name: 'x'.repeat(37) }],
    ['lists where a string should be', { name: new Array(100).fill([]) }],
    ['unknown fields full of empty maps', { name: '', later: new Array(100).fill({}) }],
    ['unknown fields in unknown fields', { name: '', later: [[[[[[1]]]]]] }],
    [
      'unknown fields without end',
      { name: '', ...Object.fromEntries([...Array(20).keys()].map((n) => [`x${n}`, 1])) },
    ],
    ['a long unknown field', { name: '', later: 'x'.repeat(5_000) }],
    [
      'a little that is unknown, everywhere',
      {
        name: '',
        things: new Array(1_000).fill({ id: 1, bytes: new Uint8Array(1), later: new Array(10).fill({}) }),
      },
    ],
  ])('builds nothing of %s', (_what, value) => {
    expect(() => read(encodeMessage(value))).toThrow(FrameInvalidError)
  })

  it('leaves alone what a newer side says beside what is known', () => {
    const newer = {
      later: { why: ['x', 2, null] },
      name: 'n',
      things: [{ bytes: new Uint8Array(0), colour: 1.5, id: 7 }],
    }
    expect(read(encodeMessage(newer))).toMatchObject({ name: 'n', later: newer.later })
  })

  it('makes no more of any frame than some values for each of its bytes, and a bounded number that it does not know', () => {
    const byte = fc.constantFrom(0x80, 0x90, 0xa0, 0xc0, 0x81, 0x91, 0xdc, 0xde, 0xc4, 0xd9, 0x6e, 0xff, 0x00)
    const name = [...encodeMessage({ name: '' }).subarray(1)]
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 200 }), (tail) => {
        const bytes = Uint8Array.from([0x82, ...name, ...tail])
        try {
          expect(valuesIn(read(bytes))).toBeLessThanOrEqual(bytes.length)
        } catch (error) {
          expect(error).toBeInstanceOf(WireError)
        }
      }),
      { numRuns: 5_000 },
    )
  })

  it('looks at the length first', () => {
    expect(() => decodeMessage(new Uint8Array(11), 10, shape)).toThrow(FrameTooLargeError)
  })
})

describe('the shape of a schema', () => {
  it.each<[string, TSchema]>([
    ['a string of any length', Type.String()],
    ['a list of any length', Type.Array(Type.Integer())],
    ['anything', Type.Any()],
    [
      'such a thing far inside',
      Type.Object({ a: Type.Array(Type.Object({ b: Type.String() }), { maxItems: 1 }) }),
    ],
  ])('cannot be made of %s', (_what, schema) => {
    expect(() => shapeOf(schema)).toThrow()
  })
})

function valuesIn(value: unknown): number {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return 1
  return Object.values(value).reduce<number>((sum, inner) => sum + valuesIn(inner), 1)
}

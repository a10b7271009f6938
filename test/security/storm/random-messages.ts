/**
 * Messages that look as if somebody meant them: drawn from the schemas of the wire package, and changed in one place. Pure: a
 * seed gives the same messages.
 */
import type { Prng } from '@shoal/core'
import fc from 'fast-check'

/** As much of a TypeBox schema as the wire package uses. */
interface Schema {
  readonly type?: string
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly Schema[]
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly maxItems?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly pattern?: string
  readonly maxLength?: number
}

/** Longer ones are left to who wants to fill memory: here many different messages matter. */
const ITEMS_MAX = 6
const TEXT_MAX = 40
const BYTES_MAX = 96

/** @param schema one of `@shoal/wire` */
function arbitraryOf(schema: object): fc.Arbitrary<unknown> {
  const { anyOf, properties, required = [], items, pattern, ...rest }: Schema = schema
  if (anyOf !== undefined) return fc.oneof(...anyOf.map(arbitraryOf))
  if (rest.enum !== undefined) return fc.constantFrom(...rest.enum)
  if ('const' in rest) return fc.constant(rest.const)
  if (properties !== undefined) {
    const fields = Object.entries(properties).map(([name, field]) => [name, arbitraryOf(field)] as const)
    return fc.record(Object.fromEntries(fields), { requiredKeys: [...required] })
  }
  if (items !== undefined)
    return fc.array(arbitraryOf(items), { maxLength: Math.min(rest.maxItems ?? ITEMS_MAX, ITEMS_MAX) })
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern))
  switch (rest.type) {
    case 'string':
      return fc.string({ unit: 'grapheme', maxLength: Math.min(rest.maxLength ?? TEXT_MAX, TEXT_MAX) })
    case 'integer':
      return fc.integer({ min: rest.minimum ?? 0, max: Math.min(rest.maximum ?? 2 ** 31, 2 ** 31) })
    case 'boolean':
      return fc.boolean()
    default:
      // What is refined is bytes.
      return fc.uint8Array({ maxLength: BYTES_MAX })
  }
}

/** Values one after the other, drawn some hundred at a time because each drawing has a price. */
export function* valuesOf(schema: object, prng: Prng): Generator<unknown, never> {
  const arbitrary = arbitraryOf(schema)
  for (;;) yield* fc.sample(arbitrary, { seed: prng.below(2 ** 31), numRuns: 200 })
}

/** What no field expects. */
const STRANGE: readonly (() => unknown)[] = [
  () => null,
  () => undefined,
  () => true,
  () => '',
  () => 'x'.repeat(70_000),
  () => '\u0000\u001b[2J\r\n',
  () => '../../etc/passwd',
  () => -1,
  () => 0,
  () => 0.5,
  () => Number.NaN,
  () => Number.POSITIVE_INFINITY,
  () => 2 ** 53,
  () => [],
  () => ({}),
  () => [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]],
  () => Array.from({ length: 3_000 }, () => ({})),
  () => new Uint8Array(3),
  () => ({ type: 'hello', length: -1, valueOf: 'x', toString: 1, constructor: null }),
  // Names that resolve differently, to nowhere, or not at all.
  () => 'localhost',
  () => 'no-such-host.invalid',
  () => '::1',
  () => '0.0.0.0',
  () => '255.255.255.255',
  () => '..',
]

/** @returns the value with one field, anywhere in it, replaced, removed or added; the argument is left alone */
export function withOneFieldChanged(value: unknown, prng: Prng): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array || prng.below(8) === 0)
    return STRANGE[prng.below(STRANGE.length)]!()
  if (Array.isArray(value)) {
    if (value.length === 0) return [STRANGE[prng.below(STRANGE.length)]!()]
    const at = prng.below(value.length)
    return value.map((item, index) => (index === at ? withOneFieldChanged(item, prng) : item))
  }
  const entries = Object.entries(value)
  if (entries.length === 0 || prng.below(10) === 0)
    return { ...value, extra: STRANGE[prng.below(STRANGE.length)]!() }
  const at = prng.below(entries.length)
  if (prng.below(10) === 0) return Object.fromEntries(entries.filter((_, index) => index !== at))
  return Object.fromEntries(
    entries.map(([name, item], index) => [name, index === at ? withOneFieldChanged(item, prng) : item]),
  )
}

/** @returns the bytes cut, lengthened, or with some bits turned; a copy */
export function damaged(bytes: Uint8Array, prng: Prng): Uint8Array {
  const copy = Uint8Array.from(bytes)
  switch (prng.below(4)) {
    case 0:
      return copy.subarray(0, prng.below(copy.length + 1))
    case 1:
      return Buffer.concat([copy, randomBytes(1 + prng.below(64), prng)])
    default:
      for (let turns = 1 + prng.below(4); turns > 0 && copy.length > 0; turns--)
        copy[prng.below(copy.length)]! ^= 1 << prng.below(8)
      return copy
  }
}

export function randomBytes(length: number, prng: Prng): Uint8Array {
  return Uint8Array.from({ length }, () => prng.below(256))
}

export function randomHex(digits: number, prng: Prng): string {
  return Array.from({ length: digits }, () => prng.below(16).toString(16)).join('')
}

export function oneOf<T>(items: readonly T[], prng: Prng): T {
  return items[prng.below(items.length)]!
}

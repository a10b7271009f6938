/**
 * What a frame may hold at each of its places, derived from the schema of its message. Pure.
 *
 * The schema says what a value must be once it has been built; the shape says the same of the bytes, so that nothing is built
 * that the schema would refuse for its size. A field that is added to a schema is bounded by that, and one that has no bound
 * in it is found when the module is loaded.
 */
import { asciiBytes, assert } from '@shoal/core'
import type { TSchema } from 'typebox'

/** One place. What is not allowed there has a bound of 0. Numbers, booleans and null cost nothing, and are the schema's business. */
export interface Shape {
  /** For messages: `/blobs/0/inline`, with a star for the number. */
  readonly path: string
  readonly stringBytesMax: number
  readonly binaryBytesMax: number
  readonly itemsMax: number
  readonly item: Shape | undefined
  /** Absent where no map may be. */
  readonly map: MapShape | undefined
}

export interface MapShape {
  readonly fields: readonly Field[]
  /** The bits of the fields without which the map is refused. */
  readonly requiredBits: number
}

export interface Field {
  readonly key: Uint8Array
  /** The key as writers write it: MessagePack's header of a short string, and the key. */
  readonly written: Uint8Array
  /** One of 31, another for every field. */
  readonly bit: number
  readonly shape: Shape
}

/** UTF-8 takes no more for a character. */
const BYTES_PER_CHARACTER_MAX = 4
/** Bits of a number that stay a small integer. */
const FIELDS_MAX = 30

/** The keywords of JSON Schema that bound something, and `bytesMax` of {@link Bytes}. */
interface Keywords {
  readonly type?: string
  readonly anyOf?: readonly TSchema[]
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly maxLength?: number
  readonly bytesMax?: number
  readonly items?: TSchema
  readonly maxItems?: number
  readonly properties?: Readonly<Record<string, TSchema>>
  readonly required?: readonly string[]
}

export function shapeOf(schema: TSchema, path = ''): Shape {
  const keywords = schema as unknown as Keywords
  const { anyOf, bytesMax, type } = keywords
  if (anyOf !== undefined) return anyOf.map((one) => shapeOf(one, path)).reduce(loosest)
  const words = 'const' in keywords ? [keywords.const] : keywords.enum
  if (words !== undefined) return { ...nothing(path), stringBytesMax: Math.max(...words.map(wordBytes)) }
  if (bytesMax !== undefined) return { ...nothing(path), binaryBytesMax: bytesMax }
  switch (type) {
    case 'string':
      assert(keywords.maxLength !== undefined, `the string at ${path || '/'} has a maxLength`)
      return { ...nothing(path), stringBytesMax: keywords.maxLength * BYTES_PER_CHARACTER_MAX }
    case 'array':
      assert(keywords.maxItems !== undefined, `the array at ${path || '/'} has maxItems`)
      return {
        ...nothing(path),
        itemsMax: keywords.maxItems,
        item: shapeOf(keywords.items!, `${path}/*`),
      }
    case 'object':
      return { ...nothing(path), map: mapOf(keywords, path) }
    default:
      assert(
        type === 'integer' || type === 'number' || type === 'boolean' || type === 'null',
        `what is at ${path || '/'} has bounds`,
      )
      return nothing(path)
  }
}

function nothing(path: string): Shape {
  return { path, stringBytesMax: 0, binaryBytesMax: 0, itemsMax: 0, item: undefined, map: undefined }
}

function mapOf({ properties = {}, required = [] }: Keywords, path: string): MapShape {
  const shapes = Object.entries(properties).map(
    ([name, one]) => [name, shapeOf(one, `${path}/${name}`)] as const,
  )
  return numbered(new Map(shapes), new Set(required))
}

function numbered(shapes: ReadonlyMap<string, Shape>, required: ReadonlySet<string>): MapShape {
  assert(shapes.size <= FIELDS_MAX, `a message has at most ${FIELDS_MAX} fields`)
  let requiredBits = 0
  const fields = [...shapes].map(([name, shape], position) => {
    const bit = 1 << position
    if (required.has(name)) requiredBits |= bit
    assert(name.length < 32, 'the name of a field is a short string')
    return {
      key: asciiBytes(name),
      written: asciiBytes(`${String.fromCharCode(0xa0 | name.length)}${name}`),
      bit,
      shape,
    }
  })
  return { fields, requiredBits }
}

/** Of two alternatives at one place, what either allows. */
function loosest(a: Shape, b: Shape): Shape {
  const item = a.item && b.item ? loosest(a.item, b.item) : (a.item ?? b.item)
  const map = a.map && b.map ? loosestMap(a.map, b.map) : (a.map ?? b.map)
  return {
    path: a.path,
    stringBytesMax: Math.max(a.stringBytesMax, b.stringBytesMax),
    binaryBytesMax: Math.max(a.binaryBytesMax, b.binaryBytesMax),
    itemsMax: Math.max(a.itemsMax, b.itemsMax),
    item,
    map,
  }
}

function loosestMap(a: MapShape, b: MapShape): MapShape {
  const shapes = shapesOf(a)
  for (const [name, shape] of shapesOf(b)) {
    const other = shapes.get(name)
    shapes.set(name, other === undefined ? shape : loosest(other, shape))
  }
  const ofB = requiredOf(b)
  return numbered(shapes, new Set([...requiredOf(a)].filter((name) => ofB.has(name))))
}

function shapesOf({ fields }: MapShape): Map<string, Shape> {
  return new Map(fields.map(({ key, shape }) => [nameOf(key), shape]))
}

function requiredOf({ fields, requiredBits }: MapShape): Set<string> {
  return new Set(fields.filter(({ bit }) => (bit & requiredBits) !== 0).map(({ key }) => nameOf(key)))
}

function nameOf(key: Uint8Array): string {
  return String.fromCharCode(...key)
}

function wordBytes(word: unknown): number {
  return typeof word === 'string' ? word.length * BYTES_PER_CHARACTER_MAX : 0
}

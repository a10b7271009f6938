/**
 * Reads what is needed from a payload of which nothing is known. Pure. Every wrong type, absurd length and missing field is
 * a TriggerInvalidError that names the place; names are looked up among an object's own, so that a payload with a
 * `__proto__` says nothing more than what it says.
 */
import { mediaTypeOfHeader } from '@shoal/oci'
import { TriggerInvalidError } from './errors.ts'

/** The longest texts that are read, a URL with a repository name and a digest in it, stay far below. */
const TEXT_LENGTH_MAX = 4096
/** Distribution sends one event a delivery, batches of other senders have some dozens. */
export const DELIVERY_EVENTS_MAX = 1_000

/** How a payload came. */
export interface Delivery {
  /** Names in lower case, as Node gives them. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** Tells repeated pushes apart where the sender gives neither an id nor a time. */
  readonly receivedAtMs: number
}

export function headerOf(headers: Delivery['headers'], name: string): string | undefined {
  const value = Object.hasOwn(headers, name) ? headers[name] : undefined
  return typeof value === 'string' ? value : value?.[0]
}

/** Of the body; empty when nothing was said. */
export function mediaTypeOf(headers: Delivery['headers']): string {
  return mediaTypeOfHeader(headerOf(headers, 'content-type')) ?? ''
}

/** An object of a payload, with its place in it. */
export class Payload {
  readonly #object: Readonly<Record<string, unknown>>

  readonly format: string
  readonly where: string

  private constructor(format: string, where: string, object: object) {
    this.format = format
    this.where = where
    this.#object = object as Record<string, unknown>
  }

  /** @throws TriggerInvalidError when `value` is no object */
  static of(format: string, value: unknown, where = 'the body'): Payload {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new TriggerInvalidError(format, where, 'is not a JSON object')
    return new Payload(format, where, value)
  }

  has(name: string): boolean {
    return this.value(name) !== undefined
  }

  /** Undefined also for null: several senders write out what they do not have. */
  value(name: string): unknown {
    return (Object.hasOwn(this.#object, name) ? this.#object[name] : undefined) ?? undefined
  }

  text(name: string): string {
    const text = this.textIfAny(name)
    if (text === undefined) throw this.invalid(name, 'is missing or empty')
    return text
  }

  /** An empty text counts as absent. */
  textIfAny(name: string): string | undefined {
    const value = this.value(name)
    if (value === undefined || value === '') return undefined
    return this.#asText(value, name)
  }

  object(name: string): Payload {
    return Payload.of(this.format, this.value(name), this.place(name))
  }

  objectIfAny(name: string): Payload | undefined {
    return this.has(name) ? this.object(name) : undefined
  }

  objects(name: string): readonly Payload[] {
    return this.#list(name).map((item, index) =>
      Payload.of(this.format, item, `${this.place(name)}[${index}]`),
    )
  }

  texts(name: string): readonly string[] {
    return this.#list(name).map((item, index) => this.#asText(item, `${name}[${index}]`))
  }

  /** The names themselves, where they are what matters. */
  names(): readonly string[] {
    const names = Object.keys(this.#object)
    if (names.length > DELIVERY_EVENTS_MAX) throw tooMany(this.format, this.where, names.length)
    return names
  }

  place(name: string): string {
    return this.where === 'the body' ? name : `${this.where}.${name}`
  }

  invalid(name: string, reason: string): TriggerInvalidError {
    return new TriggerInvalidError(this.format, this.place(name), reason)
  }

  #asText(value: unknown, name: string): string {
    if (typeof value !== 'string') throw this.invalid(name, 'is not a text')
    if (value.length > TEXT_LENGTH_MAX)
      throw this.invalid(name, `is longer than ${TEXT_LENGTH_MAX} characters`)
    return value
  }

  #list(name: string): readonly unknown[] {
    const value = this.value(name)
    if (!Array.isArray(value)) throw this.invalid(name, 'is not a list')
    if (value.length > DELIVERY_EVENTS_MAX) throw tooMany(this.format, this.place(name), value.length)
    return value
  }
}

export function tooMany(format: string, where: string, count: number): TriggerInvalidError {
  return new TriggerInvalidError(format, where, `has ${count} entries, ${DELIVERY_EVENTS_MAX} are allowed`)
}

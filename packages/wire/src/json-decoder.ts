/** The check that turns JSON text into a message of one schema. Pure. */
import type { Static, TSchema } from 'typebox'
import { Compile, type Validator } from 'typebox/compile'
import { ControlMessageInvalidError } from './errors.ts'

/**
 * @param what for messages: `a line`
 * @returns a decoder that throws ControlMessageInvalidError
 */
export function jsonDecoder<T extends TSchema>(what: string, schema: T): (text: string) => Static<T> {
  // Made when it is needed: services load all of these, and each uses a few.
  let validator: Validator | undefined
  return (text) => {
    validator ??= Compile(schema)
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch (cause) {
      // The parser's own message quotes the text, which may be anything.
      throw new ControlMessageInvalidError(what, 'it is not JSON', { cause })
    }
    if (validator.Check(value)) return value as Static<T>
    const [first] = validator.Errors(value)
    throw new ControlMessageInvalidError(
      what,
      first === undefined ? 'it is no known message' : `${first.instancePath || '/'} ${first.message}`,
    )
  }
}

/**
 * Answers with one field falsified: which fields there are is read from the schema, so a field that is added is among them.
 * Pure.
 */
import type { TSchema } from 'typebox'

/** `manifests[].mediaType`: every field that holds no others, by its path; `[]` stands for each element of a list. */
export function fieldsOf(schema: TSchema, path = ''): string[] {
  const { properties, items } = schema as { properties?: Record<string, TSchema>; items?: TSchema }
  if (items !== undefined) return fieldsOf(items, `${path}[]`)
  if (properties === undefined) return [path]
  return Object.entries(properties).flatMap(([name, property]) =>
    fieldsOf(property, path === '' ? name : `${path}.${name}`),
  )
}

/**
 * The answer with `lie` in the field, in every element of the lists on the way.
 *
 * @param missing what to put where the path leads through something that the answer does not have, by its path
 */
export function falsify<T>(
  answer: T,
  path: string,
  lie: unknown,
  missing: Readonly<Record<string, unknown>>,
): T {
  const falsified = structuredClone(answer)
  put(falsified as never, path.split(/\.|(?=\[\])/), '', lie, missing)
  return falsified
}

function put(
  at: Record<string, unknown> | unknown[],
  [step, ...rest]: readonly string[],
  walked: string,
  lie: unknown,
  missing: Readonly<Record<string, unknown>>,
): void {
  const path = step === '[]' ? `${walked}[]` : walked === '' ? step! : `${walked}.${step}`
  const template = () => {
    if (!(path in missing)) throw new Error(`say what an answer is given for ${path}, where it has none`)
    return structuredClone(missing[path])
  }
  if (Array.isArray(at)) {
    if (at.length === 0 && rest.length > 0) at.push(template())
    for (const [index, element] of at.entries()) {
      if (rest.length === 0) at[index] = lie
      else put(element as never, rest, path, lie, missing)
    }
    if (rest.length === 0 && at.length === 0) at.push(lie)
  } else if (rest.length === 0) at[step!] = lie
  else {
    at[step!] ??= template()
    put(at[step!] as never, rest, path, lie, missing)
  }
}

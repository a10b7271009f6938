/** TOML and JSON as the clients read them, with the place where one is wrong. Pure. */
import { isDeepStrictEqual } from 'node:util'
import { parse as parseTomlText, TomlError, type TomlTable } from 'smol-toml'
import { RuntimeRefusedError } from './errors.ts'

export type TomlDocument = Readonly<Record<string, unknown>>

/** @throws RuntimeRefusedError */
export function parseToml(path: string, text: string): TomlDocument {
  try {
    return parseTomlText(text, { integersAsBigInt: true }) as TomlTable
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const [, reason = 'it cannot be parsed'] = /: ([^\n]+)/.exec(error.message) ?? []
    throw new RuntimeRefusedError(
      path,
      `is not valid TOML (line ${error.line}, column ${error.column}: ${reason}); mend it and run this again`,
    )
  }
}

/** @throws RuntimeRefusedError when it is not JSON, or not an object */
export function parseJsonObject(path: string, text: string): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(withoutMark(text))
  } catch (error) {
    throw new RuntimeRefusedError(
      path,
      `is not valid JSON (${(error as Error).message.replaceAll('\n', ' ')}); mend it and run this again`,
    )
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  throw new RuntimeRefusedError(path, 'is not a JSON object; mend it and run this again')
}

/** The byte order mark that some editors put first. */
export function withoutMark(text: string): string {
  return text.startsWith('\uFEFF') ? text.slice(1) : text
}

export function at(document: unknown, ...keys: readonly string[]): unknown {
  let value = document
  for (const key of keys) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    value = (value as Record<string, unknown>)[key]
  }
  return value
}

/** @returns a copy in which one value is another */
export function withValue(
  document: TomlDocument,
  [key, ...rest]: readonly string[],
  value: unknown,
): TomlDocument {
  const inner = Object.hasOwn(document, key!) ? document[key!] : undefined
  const table = typeof inner === 'object' && inner !== null ? (inner as TomlDocument) : {}
  return { ...document, [key!]: rest.length === 0 ? value : withValue(table, rest, value) }
}

/** As values: parsers give tables without a prototype. */
export function isSameDocument(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(plain(a), plain(b))
}

function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
}

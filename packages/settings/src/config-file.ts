/** Reads a YAML file of settings: one level of `key: value`, each with the line where it stands. Pure: the text is given. */
import { isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml'
import { ConfigFileError } from './errors.ts'

export interface ConfigEntry {
  readonly key: string
  /** undefined for what is never a setting: nested values, aliases. */
  readonly value: unknown
  /** The value, for messages. */
  readonly shown: string
  /** `FILE:LINE` */
  readonly place: string
}

/** Far above what settings need; checked before anything is parsed. */
const CONFIG_FILE_LENGTH_MAX = 256 * 1024

/** @throws ConfigFileError when it is not YAML, not a list of `key: value`, or has a key twice */
export function readConfigFile({ path, text }: { path: string; text: string }): ConfigEntry[] {
  if (text.length > CONFIG_FILE_LENGTH_MAX) {
    throw new ConfigFileError(path, `it is longer than ${CONFIG_FILE_LENGTH_MAX} characters`)
  }
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const [error] = document.errors
  if (error !== undefined) {
    const { line } = lines.linePos(error.pos[0])
    throw new ConfigFileError(`${path}:${line}`, error.message.split('\n', 1)[0] ?? '', { cause: error })
  }
  const { contents } = document
  // An empty file, or one with comments alone.
  if (contents === null || (isScalar(contents) && contents.value === null)) return []
  if (!isMap(contents)) throw new ConfigFileError(path, 'it is not a list of `key: value`')
  return contents.items.map((pair) => {
    const key = isScalar(pair.key) ? String(pair.key.value) : String(pair.key)
    const offset = isNode(pair.key) ? (pair.key.range?.[0] ?? 0) : 0
    const place = `${path}:${lines.linePos(offset).line}`
    const value = scalarOf(pair.value)
    const shown = value === undefined ? String(pair.value) : JSON.stringify(value)
    return { key, value, shown, place }
  })
}

/** null where there is nothing after the colon. */
function scalarOf(node: unknown): unknown {
  if (isScalar(node)) return node.value
  return node === null ? null : undefined
}

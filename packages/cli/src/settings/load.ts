/**
 * Puts a service's settings together: a flag wins over a variable, a variable over the file, the file over the default.
 */
import type { Static, TObject } from 'typebox'
import { parseDocument } from 'yaml'
import { ConfigFileError, type SettingProblem, SettingsInvalidError } from './errors.ts'
import { nearest } from './nearest.ts'
import { type Setting, type SettingValue, settingsOf } from './setting.ts'

export interface SettingSources {
  /** By key, as typed. */
  readonly flags: Readonly<Record<string, string | undefined>>
  readonly variables: Readonly<Record<string, string | undefined>>
  readonly file?: { readonly path: string; readonly text: string }
}

/** Set in the environment of other services of Shoal, or for its tools. */
const OTHER_VARIABLES = new Set(['SHOAL_CONFIG'])

export interface LoadedSettings<T> {
  readonly settings: T
  /** What is odd and stops nothing. */
  readonly warnings: readonly string[]
}

/**
 * @param known every variable that some service of Shoal reads: others are warned of
 * @throws SettingsInvalidError with all that is wrong · ConfigFileError
 */
export function loadSettings<T extends TObject>(
  schema: T,
  sources: SettingSources,
  known: ReadonlySet<string>,
): LoadedSettings<Static<T>> {
  const settings = settingsOf(schema)
  const problems: SettingProblem[] = []
  const file = readFile(settings, sources.file, problems)
  const values: Record<string, SettingValue> = {}
  for (const setting of settings) {
    const found = firstGiven(setting, sources, file)
    if (found === undefined) {
      values[setting.key] = setting.default
      continue
    }
    const value = setting.accept(found.value, found.from)
    if (value !== undefined) values[setting.key] = value
    else {
      const { key, allowed } = setting
      problems.push({ key, source: found.source, given: JSON.stringify(found.value) ?? 'nothing', allowed })
    }
  }
  if (problems.length > 0) throw new SettingsInvalidError(problems)
  const warnings = Object.keys(sources.variables)
    .filter((name) => name.startsWith('SHOAL_') && !known.has(name) && !OTHER_VARIABLES.has(name))
    .map((name) => `${name} is set and no setting of Shoal${suggestion(name, [...known])}`)
  return { settings: values as Static<T>, warnings }
}

function firstGiven(
  { key, flag, variable }: Setting,
  sources: SettingSources,
  file: ReadonlyMap<string, { value: unknown; source: string }>,
): { value: unknown; source: string; from: 'text' | 'file' } | undefined {
  const typed = sources.flags[key]
  if (typed !== undefined) return { value: typed, source: `--${flag}`, from: 'text' }
  const inherited = sources.variables[variable]
  if (inherited !== undefined) return { value: inherited, source: variable, from: 'text' }
  const written = file.get(key)
  return written && { ...written, from: 'file' }
}

/** The file's values with their lines; what it must not have is a problem. */
function readFile(
  settings: readonly Setting[],
  file: SettingSources['file'],
  problems: SettingProblem[],
): Map<string, { value: unknown; source: string }> {
  const values = new Map<string, { value: unknown; source: string }>()
  if (file === undefined) return values
  const document = parseDocument(file.text)
  const [error] = document.errors
  if (error !== undefined)
    throw new ConfigFileError(file.path, error.message.split('\n', 1)[0] ?? '', { cause: error })
  const content: unknown = document.toJS({ maxAliasCount: 0 })
  if (content === null || content === undefined) return values
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new ConfigFileError(file.path, 'it is not a list of `key: value`')
  }
  const keys = settings.map(({ key }) => key)
  for (const [key, value] of Object.entries(content)) {
    const source = `in ${file.path}`
    if (keys.includes(key)) values.set(key, { value, source })
    else {
      problems.push({
        key,
        source,
        given: JSON.stringify(value),
        allowed: `no such key${suggestion(key, keys)}; the keys are ${keys.join(', ')}`,
      })
    }
  }
  return values
}

function suggestion(name: string, names: readonly string[]): string {
  const close = nearest(name, names)
  return close === undefined ? '' : `; did you mean ${close}?`
}

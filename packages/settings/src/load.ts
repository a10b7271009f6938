/**
 * Puts a service's settings together: a flag wins over a variable, a variable over the file, the file over the default.
 * Pure: arguments, environment and the file's entries are given.
 */
import type { Static, TObject } from 'typebox'
import type { ConfigEntry } from './config-file.ts'
import { type SettingProblem, SettingsInvalidError } from './errors.ts'
import { nearest } from './nearest.ts'
import { type Setting, type SettingValue, settingsOf } from './setting.ts'

export interface SettingSources {
  /** By key, as typed. */
  readonly flags: Readonly<Record<string, string | undefined>>
  readonly variables: Readonly<Record<string, string | undefined>>
  /** What `readConfigFile` found. */
  readonly file?: readonly ConfigEntry[]
}

/** Set for the tools of Shoal. */
const OTHER_VARIABLES = new Set(['SHOAL_CONFIG', 'SHOAL_API_TOKEN', 'SHOAL_UNCAUGHT_ERRORS'])

/** Credentials of mirrored registries have the registry in their names. */
function isOther(name: string): boolean {
  return OTHER_VARIABLES.has(name) || /^SHOAL_UPSTREAM_.+_(?:USERNAME|PASSWORD)$/.test(name)
}

export interface LoadedSettings<T> {
  readonly settings: T
  /** What is odd and stops nothing. */
  readonly warnings: readonly string[]
}

/**
 * @param known every variable that some service of Shoal reads: others are warned of
 * @throws SettingsInvalidError with all that is wrong
 */
export function loadSettings<T extends TObject>(
  schema: T,
  sources: SettingSources,
  known: ReadonlySet<string>,
): LoadedSettings<Static<T>> {
  const settings = settingsOf(schema)
  const problems: SettingProblem[] = []
  const file = fileEntries(settings, sources.file, problems)
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
      // Credentials that somebody put into a URL must not reach a log.
      const shown = found.shown.replace(/\/\/[^/@\s]*@/, '//…@')
      const reason = `${shown} was given; allowed: ${setting.allowed}`
      problems.push({ key: setting.key, source: found.source, reason })
    }
  }
  if (problems.length > 0) throw new SettingsInvalidError(problems)
  const warnings = Object.keys(sources.variables)
    .filter((name) => name.startsWith('SHOAL_') && !known.has(name) && !isOther(name))
    .map((name) => `${name} is set and no setting of Shoal${suggestion(name, [...known])}`)
  return { settings: values as Static<T>, warnings }
}

interface Given {
  readonly value: unknown
  /** The value, for messages. */
  readonly shown: string
  readonly source: string
  readonly from: 'text' | 'file'
}

function firstGiven(
  { key, flag, variable }: Setting,
  sources: SettingSources,
  file: ReadonlyMap<string, ConfigEntry>,
): Given | undefined {
  const asText = (value: string, source: string): Given => {
    return { value, shown: JSON.stringify(value), source, from: 'text' }
  }
  const typed = sources.flags[key]
  if (typed !== undefined) return asText(typed, `--${flag}`)
  const inherited = sources.variables[variable]
  // An empty variable is what Compose files and manifests leave where nothing was meant.
  if (inherited !== undefined && inherited !== '') return asText(inherited, variable)
  const entry = file.get(key)
  return entry && { value: entry.value, shown: entry.shown, source: entry.place, from: 'file' }
}

/** By key; a key that is no setting is a problem. */
function fileEntries(
  settings: readonly Setting[],
  file: SettingSources['file'],
  problems: SettingProblem[],
): Map<string, ConfigEntry> {
  const keys = settings.map(({ key }) => key)
  const entries = new Map<string, ConfigEntry>()
  for (const entry of file ?? []) {
    const { key, place } = entry
    if (keys.includes(key)) entries.set(key, entry)
    else {
      const reason = `there is no such key${suggestion(key, keys)}; the keys are ${keys.join(', ')}`
      problems.push({ key, source: place, reason })
    }
  }
  return entries
}

function suggestion(name: string, names: readonly string[]): string {
  const close = nearest(name, names)
  return close === undefined ? '' : `; did you mean ${close}?`
}

/**
 * The agent's settings as the agent itself loads them: its flags, `SHOAL_*` variables, the file. What cannot be used is told,
 * all of it, and the rest can be checked all the same.
 */
import { existsSync } from 'node:fs'
import { AgentSettings, ZoneFileError, zoneOf } from '@shoal/agent'
import { UsageError } from '@shoal/core'
import type { ConfigEntry } from '@shoal/settings'
import { configEntriesOf, loadSettings, SettingsInvalidError, settingsOf } from '@shoal/settings'
import { type Finding, failure, ok, warning } from './check-result.ts'

/** Where a host's agent is set up. */
export const HOST_CONFIG_FILE = '/etc/shoal/agent.yaml'

export interface SettingsInit {
  /** By key, as typed. */
  readonly flags: Readonly<Record<string, string | undefined>>
  readonly config: string | undefined
  readonly variables: Readonly<Record<string, string | undefined>>
  /** Read where no other file is named, if it is there. */
  readonly hostFile: string
  readonly knownVariables: ReadonlySet<string>
}

export interface ExaminedSettings {
  /** With the default in place of what cannot be used. */
  readonly settings: AgentSettings
  /** The keys of what cannot be used. */
  readonly unusable: ReadonlySet<string>
  readonly finding: Finding
}

export async function examineSettings(init: SettingsInit): Promise<ExaminedSettings> {
  const { flags, variables, hostFile, knownVariables } = init
  const named = init.config ?? variables.SHOAL_CONFIG
  const path = named ?? (existsSync(hostFile) ? hostFile : undefined)
  const problems: string[] = []
  const unusable = new Set<string>()
  let file: readonly ConfigEntry[] = []
  try {
    if (path !== undefined) file = await configEntriesOf(path)
  } catch (error) {
    problems.push(messageOf(error))
  }
  const load = (without: ReadonlySet<string>) =>
    loadSettings(
      AgentSettings,
      {
        flags: omit(flags, (key) => without.has(key)),
        variables: omit(variables, (name) => withoutVariables(without).has(name)),
        file: file.filter(({ key }) => KEYS.has(key) && !without.has(key)),
      },
      knownVariables,
    )
  try {
    loadSettings(AgentSettings, { flags, variables, file }, knownVariables)
  } catch (error) {
    if (!(error instanceof SettingsInvalidError)) throw error
    problems.push(...error.message.split('\n'))
    for (const { key } of error.problems) unusable.add(key)
  }
  const { settings, warnings } = load(unusable)
  await zoneOf(settings).catch((error: unknown) => {
    if (!(error instanceof ZoneFileError)) throw error
    problems.push(error.message)
    unusable.add('zoneFile')
  })
  const measured = {
    ...(path !== undefined && { file: path }),
    problems,
    unknownVariables: warnings.length,
  }
  if (problems.length > 0) {
    const advice =
      'Mend these: the agent does not start with them. The other checks take defaults in their place.'
    return { settings, unusable, finding: failure(problems.join('; '), advice, measured) }
  }
  const told = sourcesText(init, path, named === undefined, file)
  if (warnings.length === 0) return { settings, unusable, finding: ok(told, measured) }
  const finding = warning(warnings.join('; '), 'Mend the names, or unset the variables.', measured)
  return { settings, unusable, finding }
}

const KEYS = new Set(settingsOf(AgentSettings).map(({ key }) => key))

function withoutVariables(keys: ReadonlySet<string>): Set<string> {
  return new Set(settingsOf(AgentSettings).flatMap(({ key, variable }) => (keys.has(key) ? [variable] : [])))
}

function sourcesText(
  { flags, variables, hostFile }: SettingsInit,
  path: string | undefined,
  isFound: boolean,
  file: readonly ConfigEntry[],
): string {
  const known = settingsOf(AgentSettings)
  const typed = known.filter(({ key }) => flags[key] !== undefined).map(({ flag }) => `--${flag}`)
  const inherited = known.map(({ variable }) => variable).filter((name) => (variables[name] ?? '') !== '')
  const parts = [
    path === undefined
      ? `no file (none is named, and there is no ${hostFile})`
      : `${file.length} ${file.length === 1 ? 'setting' : 'settings'} in ${path}${isFound ? ' (found there; no other is named)' : ''}`,
    ...(inherited.length > 0 ? [inherited.join(', ')] : []),
    ...(typed.length > 0 ? [typed.join(', ')] : []),
  ]
  return `${parts.join('; ')}; defaults for the rest`
}

function omit(
  record: Readonly<Record<string, string | undefined>>,
  isLeftOut: (key: string) => boolean,
): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(record).filter(([key]) => !isLeftOut(key)))
}

function messageOf(error: unknown): string {
  if (error instanceof UsageError) return error.message
  throw error
}

/** Whether Shoal itself takes the words and variables that a file of an orchestrator starts it with. */
import { parseArgs } from 'node:util'
import { agentReference, seederReference } from '../../packages/cli/src/services.ts'
import { loadSettings } from '../../packages/settings/src/load.ts'
import { settingsOf } from '../../packages/settings/src/setting.ts'

export interface StartedService {
  readonly role: 'seeder' | 'agent'
  readonly settings: Readonly<Record<string, unknown>>
  /** Variables that no service reads, say. */
  readonly warnings: readonly string[]
}

const services = { seeder: seederReference, agent: agentReference }
const known = new Set(
  Object.values(services)
    .flatMap(({ schema }) => settingsOf(schema))
    .map(({ variable }) => variable),
)

/** @throws SettingsInvalidError as the service would, TypeError for a flag that it does not know */
export function startedService(
  [role, ...words]: readonly string[],
  variables: Readonly<Record<string, string>>,
): StartedService {
  if (role !== 'seeder' && role !== 'agent') throw new TypeError(`shoal ${role} is no service`)
  const { schema } = services[role]
  const settings = settingsOf(schema)
  const { values } = parseArgs({
    args: words,
    options: Object.fromEntries(settings.map(({ flag }) => [flag, { type: 'string' as const }])),
  })
  const flags = Object.fromEntries(settings.map(({ key, flag }) => [key, values[flag] as string | undefined]))
  const loaded = loadSettings(schema, { flags, variables }, known)
  return { role, settings: loaded.settings as Record<string, unknown>, warnings: loaded.warnings }
}

/** The settings that a service in a rendered pod would have: its variables and its file, read by Shoal's own loader. */
import type { TObject } from 'typebox'
import { agentReference, seederReference } from '../../../packages/cli/src/services.ts'
import { readConfigFile } from '../../../packages/settings/src/config-file.ts'
import { loadSettings } from '../../../packages/settings/src/load.ts'
import { settingsOf } from '../../../packages/settings/src/setting.ts'
import { type Content, find, type KubernetesObject } from '../kubernetes/objects.ts'

/** What the image sets: it wins over the file, so the pod has to say it again where it means something else. */
const IMAGE_VARIABLES = {
  SHOAL_DATA: '/var/lib/shoal/seeder',
  SHOAL_ORIGIN: '/var/lib/shoal/origin',
  SHOAL_CACHE: '/var/lib/shoal/cache',
}
const DOWNWARD: Readonly<Record<string, string>> = {
  'status.podIP': '10.1.2.3',
  'status.hostIP': '10.0.0.7',
  'spec.nodeName': 'node-7',
}

export type LoadedSettings = Readonly<Record<string, string | number | boolean>>

/** @throws SettingsInvalidError, ConfigFileError, and Error when something is odd enough for a warning */
export function loadedSettings(
  objects: readonly KubernetesObject[],
  role: 'seeder' | 'agent',
): LoadedSettings {
  const workload = find(objects, role === 'seeder' ? 'StatefulSet' : 'DaemonSet', `shoal-${role}`)!
  const container = workload.spec.template.spec.containers.find(({ name }: Content) => name === role)
  const variables: Record<string, string> = { ...IMAGE_VARIABLES }
  for (const { name, value, valueFrom } of container.env) {
    const raw = value ?? DOWNWARD[valueFrom?.fieldRef?.fieldPath ?? ''] ?? 'of a secret'
    variables[name] = raw.replaceAll(/\$\((\w+)\)/g, (_: string, used: string) => variables[used])
  }
  const path = variables.SHOAL_CONFIG!
  const text: string = find(objects, 'ConfigMap', `shoal-${role}`)?.data[path.split('/').at(-1)!]
  const schema: TObject = (role === 'seeder' ? seederReference : agentReference).schema
  const known = [seederReference, agentReference].flatMap(({ schema }) => settingsOf(schema))
  const file = readConfigFile({ path, text })
  const loaded = loadSettings(
    schema,
    { flags: {}, variables, file },
    new Set(known.map(({ variable }) => variable)),
  )
  if (loaded.warnings.length > 0) throw new Error(loaded.warnings.join('\n'))
  return loaded.settings as LoadedSettings
}

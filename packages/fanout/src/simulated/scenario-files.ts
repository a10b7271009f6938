/** The scenarios that come along, and those of one's own: small YAML files with the names of the flags. */
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { nearest, readConfigFile } from '@shoal/settings'
import { FanoutOptionError } from './errors.ts'

const FOLDER = fileURLToPath(new URL('../../scenarios/', import.meta.url))
const DESCRIPTION = 'description'

export interface GivenOption {
  readonly name: string
  readonly text: string
  /** Where it stands, for messages. */
  readonly from: string
}

export async function listScenarios(): Promise<{ name: string; description: string }[]> {
  const names = (await readdir(FOLDER))
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.slice(0, -5))
  return Promise.all(
    names.sort().map(async (name) => {
      const path = `${FOLDER}${name}.yaml`
      const entries = readConfigFile({ path, text: await readFile(path, 'utf8') })
      return { name, description: String(entries.find(({ key }) => key === DESCRIPTION)?.value ?? '') }
    }),
  )
}

/**
 * @param nameOrPath one of those that come along, or the path of a file
 * @throws FanoutOptionError · ConfigFileError
 */
export async function readScenario(nameOrPath: string): Promise<GivenOption[]> {
  const isName = /^[\w-]+$/.test(nameOrPath)
  const path = isName ? `${FOLDER}${nameOrPath}.yaml` : nameOrPath
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    const names = (await listScenarios()).map(({ name }) => name)
    const meant = isName ? nearest(nameOrPath, names) : undefined
    const hint = meant === undefined ? `there are ${names.join(', ')}` : `is ${meant} meant?`
    throw new FanoutOptionError('--scenario', `${nameOrPath} cannot be read; ${hint}`, { cause })
  }
  return readConfigFile({ path, text })
    .filter(({ key }) => key !== DESCRIPTION)
    .map(({ key, value, shown, place }) => ({
      name: key,
      text: value === undefined || value === null ? shown : String(value),
      from: place,
    }))
}

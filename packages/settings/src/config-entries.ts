/** Reads the file that `--config` or SHOAL_CONFIG names. */
import { readFileSync, statSync } from 'node:fs'
import type { ConfigEntry } from './config-file.ts'
import { ConfigFileError } from './errors.ts'

const CONFIG_BYTES_MAX = 1024 ** 2

/** The YAML library is loaded only when there is a file: most nodes are set up by variables. @throws ConfigFileError */
export async function configEntriesOf(path: string): Promise<readonly ConfigEntry[]> {
  const text = readConfig(path)
  const { readConfigFile } = await import('./config-file.ts')
  return readConfigFile({ path, text })
}

function readConfig(path: string): string {
  try {
    // Not read before it is known to be short: somebody may have named an image.
    if (statSync(path).size <= CONFIG_BYTES_MAX) return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new ConfigFileError(path, 'it cannot be read; check the path and its permissions', { cause })
  }
  throw new ConfigFileError(path, `it is longer than ${CONFIG_BYTES_MAX} bytes`)
}

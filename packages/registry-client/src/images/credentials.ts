/**
 * The name and password that `docker login` left for a registry. Credential helpers are not asked.
 * Docker's configuration file, `auths`.
 */
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { DockerConfigError } from './errors.ts'

/**
 * @param host with its port where there is one
 * @returns the value of an Authorization header, or undefined when the file has nothing for the host
 * @throws DockerConfigError when there is a file that cannot be read
 */
export async function credentialsFor(host: string): Promise<string | undefined> {
  const path = join(process.env.DOCKER_CONFIG || join(homedir(), '.docker'), 'config.json')
  let auths: Readonly<Record<string, { auth?: unknown; username?: unknown; password?: unknown }>>
  try {
    auths = JSON.parse(await readFile(path, 'utf8'))?.auths ?? {}
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new DockerConfigError(path, (error as Error).message, { cause: error })
  }
  // Some tools write the registry's whole address.
  const keys = [host, `https://${host}`, `https://${host}/v1/`, `https://${host}/v2/`, `http://${host}`]
  const key = keys.find((one) => Object.hasOwn(auths, one))
  const { auth, username, password } = (key === undefined ? undefined : auths[key]) ?? {}
  if (typeof auth === 'string' && auth !== '') return `Basic ${auth}`
  if (typeof username !== 'string' || typeof password !== 'string') return undefined
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

/** The name and password that `docker login` left for a registry. Credential helpers are not asked. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { canonicalHost } from '@shoal/oci'
import { DockerConfigFile } from './docker-config-file.ts'

/**
 * @param host with its port where there is one
 * @returns the value of an Authorization header, or undefined when the file has nothing for the host
 * @throws CredentialsInvalidError when there is a file that cannot be read
 */
export async function pushLogin(host: string): Promise<string | undefined> {
  const path = join(process.env.DOCKER_CONFIG || join(homedir(), '.docker'), 'config.json')
  const credential = await new DockerConfigFile(path, undefined).find(canonicalHost(host))
  // An identity token is for a token server, and pushes ask none.
  if (credential === undefined || !('username' in credential)) return undefined
  return `Basic ${Buffer.from(`${credential.username}:${credential.password}`).toString('base64')}`
}

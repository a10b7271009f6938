/** A login from two environment variables. Pure. */
import type { Login } from './credential.ts'
import { CredentialsInvalidError } from './errors.ts'

/**
 * `registry.corp:5000` is read from `SHOAL_UPSTREAM_REGISTRY_CORP_5000_USERNAME` and `…_PASSWORD`. Hosts that differ in
 * nothing but their signs share a name; whoever mirrors two such hosts uses a file.
 *
 * @throws CredentialsInvalidError when there is one without the other
 */
export function environmentCredential(
  environment: Readonly<Record<string, string | undefined>>,
  host: string,
): Login | undefined {
  const stem = `SHOAL_UPSTREAM_${host.toUpperCase().replace(/[^A-Z0-9]/g, '_')}`
  const username = environment[`${stem}_USERNAME`] ?? ''
  const password = environment[`${stem}_PASSWORD`] ?? ''
  if (username === '' && password === '') return undefined
  const where = `${stem}_USERNAME and ${stem}_PASSWORD`
  if (username === '' || password === '') throw new CredentialsInvalidError(where, 'one of them is missing')
  if (username.includes(':')) throw new CredentialsInvalidError(where, 'a user’s name has no colon')
  return { username, password }
}

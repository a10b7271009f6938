/** Reads the parts of Docker's configuration that concern logins. Pure. No message quotes the text. */
import { canonicalHost, isJsonObject, type JsonObject } from '@shoal/oci'
import type { Credential } from './credential.ts'
import { CredentialsInvalidError } from './errors.ts'
import { parseJsonObject } from './json-object.ts'

export interface DockerConfig {
  /**
   * Of a canonical host. What is wrong with the entry of another is no trouble to whoever asks for this one.
   * @throws CredentialsInvalidError
   */
  readonly loginFor: (host: string) => Credential | undefined
  /** `docker-credential-NAME`, by canonical host. */
  readonly helpers: ReadonlyMap<string, string>
  /** The one for all other hosts. */
  readonly store: string | undefined
}

/**
 * @param where for messages
 * @throws CredentialsInvalidError
 */
export function parseDockerConfig(where: string, text: string): DockerConfig {
  const document = parseJsonObject(text)
  if (document === undefined) throw new CredentialsInvalidError(where, 'the file is not a JSON object')
  const isLegacy = !['auths', 'credHelpers', 'credsStore'].some((key) => key in document)
  const auths = objectIn(where, 'auths', isLegacy ? legacyAuths(document) : document.auths)
  const helpers = objectIn(where, 'credHelpers', document.credHelpers)
  return {
    loginFor: (host) =>
      Object.entries(auths)
        .filter(([server]) => hostOf(server) === host)
        .map(([server, entry]) => readLogin(where, server, entry))
        .findLast((login) => login !== undefined),
    helpers: new Map(
      Object.entries(helpers).map(([host, name]) => [hostOf(host) ?? host, helperName(where, name)]),
    ),
    store:
      document.credsStore === undefined || document.credsStore === ''
        ? undefined
        : helperName(where, document.credsStore),
  }
}

/** A `.dockercfg` has servers at its top; a `config.json` without logins has settings there. */
function legacyAuths(document: JsonObject): JsonObject {
  const entries = Object.entries(document).filter(([, entry]) => isJsonObject(entry) && 'auth' in entry)
  return Object.fromEntries(entries)
}

/** The host of `https://index.docker.io/v1/` and `registry.corp:5000`; undefined for what is said of a part of a registry. */
function hostOf(server: string): string | undefined {
  const [host, ...path] = server.replace(/^https?:\/\//i, '').split('/') as [string, ...string[]]
  return /^(?:v[12])?$/.test(path.join('')) ? canonicalHost(host) : undefined
}

function readLogin(where: string, server: string, entry: unknown): Credential | undefined {
  // The key is a place, not a secret, though it may be long.
  const shown = JSON.stringify(server.slice(0, 200))
  if (!isJsonObject(entry)) throw new CredentialsInvalidError(where, `the entry ${shown} is not an object`)
  const { auth, username, password, identitytoken } = entry
  for (const value of [auth, username, password, identitytoken]) {
    if (value !== undefined && value !== null && typeof value !== 'string') {
      throw new CredentialsInvalidError(where, `the entry ${shown} has a value that is not text`)
    }
  }
  if (typeof identitytoken === 'string' && identitytoken !== '') return { identityToken: identitytoken }
  if (typeof auth === 'string' && auth !== '') return decodeAuth(where, shown, auth)
  if (typeof username !== 'string' || username === '' || typeof password !== 'string') return undefined
  return { username, password }
}

function decodeAuth(where: string, shown: string, auth: string): Credential {
  const text = /^[A-Za-z0-9+/_-]+={0,2}\s*$/.test(auth) ? Buffer.from(auth, 'base64').toString('utf8') : ''
  const colon = text.indexOf(':')
  if (colon < 1) throw new CredentialsInvalidError(where, `"auth" of ${shown} is not user:password in base64`)
  // Old clients have padded it with zero bytes.
  return { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, '') }
}

/** Becomes a part of a program's name, so it must not become a path. */
function helperName(where: string, name: unknown): string {
  if (typeof name === 'string' && /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) return name
  throw new CredentialsInvalidError(where, 'the name of a credential helper is not a plain word')
}

function objectIn(where: string, key: string, value: unknown): JsonObject {
  if (value === undefined || value === null) return {}
  if (!isJsonObject(value)) throw new CredentialsInvalidError(where, `"${key}" is not an object`)
  return value
}

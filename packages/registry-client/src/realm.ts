/**
 * Decides whether a registry's credentials may be taken to the token server that the registry names.
 *
 * A registry that is hostile, or that somebody speaks for, can name any realm (distribution CVE-2026-33540). Credentials go
 * to the registry's own host, to hosts of the same owner (same registrable domain, by the public suffix list), and to
 * hosts that are known or that the operator has named. Whoever has no credentials loses nothing by asking elsewhere.
 */
import type { UpstreamAddress } from './address.ts'
import { UpstreamRealmRefusedError } from './errors.ts'

/** Token servers on another domain than their registry. By the registry's registrable domain. */
const KNOWN_REALM_HOSTS: ReadonlyMap<string, readonly string[]> = new Map([
  ['docker.io', ['auth.docker.io']],
  ['gitlab.com', ['gitlab.com']],
  ['scw.cloud', ['api.scaleway.com']],
])

/** Domains below which every customer has a name, though the public suffix list does not have them: same host only. */
const SHARED_DOMAINS: ReadonlySet<string> = new Set([
  'amazonaws.com',
  'amazonaws.com.cn',
  'azurecr.cn',
  'azurecr.io',
  'jfrog.io',
])

export interface RealmUse {
  readonly realm: string
  readonly registry: UpstreamAddress
  readonly hasCredentials: boolean
  /** Hosts that the operator has named beside. */
  readonly trustedHosts: readonly string[]
}

/**
 * @returns the URL to ask for a token at
 * @throws UpstreamRealmRefusedError
 */
export async function checkRealm(use: RealmUse): Promise<URL> {
  const { registry } = use
  const refuse = (what: string) => new UpstreamRealmRefusedError(registry.host, what)
  if (use.realm.length > 2_048 || !URL.canParse(use.realm)) {
    throw refuse('the token server that it names is not a URL; check that the registry’s address is right')
  }
  const realm = new URL(use.realm)
  const base = new URL(registry.url)
  const isSameHost = realm.hostname === base.hostname
  if (realm.username !== '' || realm.password !== '')
    throw refuse('the token server that it names carries a user')
  const isPlainAsRegistry = realm.protocol === 'http:' && base.protocol === 'http:'
  // Plain http is what the operator has chosen for this one host, not for others that it names.
  const isPlainAllowed = isPlainAsRegistry && (isSameHost || !use.hasCredentials)
  if (realm.protocol !== 'https:' && !isPlainAllowed) {
    throw refuse(`it wants a token asked for at ${realm.host} without TLS; nothing was sent there`)
  }
  if (
    use.hasCredentials &&
    !isSameHost &&
    !(await isTrusted(realm.hostname, base.hostname, use.trustedHosts))
  ) {
    throw refuse(
      `it wants its credentials taken to ${realm.host}, a host that is not its own; nothing was sent there. ` +
        `If that is its token server, add ${registry.host}=${realm.hostname} to realmHosts`,
    )
  }
  return realm
}

async function isTrusted(
  realmHost: string,
  registryHost: string,
  named: readonly string[],
): Promise<boolean> {
  if (named.includes(realmHost)) return true
  // Loaded here, because the list takes megabytes and most registries never come this far.
  const { getDomain } = await import('tldts')
  const domainOf = (host: string) => getDomain(host, { allowPrivateDomains: true }) ?? undefined
  const domain = domainOf(registryHost)
  if (domain === undefined) return false
  if (KNOWN_REALM_HOSTS.get(domain)?.includes(realmHost) === true) return true
  return !SHARED_DOMAINS.has(domain) && domainOf(realmHost) === domain
}

/**
 * By which names a seeder is known, from where it listens. Pure.
 *
 * Only what nobody can claim: an address that the operator has told it to listen on, or one of this machine's own with its
 * port. What clients say (`Host`) is no reason: whoever may push could name another registry, and have every node take its
 * images for that one's. Names of DNS are said in `hosts`.
 */
import { formatHostPort, type HostPort, isLoopback, isWildcard } from '@shoal/core'
import { looksLikeHost } from '@shoal/oci'

/**
 * @param listen where it really listens
 * @param addresses of this machine's interfaces
 */
export function namesByListening(
  listen: HostPort,
  addresses: readonly { readonly address: string; readonly internal: boolean }[],
): readonly string[] {
  const { host, port } = listen
  // A loopback name means another machine on every machine, so it counts only where the seeder listens on loopback.
  const hosts = isWildcard(host)
    ? addresses.filter(({ internal }) => !internal).map(({ address }) => address)
    : isLoopback(host)
      ? [host, 'localhost']
      : [host]
  const names = hosts.flatMap((each) => [
    formatHostPort({ host: each, port }),
    // A reference to plain HTTP's port leaves it out.
    ...(port === 80 && !each.includes(':') ? [each] : []),
  ])
  return [...new Set(names.map((name) => name.toLowerCase()))].filter(looksLikeHost)
}

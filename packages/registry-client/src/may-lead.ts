/**
 * From which registry one may be led where. Pure.
 *
 * A registry that was configured on purpose may stand anywhere. Where its *answers* point (redirects, token servers) is its
 * choice, not the operator's: they must not become a way into the network around Shoal (Harbor CVE-2020-13788,
 * Quay CVE-2026-2376).
 */
import { type AddressClass, isAddress } from '@shoal/core'

/** Where registries of each kind may lead. A private one not to loopback: that is Shoal's own machine, not the registry's. */
const REACH: Readonly<Record<AddressClass, readonly AddressClass[]>> = {
  public: ['public'],
  private: ['public', 'private'],
  loopback: ['public', 'private', 'loopback'],
  'link-local': ['public', 'link-local'],
  multicast: ['public'],
  reserved: ['public'],
}

export function mayLead(from: AddressClass, to: AddressClass): boolean {
  return REACH[from].includes(to)
}

/** The address that a URL names outright; undefined when it names a host. */
export function addressInUrl(url: URL): string | undefined {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  return isAddress(host) ? host : undefined
}

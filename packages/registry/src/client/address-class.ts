/**
 * What kind of place an IP address is, and from which registry one may be led there. Pure.
 *
 * A registry that was configured on purpose may stand anywhere. Where its *answers* point (redirects, token servers) is its
 * choice, not the operator's: they must not become a way into the network around Shoal (Harbor CVE-2020-13788,
 * Quay CVE-2026-2376). Ranges: the IANA special-purpose address registries.
 */
import { BlockList, isIP } from 'node:net'

export type AddressClass = 'public' | 'private' | 'loopback' | 'link-local' | 'reserved'

const RANGES: Readonly<Record<Exclude<AddressClass, 'public'>, readonly string[]>> = {
  loopback: ['127.0.0.0/8', '0.0.0.0/8', '::1/128', '::/128'],
  // Cloud machines find their credentials at 169.254.169.254.
  'link-local': ['169.254.0.0/16', 'fe80::/10'],
  // 100.64/10 is shared between a carrier's customers, and has one cloud's metadata service at 100.100.100.200.
  private: [
    '10.0.0.0/8',
    '172.16.0.0/12',
    '192.168.0.0/16',
    '100.64.0.0/10',
    '192.0.0.0/24',
    '198.18.0.0/15',
    'fc00::/7',
    'fec0::/10',
  ],
  reserved: ['224.0.0.0/4', '240.0.0.0/4', 'ff00::/8'],
}

/** Where registries of each kind may lead. A private one not to loopback: that is Shoal's own machine, not the registry's. */
const REACH: Readonly<Record<AddressClass, readonly AddressClass[]>> = {
  public: ['public'],
  private: ['public', 'private'],
  loopback: ['public', 'private', 'loopback'],
  'link-local': ['public', 'link-local'],
  reserved: ['public'],
}

const lists = Object.entries(RANGES).map(
  ([kind, ranges]) => [kind as AddressClass, blockList(ranges)] as const,
)

/** @param ip an address; anything else counts as reserved, where nobody may be led */
export function addressClass(ip: string): AddressClass {
  const bare = ip.split('%', 1)[0]!
  const family = isIP(bare)
  if (family === 0) return 'reserved'
  const inner = family === 6 ? embeddedIpv4(bare) : undefined
  if (inner !== undefined) return addressClass(inner)
  const found = lists.find(([, list]) => list.check(bare, family === 4 ? 'ipv4' : 'ipv6'))
  return found?.[0] ?? 'public'
}

export function mayLead(from: AddressClass, to: AddressClass): boolean {
  return REACH[from].includes(to)
}

/** The address that a URL names outright; undefined when it names a host. */
export function addressInUrl(url: URL): string | undefined {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  return isIP(host) === 0 ? undefined : host
}

/** IPv4 inside of IPv6: mapped (::ffff:0:0/96), NAT64 (64:ff9b::/96), 6to4 (2002::/16). */
function embeddedIpv4(ip: string): string | undefined {
  const groups = expand(ip)
  const quad = (high: number, low: number) => [high >> 8, high & 255, low >> 8, low & 255].join('.')
  const startsWith = (...prefix: number[]) => prefix.every((group, index) => groups[index] === group)
  if (startsWith(0, 0, 0, 0, 0, 0xffff) || startsWith(0x64, 0xff9b, 0, 0, 0, 0)) {
    return quad(groups[6]!, groups[7]!)
  }
  return startsWith(0x2002) ? quad(groups[1]!, groups[2]!) : undefined
}

function expand(ip: string): number[] {
  // A URL writes the last 32 bits as two groups, whatever form they came in.
  const written = new URL(`http://[${ip}]`).hostname.slice(1, -1)
  const [head, tail] = written.split('::') as [string, string?]
  const groups = (text: string | undefined) =>
    text ? text.split(':').map((group) => Number.parseInt(group, 16)) : []
  const front = groups(head)
  const back = groups(tail)
  return [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back]
}

function blockList(ranges: readonly string[]): BlockList {
  const list = new BlockList()
  for (const range of ranges) {
    const [net, prefix] = range.split('/') as [string, string]
    list.addSubnet(net, Number(prefix), isIP(net) === 4 ? 'ipv4' : 'ipv6')
  }
  return list
}

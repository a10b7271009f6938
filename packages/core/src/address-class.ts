/**
 * What kind of place an IP address is, and whose it is when something is counted by address. Pure.
 * Ranges: the IANA special-purpose address registries. `ipaddr.js` reads addresses.
 */
import ipaddr from 'ipaddr.js'

export type AddressClass = 'public' | 'private' | 'loopback' | 'link-local' | 'multicast' | 'reserved'

const RANGES: readonly (readonly [AddressClass, readonly string[]])[] = [
  ['loopback', ['127.0.0.0/8', '0.0.0.0/8', '::1/128', '::/128']],
  // Cloud machines find their credentials at 169.254.169.254.
  ['link-local', ['169.254.0.0/16', 'fe80::/10']],
  // The whole network at once.
  ['reserved', ['255.255.255.255/32']],
  // 240/4 is reserved, and where clouds have clusters' nodes and pods that find no other room.
  // 100.64/10 is shared between a carrier's customers, and has one cloud's metadata service at 100.100.100.200.
  [
    'private',
    [
      '10.0.0.0/8',
      '172.16.0.0/12',
      '192.168.0.0/16',
      '100.64.0.0/10',
      '192.0.0.0/24',
      '198.18.0.0/15',
      '240.0.0.0/4',
      'fc00::/7',
      'fec0::/10',
    ],
  ],
  ['multicast', ['224.0.0.0/4', 'ff00::/8']],
]

const ranges = RANGES.flatMap(([kind, texts]) =>
  texts.map((text) => [kind, ...ipaddr.parseCIDR(text)] as const),
)

/** @param ip an address; anything else counts as reserved, where nobody may be led */
export function addressClass(ip: string): AddressClass {
  const address = parse(ip)
  if (address === undefined) return 'reserved'
  const found = ranges.find(
    ([, network, bits]) => network.kind() === address.kind() && address.match(network, bits),
  )
  return found?.[0] ?? 'public'
}

/** Whether the text is an IP address, of either family and with or without a zone. */
export function isAddress(text: string): boolean {
  return parse(text) !== undefined
}

/** @returns the four or sixteen bytes of an address; undefined when the text is none */
export function addressBytes(text: string): Uint8Array | undefined {
  const address = parse(text)
  return address && Uint8Array.from(address.toByteArray())
}

/**
 * Under which name what comes from an address is counted: an IPv4 address itself, of an IPv6 address its /64, because who has
 * one address of such a network has all of them (RFC 4291, 2.5.4).
 */
export function addressKey(ip: string): string {
  const address = parse(ip)
  if (address === undefined) return ip
  if (address.kind() === 'ipv4') return address.toString()
  const network = address.toByteArray().fill(0, 8)
  return `${ipaddr.fromByteArray(network).toString()}/64`
}

/** An IPv4 address that is written inside of IPv6 is that address: mapped (::ffff:0:0/96), NAT64 (64:ff9b::/96), 6to4 (2002::/16). */
function parse(ip: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  const bare = ip.split('%', 1)[0]!
  // The parser also takes what only C libraries take for addresses: 0x7f.1, 127.1.
  if (!bare.includes(':') && !ipaddr.IPv4.isValidFourPartDecimal(bare)) return undefined
  if (!ipaddr.isValid(bare)) return undefined
  const address = ipaddr.parse(bare)
  if (!(address instanceof ipaddr.IPv6)) return address
  const bytes = address.toByteArray()
  const range = address.range()
  if (range === 'ipv4Mapped' || (range === 'rfc6052' && bytes[4] === 0 && bytes[5] === 0))
    return ipaddr.fromByteArray(bytes.slice(12))
  return range === '6to4' ? ipaddr.fromByteArray(bytes.slice(2, 6)) : address
}

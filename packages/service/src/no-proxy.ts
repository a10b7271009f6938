/**
 * What `NO_PROXY` excepts from going through a proxy. Pure.
 *
 * Nobody has specified it; what curl, Go's `net/http` and undici have in common is kept to. An entry is `*`, a name (the host and
 * all below it), `.name`, `*.name` (only what is below it), an address, or a network as `10.0.0.0/8`; each of them but a network
 * may have a port. Networks are for URLs that name an address: no name is looked up for them.
 */
import ipaddr from 'ipaddr.js'

/** The parts of a URL that decide. */
export interface ProxyTarget {
  /** `http:` or `https:` */
  readonly protocol: string
  /** Of a URL: an IPv6 address has its brackets. */
  readonly hostname: string
  /** Empty for the protocol's own. */
  readonly port: string
}

export interface NoProxyRule {
  /** As they were written. */
  readonly entries: readonly string[]
  covers(target: ProxyTarget): boolean
}

interface Bypass {
  readonly port: string
  readonly covers: (host: string) => boolean
}

const DEFAULT_PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' }
/** More is no list that anybody has written. */
const ENTRIES_MAX = 1_000

export function noProxyRule(text: string): NoProxyRule {
  const entries = text
    .split(/[,\s]+/)
    .filter((entry) => entry !== '')
    .slice(0, ENTRIES_MAX)
  const bypasses = entries.map(parseBypass)
  return { entries, covers: (target) => isBypassed(bypasses, target) }
}

function isBypassed(bypasses: readonly Bypass[], { protocol, hostname, port }: ProxyTarget): boolean {
  const host = hostname
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/(.)\.$/, '$1')
  const targetPort = port === '' ? DEFAULT_PORTS[protocol] : port
  return bypasses.some((bypass) => (bypass.port === '' || bypass.port === targetPort) && bypass.covers(host))
}

function parseBypass(entry: string): Bypass {
  const network = parseNetwork(entry)
  if (network !== undefined) return { port: '', covers: (host) => isIn(host, network) }
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(entry)
  // An IPv6 address without brackets has no port.
  const text = (match?.[1] ?? match?.[2] ?? entry).toLowerCase().replace(/(.)\.$/, '$1')
  const port = match?.[3] ?? ''
  if (text === '*') return { port, covers: () => true }
  const address = parseAddress(text)
  if (address !== undefined) return { port, covers: (host) => isIn(host, [address, wholeBits(address)]) }
  const isBelowOnly = text.startsWith('*.')
  const name = text.replace(/^\*?\./, '')
  return {
    port,
    covers: (host) => name !== '' && ((!isBelowOnly && host === name) || host.endsWith(`.${name}`)),
  }
}

type Address = ipaddr.IPv4 | ipaddr.IPv6

function isIn(host: string, [network, bits]: readonly [Address, number]): boolean {
  const address = parseAddress(host)
  return address !== undefined && address.kind() === network.kind() && address.match(network, bits)
}

function parseNetwork(entry: string): readonly [Address, number] | undefined {
  return ipaddr.isValidCIDR(entry) ? ipaddr.parseCIDR(entry) : undefined
}

function parseAddress(text: string): Address | undefined {
  // The parser also takes what only C libraries take for addresses: 0x7f.1, 127.1.
  if (!text.includes(':') && !ipaddr.IPv4.isValidFourPartDecimal(text)) return undefined
  return ipaddr.isValid(text) ? ipaddr.process(text) : undefined
}

function wholeBits(address: Address): number {
  return address.kind() === 'ipv4' ? 32 : 128
}

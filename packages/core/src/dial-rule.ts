/**
 * Where the others of a cluster may lead this service. Pure.
 *
 * Agents say where they are, and others go there: an address that one of them made up must not lead to what only this
 * machine reaches, to where clouds keep credentials, to everybody at once, or back here. Private addresses are where
 * clusters live; whoever may reach them is the network's business.
 */
import { type AddressClass, addressClass, isAddress } from './address-class.ts'
import { isHostName } from './host-name.ts'
import { type HostPort, isLoopback, isWildcard } from './host-port.ts'

/** @param ip an address; names are looked up first, and what comes out is asked about */
export type MayDial = (ip: string, port: number) => boolean

const EVERYWHERE: readonly AddressClass[] = ['public', 'private']
/** Only where the service itself is among those who are there. */
const AT_HOME: readonly (AddressClass | undefined)[] = ['loopback', 'link-local']

/**
 * @param homes hosts at which this service listens, and of services that were found on this machine: a demo all on loopback
 * stays there
 * @param own where this service itself is found
 */
export function mayDialFrom(homes: readonly string[], own: () => readonly HostPort[] = () => []): MayDial {
  const classes = new Set<AddressClass | undefined>([
    ...EVERYWHERE,
    ...homes.map(classOfHost).filter((kind) => AT_HOME.includes(kind)),
  ])
  return (ip, port) =>
    classes.has(addressClass(ip)) && !own().some((here) => here.port === port && here.host === ip)
}

/**
 * Whether others may be told that an agent is at a host.
 * @param remoteHost the address that the agent's own connection comes from
 */
export function mayAnnounce(host: string, remoteHost: string): boolean {
  // Without its zone, which means nothing elsewhere, such an address cannot be dialled.
  if (host.includes('%') || isUnspecified(host)) return false
  const kind = classOfHost(host)
  if (kind === undefined) return isHostName(host)
  return EVERYWHERE.includes(kind) || (AT_HOME.includes(kind) && kind === addressClass(remoteHost))
}

/** Undefined for a name that has to be looked up. */
function classOfHost(host: string): AddressClass | undefined {
  if (isWildcard(host)) return undefined
  // Systems answer for `localhost` and what is below it without asking anybody (RFC 6761, 6.3).
  if (isLoopback(host) || /(?:^|\.)localhost$/i.test(host)) return 'loopback'
  return isAddress(host) ? addressClass(host) : undefined
}

/** The whole of 0.0.0.0/8 leads here, as `::` does. */
function isUnspecified(host: string): boolean {
  return isWildcard(host) || (isAddress(host) && /^(?:::ffff:)?0+\./i.test(host))
}

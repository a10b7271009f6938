/** Dials a peer of whom somebody told: the one place where agents connect to what they were told of. */
import { connect, type LookupFunction, type Socket } from 'node:net'
import { isAddress, isHostName, type MayDial } from '@shoal/core'
import { peerLookup } from './peer-lookup.ts'

/**
 * @returns a socket whose end is heard of through `close`; undefined where nobody may be led
 */
export function connectPeer(
  { host, port }: { readonly host: string; readonly port: number },
  mayDial: MayDial,
): Socket | undefined {
  const isAllowed = isAddress(host) ? mayDial(host, port) : isHostName(host)
  if (!isAllowed) return undefined
  const socket = connect({ host, port, lookup: peerLookup(mayDial, port) })
  // An error without a listener would end the process; `close` follows it.
  socket.on('error', () => {})
  return socket
}

/** The addresses of a peer that may be dialled, for an engine that dials by itself. */
export function dialableAddresses(
  { host, port }: { readonly host: string; readonly port: number },
  mayDial: MayDial,
): Promise<readonly string[]> {
  if (isAddress(host)) return Promise.resolve(mayDial(host, port) ? [host] : [])
  if (!isHostName(host)) return Promise.resolve([])
  const lookup: LookupFunction = peerLookup(mayDial, port)
  return new Promise((resolve) =>
    lookup(host, { all: true }, (error, addresses) =>
      resolve(error !== null || typeof addresses === 'string' ? [] : addresses.map(({ address }) => address)),
    ),
  )
}

/** `host:port` as people write it. Pure. */

export interface HostPort {
  /** Without brackets. */
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
}

const GRAMMAR = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/

/** @returns undefined when `text` is not `host:port` or `[IPv6]:port` */
export function parseHostPort(text: string): HostPort | undefined {
  const match = GRAMMAR.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65_535) return undefined
  return { host: (match[1] ?? match[2])!, port }
}

export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** Whether a service that listens there listens on every address of its machine. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

/** Whether only programs on the same machine reach what listens there. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

/**
 * The address to tell somebody else: of a service that listens on every address, the one that has worked.
 * @param dialledHost the own address of a connection that the other side has opened, if known
 */
export function reachableHost(listenHost: string, dialledHost: string | undefined): string {
  return isWildcard(listenHost) ? (dialledHost ?? listenHost).replace(/^::ffff:/, '') : listenHost
}

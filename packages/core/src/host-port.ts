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

/** Where a health check asks. Pure. */
import { DEFAULT_LISTEN, formatHostPort, isWildcard, parseHostPort, type ServiceName } from '@shoal/core'
import { ListenUnusableError } from './errors.ts'

export interface WhereInit {
  readonly service: ServiceName | undefined
  /** SHOAL_LISTEN */
  readonly variable: string | undefined
  /** `listen` in the YAML file. */
  readonly configured: unknown
}

/**
 * @returns `host:port`, one, or both defaults where nothing says which service it is
 * @throws ListenUnusableError
 */
export function addressesToAsk({ service, variable, configured }: WhereInit): string[] {
  // As for the services: an empty variable counts as not set.
  if (variable) return [reachable(variable, 'SHOAL_LISTEN')]
  if (configured !== undefined) return [reachable(String(configured), 'listen in the configuration file')]
  return service === undefined ? Object.values(DEFAULT_LISTEN) : [DEFAULT_LISTEN[service]]
}

/** Who listens on every address is asked on loopback. */
function reachable(listen: string, source: string): string {
  const address = parseHostPort(listen)
  if (address === undefined || address.port === 0) throw new ListenUnusableError(listen, source)
  const { host, port } = address
  if (!isWildcard(host)) return listen
  return formatHostPort({ host: host === '::' ? '::1' : '127.0.0.1', port })
}

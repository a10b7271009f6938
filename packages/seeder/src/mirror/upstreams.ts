/** The registries that may be mirrored, and a client for each: a registry that is not among them is never asked. */
import { canonicalHost, splitMirroredName, type UpstreamEntry } from '@shoal/oci'
import { type Credentials, EcrLogins, UpstreamClient, upstreamAddress } from '@shoal/registry-client'
import type { Proxies } from '@shoal/service'
import type { Logger } from 'pino'

export interface UpstreamsParts {
  readonly credentials: Credentials
  readonly nowMs: () => number
  readonly log: Logger
  readonly proxies?: Proxies
}

export interface UpstreamsInit {
  readonly entries: readonly UpstreamEntry[]
  /** By registry, token servers on other domains that may see its credentials. */
  readonly realmHosts: ReadonlyMap<string, readonly string[]>
}

/** A repository of a registry that may be asked. */
export interface UpstreamRepository {
  /** Under which it is kept here: `docker.io/library/nginx`. */
  readonly name: string
  readonly host: string
  /** As that registry calls it. */
  readonly repository: string
  readonly client: UpstreamClient
}

export class Upstreams {
  readonly #clients = new Map<string, UpstreamClient>()

  /** @throws UpstreamAddressInvalidError */
  constructor(parts: UpstreamsParts, init: UpstreamsInit) {
    const ecr = new EcrLogins(parts)
    for (const { host, url } of init.entries) {
      const address = upstreamAddress(host, url)
      const trustedRealmHosts = init.realmHosts.get(address.host) ?? []
      const client = new UpstreamClient({ ...parts, ecr }, { address, trustedRealmHosts })
      this.#clients.set(address.host, client)
    }
  }

  get hosts(): readonly string[] {
    return [...this.#clients.keys()]
  }

  client(host: string): UpstreamClient | undefined {
    return this.#clients.get(canonicalHost(host))
  }

  /** @returns undefined when the name is not that of a repository of one of these registries */
  find(name: string): UpstreamRepository | undefined {
    const split = splitMirroredName(name)
    const client = split && this.#clients.get(split.host)
    return client && { name, ...split, client }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.close()))
  }
}

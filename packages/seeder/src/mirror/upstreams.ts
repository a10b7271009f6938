/** The registries that may be mirrored, and a client for each: a registry that is not among them is never asked. */
import { canonicalHost, splitMirroredName, type UpstreamEntry } from '@shoal/oci'
import { type Credentials, EcrLogins, UpstreamClient, upstreamAddress } from '@shoal/registry/client'
import type { Logger } from 'pino'

export interface UpstreamsParts {
  readonly credentials: Credentials
  readonly nowMs: () => number
  readonly log: Logger
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
  constructor({ credentials, nowMs, log }: UpstreamsParts, entries: readonly UpstreamEntry[]) {
    const ecr = new EcrLogins({ nowMs })
    for (const { host, url } of entries) {
      const address = upstreamAddress(host, url)
      this.#clients.set(address.host, new UpstreamClient({ credentials, nowMs, log, ecr }, { address }))
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

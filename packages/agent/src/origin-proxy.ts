/**
 * The way to the origin's presigned URLs through an HTTP proxy, where `HTTP_PROXY` and the like say so. The seeder and other
 * agents are asked directly, whatever is set: they are neighbours, and the swarms' connections take no proxy either.
 */
import { HttpClient, type Proxies } from '@shoal/service'

export interface OriginProxyInit {
  readonly seederUrl: string
  readonly connectionsMax: number
  readonly idleTimeoutMs: number
}

const CONNECT_TIMEOUT_MS = 5_000

export class OriginProxy {
  readonly #proxies: Proxies
  readonly #init: OriginProxyInit
  readonly #seederOrigin: string
  readonly #clients = new Map<string, HttpClient>()

  constructor(parts: { readonly proxies: Proxies }, init: OriginProxyInit) {
    this.#proxies = parts.proxies
    this.#init = init
    this.#seederOrigin = new URL(init.seederUrl).origin
  }

  /** @returns undefined where no proxy is on the way */
  clientFor(url: string | URL): HttpClient | undefined {
    const target = new URL(url)
    const proxy = target.origin === this.#seederOrigin ? undefined : this.#proxies.proxyFor(target)
    if (proxy === undefined) return undefined
    const known = this.#clients.get(proxy)
    if (known !== undefined) return known
    const { connectionsMax, idleTimeoutMs } = this.#init
    const made = new HttpClient({
      proxy,
      connectionsMax,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      headersTimeoutMs: idleTimeoutMs,
      bodyIdleTimeoutMs: idleTimeoutMs,
    })
    // One for each protocol at most.
    this.#clients.set(proxy, made)
    return made
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.close()))
  }
}

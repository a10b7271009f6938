/**
 * The way to the origin's presigned URLs through an HTTP proxy, where `HTTP_PROXY` and the like say so. The seeder and other
 * agents are asked directly, whatever is set: they are neighbours, and the swarms' connections take no proxy either.
 */
import { type Proxies, proxyDispatcher } from '@shoal/service'
import type { Dispatcher } from 'undici'

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
  readonly #dispatchers = new Map<string, Dispatcher>()

  constructor(parts: { readonly proxies: Proxies }, init: OriginProxyInit) {
    this.#proxies = parts.proxies
    this.#init = init
    this.#seederOrigin = new URL(init.seederUrl).origin
  }

  /** @returns undefined where no proxy is on the way */
  dispatcherFor(url: string | URL): Dispatcher | undefined {
    const target = new URL(url)
    const proxy = target.origin === this.#seederOrigin ? undefined : this.#proxies.proxyFor(target)
    if (proxy === undefined) return undefined
    const known = this.#dispatchers.get(proxy)
    if (known !== undefined) return known
    const { connectionsMax, idleTimeoutMs } = this.#init
    const made = proxyDispatcher({
      proxy,
      connectionsMax,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      headersTimeoutMs: idleTimeoutMs,
      bodyIdleTimeoutMs: idleTimeoutMs,
    })
    // One for each protocol at most.
    this.#dispatchers.set(proxy, made)
    return made
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#dispatchers.values()].map((dispatcher) => dispatcher.destroy()))
  }
}

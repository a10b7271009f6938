/**
 * Connections through an HTTP proxy: a tunnel (CONNECT) for https, requests with the whole URL for http. The proxy looks names
 * up. undici's own files, loaded where a proxy is used: its types are those of its public interface.
 */
import { createRequire } from 'node:module'
import type { SecureContext } from 'node:tls'
import type { Dispatcher, Pool, ProxyAgent } from 'undici'

export interface ProxyConnectionsInit {
  /** With its user and password. */
  readonly proxy: string
  /** To one host. */
  readonly connectionsMax: number
  /** To the proxy, for its answer to CONNECT, and for the handshake behind it: each. */
  readonly connectTimeoutMs: number
  readonly headersTimeoutMs: number
  readonly bodyIdleTimeoutMs: number
  /** What the other side is trusted by; of the proxy itself too, where it is asked over https. */
  readonly secureContext?: SecureContext
}

const requireFile = createRequire(import.meta.url)

export function proxyDispatcher(init: ProxyConnectionsInit): Dispatcher {
  const HttpProxyAgent: typeof ProxyAgent = requireFile('undici/lib/dispatcher/proxy-agent.js')
  const HttpPool: typeof Pool = requireFile('undici/lib/dispatcher/pool.js')
  // What undici's own entry point gives to every dispatcher; the proxy's agent needs it.
  const connect: Dispatcher['connect'] = requireFile('undici/lib/api/api-connect.js')
  const { proxy, connectionsMax, connectTimeoutMs, headersTimeoutMs, bodyIdleTimeoutMs, secureContext } = init
  const tls = secureContext === undefined ? {} : { secureContext }
  const limits = {
    connections: connectionsMax,
    headersTimeout: headersTimeoutMs,
    bodyTimeout: bodyIdleTimeoutMs,
    // As without a proxy: one body at a time on a connection.
    allowH2: false,
  }
  return new HttpProxyAgent({
    uri: proxy,
    ...limits,
    connectTimeout: connectTimeoutMs,
    requestTls: tls,
    proxyTls: tls,
    // A proxy that takes connections and answers nothing is found out like a host that does not answer.
    clientFactory: (origin, options) =>
      Object.assign(new HttpPool(origin, { ...options, headersTimeout: connectTimeoutMs, allowH2: false }), {
        connect,
      }),
    factory: (origin, options) => new HttpPool(origin, { ...limits, ...options }),
  })
}

/** The status with which a proxy refused to go on: undici says it in the text of its errors alone. */
export function proxyRefusal(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined
  const status =
    /^Proxy response \((\d{3})\)/.exec(error.message)?.[1] ??
    /^Proxy Authentication Required \((407)\)/.exec(error.message)?.[1]
  return status === undefined ? undefined : Number(status)
}

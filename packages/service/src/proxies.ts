/**
 * Which HTTP proxy leads to a URL, as `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say it, in lower case first. Pure.
 * As curl has it, each protocol has its own and neither stands in for the other.
 */

import type { Logger } from 'pino'
import { noProxyRule } from './no-proxy.ts'

export interface Proxies {
  /** The URL of the proxy, with its user and password; undefined where there is none on the way. */
  proxyFor(target: URL): string | undefined
  readonly shown: ShownProxies
}

/** For logs: without user and password. */
export interface ShownProxies {
  readonly http?: string
  readonly https?: string
  readonly noProxy: readonly string[]
  /** What is set and cannot be used, and why: it is as if it were not set. */
  readonly problems: readonly string[]
}

export const NO_PROXIES: Proxies = {
  proxyFor: () => undefined,
  shown: { noProxy: [], problems: [] },
}

export function proxiesOf(environment: { readonly [name: string]: string | undefined }): Proxies {
  const problems: string[] = []
  const read = (name: string) => environment[name.toLowerCase()] || environment[name] || ''
  const proxyOf = (name: string) => {
    const text = read(name).trim()
    const url = parseProxy(text)
    if (text !== '' && url === undefined)
      problems.push(`${name} is no http:// or https:// URL of a proxy; it is not used`)
    return url
  }
  const http = proxyOf('HTTP_PROXY')
  const https = proxyOf('HTTPS_PROXY')
  const noProxy = noProxyRule(read('NO_PROXY'))
  return {
    proxyFor(target) {
      const proxy = target.protocol === 'http:' ? http : https
      return proxy === undefined || noProxy.covers(target) ? undefined : proxy.href
    },
    shown: {
      ...(http !== undefined && { http: shownProxy(http) }),
      ...(https !== undefined && { https: shownProxy(https) }),
      noProxy: noProxy.entries,
      problems,
    },
  }
}

/** Where a proxy is, and nothing that is secret. */
export function shownProxy(proxy: URL): string {
  return proxy.origin
}

function parseProxy(text: string): URL | undefined {
  const whole = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`
  if (text === '' || !URL.canParse(whole)) return undefined
  const url = new URL(whole)
  const isUsable = (url.protocol === 'http:' || url.protocol === 'https:') && isDecodable(url)
  return isUsable ? url : undefined
}

/** A `%` that is none of its own in a password is a mistake that would come up with the first request. */
function isDecodable({ username, password }: URL): boolean {
  try {
    decodeURIComponent(`${username}${password}`)
    return true
  } catch {
    return false
  }
}

/** Said once, when a service starts: whoever set a proxy sees that it is kept to, and nobody sees its password. */
export function logProxies({ shown }: Proxies, log: Pick<Logger, 'info' | 'warn'>): void {
  const { problems, ...proxies } = shown
  for (const problem of problems) log.warn({ event: 'proxy-unusable', problem }, 'a proxy cannot be used')
  if (proxies.http === undefined && proxies.https === undefined) return
  log.info({ event: 'proxy', ...proxies }, 'connections that lead out take a proxy')
}

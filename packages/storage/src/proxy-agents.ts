/** What has the AWS SDK go through an HTTP proxy: Node's own agents, which can. (It looks at no `HTTPS_PROXY` by itself.) */
import type { Agent } from 'node:http'
import type { Agent as TlsAgent } from 'node:https'

// An `import` evaluates all exports of `node:http`, and with them Node's own WebSocket and fetch: 8 MB of an idle process.
const http = process.getBuiltinModule('node:http')
const https = process.getBuiltinModule('node:https')

/** As many as the SDK itself has to one host. */
const SOCKETS_MAX = 50

/**
 * For `requestHandler` of a client all of whose requests go there.
 * @param proxy with its user and password
 */
export function proxyAgents(proxy: string): { readonly httpAgent: Agent; readonly httpsAgent: TlsAgent } {
  const options = {
    keepAlive: true,
    maxSockets: SOCKETS_MAX,
    // Whether this host is one that goes through it was decided before.
    proxyEnv: { HTTP_PROXY: proxy, HTTPS_PROXY: proxy, NO_PROXY: '' },
  }
  return { httpAgent: new http.Agent(options), httpsAgent: new https.Agent(options) }
}

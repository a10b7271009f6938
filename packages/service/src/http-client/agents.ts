/**
 * The agents of Node that keep a client's connections, directly or through a proxy; every way to a connection has an end.
 *
 * The modules are taken with `getBuiltinModule`: an `import` of `node:http` evaluates all of its exports, and with them Node's own
 * WebSocket and fetch, which take 8 MB of an idle process.
 */
import type { Agent, AgentOptions } from 'node:http'
import type { LookupFunction, Socket } from 'node:net'
import type { SecureContext, TLSSocket } from 'node:tls'
import { HttpTimeoutError, ProxyRefusedError } from './errors.ts'

const http = process.getBuiltinModule('node:http')
const https = process.getBuiltinModule('node:https')
const net = process.getBuiltinModule('node:net')
const tls = process.getBuiltinModule('node:tls')

/** A connection that nothing was asked on for so long is closed, earlier where the server has said so. */
const IDLE_MS = 30_000

export interface AgentInit {
  /** To each host. */
  readonly connectionsMax: number
  /** For the connection and its handshake; through a proxy also for its answer to CONNECT: each. */
  readonly connectTimeoutMs: number
  readonly lookup?: LookupFunction
  /** What the other side is trusted by; of the proxy itself too, where it is asked over https. */
  readonly secureContext?: SecureContext
  readonly proxy?: HttpProxy
}

/** A proxy that is gone through. */
export interface HttpProxy {
  readonly url: URL
  readonly authorization: string | undefined
}

/** @param proxy with its user and password */
export function parseProxy(proxy: string): HttpProxy {
  const url = new URL(proxy)
  const { username, password } = url
  if (username === '' && password === '') return { url, authorization: undefined }
  const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return { url, authorization: `Basic ${Buffer.from(login).toString('base64')}` }
}

type Open = NonNullable<Agent['createConnection']>

export function agentFor(protocol: string, init: AgentInit): Agent {
  const { connectionsMax, connectTimeoutMs, lookup, secureContext, proxy } = init
  const options: AgentOptions & { lookup?: LookupFunction; secureContext?: SecureContext } = {
    keepAlive: true,
    maxSockets: connectionsMax,
    timeout: IDLE_MS,
    ...(lookup !== undefined && proxy === undefined && { lookup }),
    ...(secureContext !== undefined && { secureContext }),
  }
  const isSecure = protocol === 'https:'
  const agent = isSecure ? new https.Agent(options) : new http.Agent(options)
  const open = agent.createConnection.bind(agent)
  if (proxy === undefined) agent.createConnection = directly(open, isSecure, connectTimeoutMs)
  else if (isSecure) agent.createConnection = throughTunnel(proxy, init)
  else agent.createConnection = () => toProxy(proxy, init)
  return agent
}

function directly(open: Open, isSecure: boolean, connectTimeoutMs: number): Open {
  return (options, callback) => {
    const socket = open(options, callback) as Socket
    return bounded(socket, isSecure ? 'secureConnect' : 'connect', `${options.host}`, connectTimeoutMs)
  }
}

function toProxy({ url }: HttpProxy, { connectTimeoutMs, secureContext }: AgentInit): Socket {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  if (url.protocol === 'http:') {
    const socket = net.connect({ host, port: Number(url.port || 80) })
    return bounded(socket, 'connect', url.host, connectTimeoutMs)
  }
  const servername = net.isIP(host) === 0 ? { servername: host } : {}
  const options = {
    host,
    port: Number(url.port || 443),
    ...servername,
    ...(secureContext && { secureContext }),
  }
  return bounded(tls.connect(options), 'secureConnect', url.host, connectTimeoutMs)
}

/** RFC 9110, 9.3.6: the proxy is asked for a connection to the host, and the handshake is with the host. */
function throughTunnel(proxy: HttpProxy, init: AgentInit): Open {
  return (options, callback) => {
    const host = String(options.host)
    openTunnel(proxy, `${host.includes(':') ? `[${host}]` : host}:${options.port ?? 443}`, init).then(
      (tunnel) => {
        const { servername, secureContext } = options as {
          servername?: string
          secureContext?: SecureContext
        }
        const socket: TLSSocket = tls.connect({
          socket: tunnel,
          ...(servername !== undefined && { servername }),
          ...(secureContext !== undefined && { secureContext }),
        })
        bounded(socket, 'secureConnect', host, init.connectTimeoutMs)
        const fail = (error: Error) => callback?.(error, socket)
        socket.once('error', fail)
        socket.once('secureConnect', () => {
          socket.off('error', fail)
          callback?.(null, socket)
        })
      },
      (error: Error) => callback?.(error, undefined as never),
    )
    return undefined
  }
}

function openTunnel(proxy: HttpProxy, target: string, init: AgentInit): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const asked = http.request({
      method: 'CONNECT',
      path: target,
      headers: { host: target, ...(proxy.authorization && { 'proxy-authorization': proxy.authorization }) },
      createConnection: () => toProxy(proxy, init),
    })
    const { connectTimeoutMs } = init
    const giveUp = () => asked.destroy(new HttpTimeoutError(proxy.url.host, 'headers', connectTimeoutMs))
    // The connection has a limit of its own before; what is left is its answer.
    const timer = setTimeout(giveUp, 2 * connectTimeoutMs)
    asked.once('connect', ({ statusCode = 0 }, socket: Socket) => {
      clearTimeout(timer)
      if (statusCode === 200) return resolve(socket)
      socket.destroy()
      reject(new ProxyRefusedError(target, statusCode))
    })
    asked.once('close', () => clearTimeout(timer))
    asked.on('error', reject)
    asked.end()
  })
}

function bounded<T extends Socket>(
  socket: T,
  standsWith: 'connect' | 'secureConnect',
  host: string,
  connectTimeoutMs: number,
): T {
  const giveUp = () => socket.destroy(new HttpTimeoutError(host, 'connect', connectTimeoutMs))
  const timer = setTimeout(giveUp, connectTimeoutMs)
  const stop = () => clearTimeout(timer)
  socket.once(standsWith, stop).once('close', stop)
  return socket
}

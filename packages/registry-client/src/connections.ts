/**
 * Sends single requests to a registry and to the hosts that it names; the only place that opens sockets. What the answers
 * mean is decided elsewhere. Through a proxy, names are looked up by that: where its own rules let it go is its operator's choice,
 * and a registry that is reached through it counts as public, so that none of its answers leads to a private address.
 */
import { type LookupAddress, lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'
import { type AddressClass, addressClass } from '@shoal/core'
import {
  discardAnswer,
  type HttpAnswer,
  HttpClient,
  HttpTimeoutError,
  isTransportFailure,
  NO_PROXIES,
  type Proxies,
  ProxyRefusedError,
  readShortBody,
  shownProxy,
} from '@shoal/service'
import type { UpstreamAddress } from './address.ts'
import {
  UpstreamClosedError,
  UpstreamError,
  UpstreamInvalidError,
  UpstreamRedirectRefusedError,
  UpstreamUnavailableError,
} from './errors.ts'
import type { UpstreamLimits } from './limits.ts'
import { addressInUrl, mayLead } from './may-lead.ts'

export interface UpstreamRequest {
  readonly method: 'GET' | 'HEAD' | 'POST'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** Blobs have connections of their own. */
  readonly lane: 'talk' | 'blob'
  readonly signal: AbortSignal
}

export interface UpstreamAnswer extends HttpAnswer {
  readonly url: URL
  discard(): Promise<void>
}

export interface UpstreamTls {
  /** Certificates to trust beside the system's, as PEM: a company's own authority. */
  readonly ca: string
}

export class UpstreamConnections {
  readonly #upstream: string
  readonly #origin: string
  readonly #own: Record<UpstreamRequest['lane'], HttpClient>
  readonly #elsewhere: Record<UpstreamRequest['lane'], HttpClient>
  /** By lane and proxy, made with the first request that takes it. */
  readonly #proxied = new Map<string, HttpClient>()
  readonly #trust: { readonly secureContext?: SecureContext }
  /** Of the registry itself: from its URL, or where its name last led. */
  #class: AddressClass
  readonly #closed = new AbortController()

  readonly limits: UpstreamLimits
  readonly #proxies: Proxies

  constructor(
    address: UpstreamAddress,
    limits: UpstreamLimits,
    tls: UpstreamTls | undefined,
    proxies: Proxies = NO_PROXIES,
  ) {
    this.limits = limits
    this.#proxies = proxies
    const url = new URL(address.url)
    const literal = addressInUrl(url)
    this.#upstream = address.host
    this.#origin = url.origin
    this.#class = literal === undefined ? 'public' : addressClass(literal)
    // Made once: taking all of the system's authorities anew for each connection would cost more than the handshake.
    const trust =
      tls === undefined
        ? {}
        : { secureContext: createSecureContext({ ca: [...getCACertificates('default'), tls.ca] }) }
    this.#trust = trust
    const client = (lane: UpstreamRequest['lane'], lookupOf: LookupFunction) =>
      new HttpClient({ ...laneLimits(lane, limits), lookup: lookupOf, ...trust })
    const lanes = (lookupOf: LookupFunction) => ({
      talk: client('talk', lookupOf),
      blob: client('blob', lookupOf),
    })
    this.#own = lanes(this.#lookUpRegistry)
    this.#elsewhere = lanes(this.#lookUpElsewhere)
  }

  /**
   * @throws UpstreamUnavailableError · UpstreamRedirectRefusedError when the host is one where the registry may not lead
   * @throws the signal's reason when it aborts
   */
  async request({ method, url, headers, body, lane, signal }: UpstreamRequest): Promise<UpstreamAnswer> {
    const isOwn = this.isOwn(url)
    const proxy = this.#proxies.proxyFor(url)
    // What a name means is the proxy's to know; that this one is a machine's own, whichever, needs no looking up.
    const literal = addressInUrl(url) ?? (proxy !== undefined && isLocalName(url) ? '127.0.0.1' : undefined)
    if (!isOwn && literal !== undefined) this.#expectReach(url.hostname, [literal])
    const own = (isOwn ? this.#own : this.#elsewhere)[lane]
    const client = proxy === undefined ? own : this.#through(proxy, lane)
    const both = AbortSignal.any([signal, this.#closed.signal])
    both.throwIfAborted()
    try {
      const answer = await client.request(url, {
        method,
        headers: { 'user-agent': 'shoal', 'accept-encoding': 'identity', ...headers },
        signal: both,
        ...(body === undefined ? {} : { body }),
      })
      return { ...answer, url, discard: () => discardAnswer(answer) }
    } catch (error) {
      if (proxy === undefined) throw this.failure(error, both, `no answer from ${url.host}`)
      const shown = shownProxy(new URL(proxy))
      if (!(error instanceof ProxyRefusedError) || both.aborted)
        throw this.failure(error, both, `no answer from ${url.host} through the proxy ${shown}`)
      const { status: refusal } = error
      const remedy = refusal === 407 ? 'check its user and password' : 'check what it lets through'
      throw new UpstreamUnavailableError(
        this.#upstream,
        `the proxy ${shown} refused to go to ${url.host} (status ${refusal}); ${remedy}`,
        { cause: error, isPassing: refusal >= 500 },
      )
    }
  }

  /** Whether a URL is of the registry itself, port and all. */
  isOwn(url: URL): boolean {
    return url.origin === this.#origin
  }

  /** How to speak of a URL: the path of a foreign host may be a secret, as may every query. */
  placeOf(url: URL): string {
    return this.isOwn(url) ? url.pathname : `what it keeps at ${url.host}`
  }

  /** What to throw instead of an error of the transport. */
  failure(error: unknown, signal: AbortSignal, what: string): unknown {
    if (signal.aborted) return signal.reason
    if (error instanceof UpstreamError) return error
    if (!isTransportFailure(error)) return error
    const code = codeOf(error)
    // A time-out has cost its time already; asking again would double it.
    const isPassing = !(error instanceof HttpTimeoutError) || error.phase === 'connect'
    return new UpstreamUnavailableError(
      this.#upstream,
      `${what} (${code ?? 'connection failed'}); check that it can be reached from here`,
      { cause: error, isPassing },
    )
  }

  /**
   * Reads a small body.
   * @throws UpstreamInvalidError as soon as more than `bytesMax` are announced or received
   */
  async collect(answer: UpstreamAnswer, bytesMax: number, signal: AbortSignal): Promise<Buffer> {
    const bytes = await readShortBody(answer, bytesMax).catch((error: unknown) => {
      throw this.failure(error, signal, `the answer of ${answer.url.host} was cut`)
    })
    if (bytes !== undefined) return bytes
    throw new UpstreamInvalidError(
      this.#upstream,
      `${this.placeOf(answer.url)} is longer than the ${bytesMax} bytes that are allowed`,
    )
  }

  /** Cuts what is under way. */
  async close(): Promise<void> {
    this.#closed.abort(new UpstreamClosedError(this.#upstream))
    const clients = [this.#own.talk, this.#own.blob, this.#elsewhere.talk, this.#elsewhere.blob]
    await Promise.all([...clients, ...this.#proxied.values()].map((client) => client.close()))
  }

  #through(proxy: string, lane: UpstreamRequest['lane']): HttpClient {
    const key = `${lane} ${proxy}`
    const known = this.#proxied.get(key)
    if (known !== undefined) return known
    const made = new HttpClient({ proxy, ...laneLimits(lane, this.limits), ...this.#trust })
    this.#proxied.set(key, made)
    return made
  }

  #expectReach(host: string, addresses: readonly string[]): void {
    const refused = addresses.find((address) => !mayLead(this.#class, addressClass(address)))
    if (refused === undefined) return
    throw new UpstreamRedirectRefusedError(
      this.#upstream,
      `it leads to ${host}, a ${addressClass(refused)} address, which is not followed from a ${this.#class} registry`,
    )
  }

  readonly #lookUpRegistry = guardedLookup((_host, addresses) => {
    this.#class = addresses.map(addressClass).find((kind) => kind !== 'public') ?? 'public'
  })

  // The address that was checked is the one that is connected to: a name cannot change its mind in between.
  readonly #lookUpElsewhere = guardedLookup((host, addresses) => this.#expectReach(host, addresses))
}

/** The system's own lookup, with a look at all of its results before any is used. */
function guardedLookup(check: (host: string, addresses: readonly string[]) => void): LookupFunction {
  return (host, options, callback) => {
    lookup(host, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
      if (error !== null) return callback(error, '')
      try {
        check(
          host,
          addresses.map(({ address }) => address),
        )
      } catch (refusal) {
        return callback(refusal as NodeJS.ErrnoException, '')
      }
      const [first] = addresses
      if (options.all === true) callback(null, addresses)
      else callback(null, first!.address, first!.family)
    })
  }
}

/** Of either way to a host, direct or through a proxy. */
function laneLimits(lane: UpstreamRequest['lane'], limits: UpstreamLimits) {
  const { connectTimeoutMs, headersTimeoutMs, blobConnectionsMax, blobIdleTimeoutMs } = limits
  const { connectionsMax, bodyIdleTimeoutMs } = limits
  return lane === 'blob'
    ? {
        connectTimeoutMs,
        headersTimeoutMs,
        connectionsMax: blobConnectionsMax,
        bodyIdleTimeoutMs: blobIdleTimeoutMs,
      }
    : { connectTimeoutMs, headersTimeoutMs, connectionsMax, bodyIdleTimeoutMs }
}

function isLocalName({ hostname }: URL): boolean {
  return /(?:^|\.)localhost\.?$/i.test(hostname)
}

function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

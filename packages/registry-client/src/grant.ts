/**
 * Obtains what a challenge asks for: a bearer token from the token server, or the header of Basic.
 * Distribution's token authentication specification, both ways: GET with Basic, and the OAuth2 POST with a refresh token.
 */
import type { UpstreamAddress } from './address.ts'
import type { Challenge } from './challenge.ts'
import type { UpstreamAnswer, UpstreamConnections } from './connections.ts'
import type { Credential } from './credential.ts'
import {
  UpstreamBusyError,
  UpstreamDeniedError,
  UpstreamInvalidError,
  UpstreamRealmRefusedError,
  UpstreamUnavailableError,
} from './errors.ts'
import { parseJsonObject } from './json-object.ts'
import { readRetryAtMs } from './rate-limit.ts'
import { checkRealm } from './realm.ts'

/** What may be sent with requests, and until when. */
export interface Grant {
  /** The value of `Authorization`. */
  readonly authorization: string
  readonly expiresAtMs: number
}

export interface GrantRequest {
  readonly challenge: Challenge
  readonly scope: string
  readonly credential: Exclude<Credential, { readonly ecr: unknown }> | undefined
  readonly registry: UpstreamAddress
  readonly trustedRealmHosts: readonly string[]
  readonly connections: UpstreamConnections
  readonly nowMs: () => number
  readonly signal: AbortSignal
}

/** The specification's default for a token that does not say. */
const LIFETIME_SECONDS_DEFAULT = 60
/** So that a token does not expire on its way. */
const MARGIN_MS_MAX = 10_000
/** After this the credentials are looked at again: files rotate. */
const BASIC_LIFETIME_MS = 60_000

/** @throws UpstreamError */
export function obtainGrant(request: GrantRequest): Promise<Grant> {
  return request.challenge.scheme === 'basic' ? basicGrant(request) : bearerGrant(request)
}

/** The challenge to answer: a token rather than a password, if there is a choice. */
export function chooseChallenge(challenges: readonly Challenge[]): Challenge | undefined {
  return (
    challenges.find(({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm')) ??
    challenges.find(({ scheme }) => scheme === 'basic')
  )
}

async function basicGrant({ credential, registry, nowMs }: GrantRequest): Promise<Grant> {
  if (credential === undefined) {
    throw new UpstreamDeniedError(registry.host, 'it wants a login; configure a user and a password for it')
  }
  if (!('username' in credential)) {
    throw new UpstreamDeniedError(
      registry.host,
      'it wants a user and a password, and an identity token is configured; configure those instead',
    )
  }
  return { authorization: basic(credential), expiresAtMs: nowMs() + BASIC_LIFETIME_MS }
}

async function bearerGrant(request: GrantRequest): Promise<Grant> {
  const { challenge, registry, credential, connections, signal } = request
  const realm = await checkRealm({
    realm: challenge.parameters.get('realm') ?? '',
    registry,
    hasCredentials: credential !== undefined,
    trustedHosts: request.trustedRealmHosts,
  })
  const answer = await sendTokenRequest(request, realm)
  if (answer.status !== 200) {
    await answer.discard()
    throw refusal(request, realm, answer)
  }
  const body = await connections.collect(answer, connections.limits.tokenBytesMax, signal)
  return readToken(body, registry.host, realm, request.nowMs())
}

function sendTokenRequest(request: GrantRequest, realm: URL): Promise<UpstreamAnswer> {
  const { challenge, scope, credential, connections, signal } = request
  const service = challenge.parameters.get('service')
  const wanted = { ...(service === undefined ? {} : { service }), scope }
  if (credential !== undefined && 'identityToken' in credential) {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      client_id: 'shoal',
      ...wanted,
      refresh_token: credential.identityToken,
    })
    const headers = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' }
    return connections.request({
      method: 'POST',
      url: realm,
      headers,
      body: form.toString(),
      lane: 'talk',
      signal,
    })
  }
  const url = new URL(realm)
  for (const [name, value] of Object.entries(wanted)) url.searchParams.set(name, value)
  const headers = {
    accept: 'application/json',
    ...(credential === undefined ? {} : { authorization: basic(credential) }),
  }
  return connections.request({ method: 'GET', url, headers, lane: 'talk', signal })
}

function refusal({ registry, credential, nowMs }: GrantRequest, realm: URL, answer: UpstreamAnswer): Error {
  const { status, header } = answer
  if (status === 429) return new UpstreamBusyError(registry.host, readRetryAtMs(header, nowMs()))
  if (status >= 300 && status < 400) {
    return new UpstreamRealmRefusedError(
      registry.host,
      `its token server ${realm.host} redirects; logins are not taken elsewhere`,
    )
  }
  if (status >= 500) {
    return new UpstreamUnavailableError(registry.host, `its token server ${realm.host} answered ${status}`, {
      isPassing: status !== 500,
    })
  }
  const advice =
    credential === undefined
      ? 'without credentials; configure some for this registry'
      : 'with the credentials that are configured; check them'
  return new UpstreamDeniedError(registry.host, `its token server ${realm.host} answered ${status} ${advice}`)
}

function readToken(body: Buffer, upstream: string, realm: URL, nowMs: number): Grant {
  const document = parseJsonObject(body) ?? {}
  const token = document.token ?? document.access_token
  // What goes into a header has to be fit for one; RFC 6750, 2.1 allows less than this.
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
    throw new UpstreamInvalidError(upstream, `its token server ${realm.host} answered without a token`)
  }
  const { expires_in: given } = document
  const lifetimeMs =
    (typeof given === 'number' && Number.isFinite(given) && given > 0 ? given : LIFETIME_SECONDS_DEFAULT) *
    1_000
  return {
    authorization: `Bearer ${token}`,
    expiresAtMs: nowMs + lifetimeMs - Math.min(MARGIN_MS_MAX, lifetimeMs / 2),
  }
}

function basic({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

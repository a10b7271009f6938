/**
 * Whether a delivery comes from somebody who knows the secret. Pure.
 *
 * Senders can do different things, so each format has its own proofs; one that holds is enough. Several secrets are accepted
 * at once, so that one can be replaced without a gap. Everything presented is compared with everything expected, hash
 * against hash, in a time that does not depend on either. Nothing of a secret is in an error.
 */
import { createHmac } from 'node:crypto'
import { isSameSecret } from '@shoal/service'
import { TriggerForbiddenError, TriggerSecretUnsetError } from './errors.ts'
import { type Delivery, headerOf } from './payload.ts'
import type { TriggerFormat } from './push-event.ts'

/** A secret of 4096 characters is no stronger than one of 64; a longer header is nobody's secret. */
const PRESENTED_LENGTH_MAX = 4096

type Proof = 'authorization' | 'api-key' | 'query' | 'jfrog-event-auth' | 'hub-signature'

/** What each sender can be set up to send. */
export const ACCEPTED_PROOFS: Record<TriggerFormat, readonly Proof[]> = {
  // `headers:` of the endpoint.
  distribution: ['authorization'],
  // "Auth Header", sent as it was typed.
  harbor: ['authorization'],
  // No header can be set.
  quay: ['query'],
  // A connection of an API destination: Basic, or an API key under a name of one's choice.
  ecr: ['api-key', 'authorization'],
  // The secret itself, or with "payload signing" the HMAC of the payload; custom headers can be set as well.
  artifactory: ['jfrog-event-auth', 'authorization'],
  // Nothing but the URL can be set.
  dockerhub: ['query'],
  // Always signed when there is a secret.
  ghcr: ['hub-signature'],
  cloudevents: ['authorization', 'api-key'],
}

const DESCRIPTIONS: Record<Proof, string> = {
  authorization: '“Authorization: Bearer <secret>”',
  'api-key': '“X-API-Key: <secret>”',
  query: '“?secret=<secret>” in the URL',
  'jfrog-event-auth': '“X-JFrog-Event-Auth”, the secret or the HMAC-SHA256 of the body',
  'hub-signature': '“X-Hub-Signature-256: sha256=<HMAC-SHA256 of the body>”',
}

/** A request before anything of it was believed. */
export interface PresentedRequest {
  readonly headers: Delivery['headers']
  /** The `?secret=` of the request. */
  readonly querySecret?: string | undefined
  /** The body as it was sent, byte for byte: signatures are over these. */
  readonly rawBody: Uint8Array
}

/**
 * @param secrets the current one and those that still count; empty ones never do
 * @throws TriggerSecretUnsetError when there is no secret: nothing is let in
 * @throws TriggerForbiddenError
 */
export function assertAuthentic(
  format: TriggerFormat,
  request: PresentedRequest,
  secrets: readonly string[],
): void {
  const known = secrets.filter((secret) => secret !== '')
  if (known.length === 0) throw new TriggerSecretUnsetError()
  const proofs = ACCEPTED_PROOFS[format]
  let isAuthentic = false
  for (const secret of known) {
    for (const proof of proofs) {
      // No way out of the loops before their end: how long they take says nothing about what was right.
      if (holds(proof, request, secret)) isAuthentic = true
    }
  }
  if (isAuthentic) return
  throw new TriggerForbiddenError(format, proofs.map((proof) => DESCRIPTIONS[proof]).join(', or '))
}

function holds(proof: Proof, { headers, querySecret, rawBody }: PresentedRequest, secret: string): boolean {
  switch (proof) {
    case 'authorization':
      return anyEqual(authorizationSecrets(headerOf(headers, 'authorization')), secret)
    case 'api-key':
      return anyEqual([headerOf(headers, 'x-api-key')], secret)
    case 'query':
      return anyEqual([querySecret], secret)
    case 'jfrog-event-auth': {
      const presented = headerOf(headers, 'x-jfrog-event-auth')
      const isSecret = anyEqual([presented], secret)
      return anyEqual([presented?.toLowerCase()], hmacHex(rawBody, secret)) || isSecret
    }
    case 'hub-signature':
      return anyEqual([headerOf(headers, 'x-hub-signature-256')], `sha256=${hmacHex(rawBody, secret)}`)
  }
}

/** The whole header, for senders that send what they were told; the token of Bearer; the password of Basic. */
function authorizationSecrets(header: string | undefined): readonly (string | undefined)[] {
  if (header === undefined || header.length > PRESENTED_LENGTH_MAX * 2) return []
  const match = /^(bearer|basic) +(\S+) *$/i.exec(header)
  if (match === null) return [header]
  const [, scheme, value] = match as unknown as [string, string, string]
  if (scheme.toLowerCase() === 'bearer') return [header, value]
  const pair = Buffer.from(value, 'base64').toString('utf8')
  const colon = pair.indexOf(':')
  return [header, colon === -1 ? undefined : pair.slice(colon + 1)]
}

function anyEqual(presented: readonly (string | undefined)[], expected: string): boolean {
  let isEqual = false
  for (const text of presented) {
    if (text === undefined || text === '' || text.length > PRESENTED_LENGTH_MAX) continue
    if (isSameSecret(text, expected)) isEqual = true
  }
  return isEqual
}

function hmacHex(bytes: Uint8Array, secret: string): string {
  return createHmac('sha256', secret).update(bytes).digest('hex')
}

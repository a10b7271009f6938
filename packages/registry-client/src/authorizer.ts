/**
 * Keeps what a registry has granted, and gets it once for all who wait: one token request for concurrent pulls.
 * Bounded; nothing is written anywhere.
 */
import { orAborted } from '@shoal/service'
import { LRUCache } from 'lru-cache'
import type { Logger } from 'pino'
import type { UpstreamAddress } from './address.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import type { UpstreamAnswer, UpstreamConnections } from './connections.ts'
import type { Credential } from './credential.ts'
import type { Credentials } from './credentials.ts'
import type { EcrLogins } from './ecr.ts'
import { UpstreamDeniedError, UpstreamRealmRefusedError, UpstreamUnavailableError } from './errors.ts'
import { chooseChallenge, type Grant, obtainGrant } from './grant.ts'

export interface AuthorizerParts {
  readonly credentials: Credentials
  readonly ecr: EcrLogins
  readonly connections: UpstreamConnections
  readonly nowMs: () => number
  readonly log: Logger
}

export class Authorizer {
  /** What each repository has asked for last; its next request brings it along. */
  readonly #challenges: LRUCache<string, Challenge>
  readonly #grants: LRUCache<string, Grant>
  readonly #pending = new Map<string, Promise<Grant>>()

  readonly #parts: AuthorizerParts
  readonly #address: UpstreamAddress
  readonly #trustedRealmHosts: readonly string[]

  constructor(parts: AuthorizerParts, address: UpstreamAddress, trustedRealmHosts: readonly string[]) {
    this.#parts = parts
    this.#address = address
    this.#trustedRealmHosts = trustedRealmHosts
    const max = parts.connections.limits.tokensMax
    this.#challenges = new LRUCache({ max })
    this.#grants = new LRUCache({ max })
  }

  /** @returns what to send with the first attempt; undefined while nothing was asked for */
  async known(repository: string, signal: AbortSignal): Promise<Grant | undefined> {
    const challenge = this.#challenges.peek(repository)
    return challenge === undefined ? undefined : await this.#grant(challenge, repository, signal)
  }

  /**
   * Answers a 401.
   * @param refused what was sent and not accepted
   * @throws UpstreamDeniedError · UpstreamRealmRefusedError and what can go wrong on the way to the token
   */
  async answer(
    answer: UpstreamAnswer,
    repository: string,
    refused: Grant | undefined,
    signal: AbortSignal,
  ): Promise<Grant> {
    const challenge = chooseChallenge(parseChallenges(answer.headers('www-authenticate')))
    if (challenge === undefined) {
      throw new UpstreamDeniedError(this.#address.host, 'it wants a login of a kind that Shoal does not know')
    }
    if (refused !== undefined) this.#forget(refused)
    this.#challenges.set(repository, challenge)
    return this.#grant(challenge, repository, signal)
  }

  /** The next request asks anew what is wanted: the token server may have moved. */
  deny(repository: string, refused: Grant): void {
    this.#challenges.delete(repository)
    this.#forget(refused)
  }

  #forget(refused: Grant): void {
    for (const [key, grant] of [...this.#grants]) if (grant === refused) this.#grants.delete(key)
  }

  async #grant(challenge: Challenge, repository: string, signal: AbortSignal): Promise<Grant> {
    const scope = `repository:${repository}:pull`
    const { scheme, parameters } = challenge
    const key =
      scheme === 'basic'
        ? scheme
        : JSON.stringify([parameters.get('realm'), parameters.get('service'), scope])
    const cached = this.#grants.peek(key)
    if (cached !== undefined && cached.expiresAtMs > this.#parts.nowMs()) return cached
    let pending = this.#pending.get(key)
    if (pending === undefined) {
      pending = this.#obtain(challenge, scope, key).finally(() => this.#pending.delete(key))
      this.#pending.set(key, pending)
      // Everybody who waits may have left by then.
      pending.catch(() => {})
    }
    try {
      return await orAborted(pending, signal)
    } catch (error) {
      if (!signal.aborted) this.#challenges.delete(repository)
      throw error
    }
  }

  /** Has a deadline of its own: whoever asked first may leave while others wait for the same. */
  async #obtain(challenge: Challenge, scope: string, key: string): Promise<Grant> {
    const { connections, nowMs, log } = this.#parts
    const { host } = this.#address
    const { answerTimeoutMs } = connections.limits
    const signal = AbortSignal.timeout(answerTimeoutMs)
    try {
      const grant = await obtainGrant({
        challenge,
        scope,
        credential: await this.#credential(),
        registry: this.#address,
        trustedRealmHosts: this.#trustedRealmHosts,
        connections,
        nowMs,
        signal,
      })
      this.#grants.set(key, grant)
      return grant
    } catch (error) {
      if (error instanceof UpstreamRealmRefusedError) {
        log.error({ event: 'realm-refused', upstream: host, reason: error.message }, 'realm refused')
      }
      if (!signal.aborted) throw error
      const what = `its token server gave no complete answer within ${answerTimeoutMs} ms`
      throw new UpstreamUnavailableError(host, what, { cause: error })
    }
  }

  async #credential(): Promise<Exclude<Credential, { readonly ecr: unknown }> | undefined> {
    const credential = await this.#parts.credentials.forHost(this.#address.host)
    if (credential === undefined || !('ecr' in credential)) return credential
    return await this.#parts.ecr.login(this.#address.host, credential.ecr)
  }
}

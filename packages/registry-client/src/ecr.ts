/**
 * Logins for Amazon ECR: the machine's AWS identity is exchanged for a password of twelve hours, kept until it expires.
 * The SDK finds the identity (environment, profile, web identity, instance) and is loaded with the first such registry.
 */
import type { ECRClientConfig } from '@aws-sdk/client-ecr'
import type { Proxies } from '@shoal/service'
import { proxyAgents } from '@shoal/storage'
import type { EcrRegistry, Login } from './credential.ts'
import { UpstreamDeniedError, UpstreamInvalidError } from './errors.ts'

export interface EcrInit {
  /** Of the ECR API; the region's own by default. */
  readonly endpoint?: string
  /** Instead of those that the SDK finds. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string }
}

export interface EcrParts {
  readonly nowMs: () => number
  readonly proxies?: Proxies
}

/** Renewed this long before the end, so that no pull begins with a password about to expire. */
const MARGIN_MS = 5 * 60_000
const REQUEST_TIMEOUT_MS = 30_000

/** @returns undefined when `host` is no registry of ECR */
export function ecrRegistryOf(host: string): EcrRegistry | undefined {
  const match = /^([0-9]{12})\.dkr\.ecr\.([a-z0-9-]{1,40})\.amazonaws\.com(?:\.cn)?$/.exec(host)
  return match === null ? undefined : { accountId: match[1]!, region: match[2]! }
}

export class EcrLogins {
  readonly #logins = new Map<string, { readonly login: Login; readonly expiresAtMs: number }>()
  readonly #pending = new Map<string, Promise<Login>>()

  readonly #parts: EcrParts
  readonly #init: EcrInit

  constructor(parts: EcrParts, init: EcrInit = {}) {
    this.#parts = parts
    this.#init = init
  }

  /**
   * A login is the identity's, not the registry's: it is good for every account of the region that lets the identity in.
   *
   * @param host for messages
   * @throws UpstreamDeniedError when there is no identity, or AWS refuses it · UpstreamInvalidError
   */
  login(host: string, { region }: EcrRegistry): Promise<Login> {
    const kept = this.#logins.get(region)
    if (kept !== undefined && kept.expiresAtMs > this.#parts.nowMs()) return Promise.resolve(kept.login)
    let pending = this.#pending.get(region)
    if (pending === undefined) {
      pending = this.#exchange(host, region).finally(() => this.#pending.delete(region))
      this.#pending.set(region, pending)
    }
    return pending
  }

  async #exchange(host: string, region: string): Promise<Login> {
    const { ECRClient, GetAuthorizationTokenCommand } = await import('@aws-sdk/client-ecr')
    const proxy = this.#parts.proxies?.proxyFor(new URL(this.#init.endpoint ?? apiUrl(region)))
    const config: ECRClientConfig = {
      region,
      maxAttempts: 3,
      ...this.#init,
      ...(proxy !== undefined && { requestHandler: proxyAgents(proxy) }),
    }
    const client = new ECRClient(config)
    try {
      const abortSignal = AbortSignal.timeout(REQUEST_TIMEOUT_MS)
      const answer = await client.send(new GetAuthorizationTokenCommand({}), { abortSignal })
      const [data] = answer.authorizationData ?? []
      const text = Buffer.from(data?.authorizationToken ?? '', 'base64').toString('utf8')
      const colon = text.indexOf(':')
      if (colon < 1) throw new UpstreamInvalidError(host, 'ECR answered without an authorization token')
      const login = { username: text.slice(0, colon), password: text.slice(colon + 1) }
      const expiresAtMs = (data?.expiresAt?.getTime() ?? this.#parts.nowMs()) - MARGIN_MS
      this.#logins.set(region, { login, expiresAtMs })
      return login
    } catch (error) {
      if (error instanceof UpstreamInvalidError) throw error
      // Not as a cause: the SDK's errors carry the request with its signature.
      const name = error instanceof Error ? error.name : 'unknown'
      throw new UpstreamDeniedError(
        host,
        `no ECR login for ${region} (${name}); check the AWS identity of this machine and that it may call ecr:GetAuthorizationToken`,
      )
    } finally {
      client.destroy()
    }
  }
}

function apiUrl(region: string): string {
  return `https://api.ecr.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`
}

/**
 * Finds out who Shoal is at a registry: environment, Docker's configuration, Kubernetes pull secrets, in that order; and at
 * Amazon ECR, where nothing else was said, whoever the AWS SDK finds the machine to be.
 */
import { canonicalHost } from '@shoal/oci'
import type { Credential } from './credential.ts'
import { DockerConfigFile } from './docker-config-file.ts'
import { ecrRegistryOf } from './ecr.ts'
import { environmentCredential } from './environment-credential.ts'

export interface CredentialsInit {
  /** `SHOAL_UPSTREAM_<HOST>_USERNAME` and `…_PASSWORD` are read from it; credential helpers get all of it. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** `config.json` of Docker, podman's `auth.json`. May be absent. */
  readonly dockerConfigFile?: string
  /** `.dockerconfigjson` or `.dockercfg` as mounted from a secret; programs that they name are not run. */
  readonly pullSecretFiles?: readonly string[]
  /** How long a credential helper may take. */
  readonly helperTimeoutMs?: number
}

const HELPER_TIMEOUT_MS = 15_000

export class Credentials {
  readonly #files: readonly DockerConfigFile[]

  readonly #init: CredentialsInit

  constructor(init: CredentialsInit) {
    this.#init = init
    const { environment, dockerConfigFile, pullSecretFiles = [], helperTimeoutMs = HELPER_TIMEOUT_MS } = init
    const helpers = { environment, timeoutMs: helperTimeoutMs }
    this.#files = [
      ...(dockerConfigFile === undefined ? [] : [new DockerConfigFile(dockerConfigFile, helpers)]),
      ...pullSecretFiles.map((path) => new DockerConfigFile(path, undefined)),
    ]
  }

  /**
   * Looks afresh each time: variables are cheap, files are read again when they have changed.
   *
   * @param host as it stands in references, any of its names
   * @returns undefined when the registry is asked as nobody
   * @throws CredentialsInvalidError
   */
  async forHost(host: string): Promise<Credential | undefined> {
    const name = canonicalHost(host)
    const login = environmentCredential(this.#init.environment, name)
    if (login !== undefined) return login
    for (const file of this.#files) {
      const credential = await file.find(name)
      if (credential !== undefined) return credential
    }
    const ecr = ecrRegistryOf(name)
    return ecr === undefined ? undefined : { ecr }
  }
}

/**
 * Docker's configuration file as a source of credentials; podman's `auth.json` and Kubernetes' pull secrets are the same
 * document, and `.dockercfg` is its `auths` alone.
 */
import { DOCKER_HUB } from './address.ts'
import type { Credential } from './credential.ts'
import { type HelperInit, runCredentialHelper } from './credential-helper.ts'
import { type DockerConfig, parseDockerConfig } from './docker-config.ts'
import { WatchedFile } from './watched-file.ts'

export class DockerConfigFile {
  readonly #file: WatchedFile<DockerConfig>
  /** One run for all who ask at the same time. */
  readonly #running = new Map<string, Promise<Credential | undefined>>()

  readonly #helpers: HelperInit | undefined

  /** @param helpers undefined where programs must not be run: a pull secret's author is not the machine's owner */
  constructor(path: string, helpers: HelperInit | undefined) {
    this.#helpers = helpers
    this.#file = new WatchedFile(path, (text) => parseDockerConfig(path, text))
  }

  /**
   * @param host canonical
   * @throws CredentialsInvalidError
   */
  async find(host: string): Promise<Credential | undefined> {
    const config = await this.#file.read()
    if (config === undefined) return undefined
    const helper = config.helpers.get(host) ?? config.store
    const kept =
      this.#helpers === undefined || helper === undefined
        ? undefined
        : await this.#ask(helper, host, this.#helpers)
    return kept ?? config.loginFor(host)
  }

  #ask(helper: string, host: string, init: HelperInit): Promise<Credential | undefined> {
    const key = `${helper} ${host}`
    let running = this.#running.get(key)
    if (running === undefined) {
      const server = host === DOCKER_HUB ? 'https://index.docker.io/v1/' : host
      running = runCredentialHelper(helper, server, init).finally(() => this.#running.delete(key))
      this.#running.set(key, running)
    }
    return running
  }
}

/** Secrets in a file, one a line, read again when the file has changed: they rotate while the seeder runs. */
import { readFile, stat } from 'node:fs/promises'
import { SeederError } from '../errors.ts'

const FILE_BYTES_MAX = 64 * 1024

export class SecretFileError extends SeederError {
  readonly code = 'SEEDER_SECRET_FILE'
  constructor(path: string, what: string, options?: ErrorOptions) {
    super(`the secrets in ${path} cannot be used: ${what}`, options)
  }
}

export class SecretFile {
  /** `version` tells one file from another that is as old: deployments replace links, and give files a time of their own. */
  #read: { readonly version: string; readonly secrets: readonly string[] } | undefined

  readonly #path: string

  /** @param path empty where there are none */
  constructor(path: string) {
    this.#path = path
  }

  /**
   * Empty lines and those that begin with `#` say nothing.
   * @throws SecretFileError
   */
  async secrets(): Promise<readonly string[]> {
    if (this.#path === '') return []
    try {
      const { dev, ino, mtimeMs, ctimeMs, size } = await stat(this.#path)
      const version = [dev, ino, mtimeMs, ctimeMs, size].join()
      if (this.#read?.version === version) return this.#read.secrets
      if (size > FILE_BYTES_MAX)
        throw new SecretFileError(this.#path, `it is longer than ${FILE_BYTES_MAX} bytes`)
      const secrets = (await readFile(this.#path, 'utf8'))
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => line !== '' && !line.startsWith('#'))
      this.#read = { version, secrets }
      return secrets
    } catch (cause) {
      if (cause instanceof SecretFileError) throw cause
      throw new SecretFileError(this.#path, 'it cannot be read', { cause })
    }
  }
}

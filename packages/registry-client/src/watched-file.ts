/** A small file that is read again when it has changed: secrets rotate under a running service. */
import { type FileHandle, open } from 'node:fs/promises'
import { CredentialsInvalidError } from './errors.ts'

const BYTES_MAX = 1024 * 1024

export class WatchedFile<T> {
  #seen: string | undefined
  #value: T | undefined

  readonly #path: string
  readonly #parse: (text: string) => T

  constructor(path: string, parse: (text: string) => T) {
    this.#path = path
    this.#parse = parse
  }

  /**
   * @returns undefined while there is no such file
   * @throws CredentialsInvalidError when it cannot be read, and what `parse` throws
   */
  async read(): Promise<T | undefined> {
    await using file = await this.#open()
    if (file === undefined) return undefined
    // Kubernetes replaces a secret by turning a symbolic link, which changes the inode whatever the times say.
    const { ino, mtimeNs, size } = await file.stat({ bigint: true })
    const seen = `${ino} ${mtimeNs} ${size}`
    if (seen === this.#seen) return this.#value
    if (size > BYTES_MAX) throw new CredentialsInvalidError(this.#path, `longer than ${BYTES_MAX} bytes`)
    const value = this.#parse(await file.readFile('utf8'))
    this.#seen = seen
    this.#value = value
    return value
  }

  async #open(): Promise<FileHandle | undefined> {
    try {
      return await open(this.#path)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT') return undefined
      throw new CredentialsInvalidError(this.#path, `the file cannot be opened (${code})`)
    }
  }
}

/** A blob on its way from another registry, as those see it who wait for it. */
import type { Digest } from '@shoal/core'
import type { StreamingCopy } from '../arriving/streaming-copy.ts'

export class AwaitedBlob {
  receivedBytes = 0
  /** Bytes of the whole blob, once somebody has said it. */
  length: number | undefined
  readonly #known = Promise.withResolvers<number | undefined>()
  readonly #answered = Promise.withResolvers<void>()
  readonly #copy = Promise.withResolvers<StreamingCopy | undefined>()
  readonly #whole = Promise.withResolvers<boolean>()

  readonly digest: Digest

  constructor(digest: Digest, length: number | undefined) {
    this.digest = digest
    this.#known.promise.catch(() => {})
    this.#answered.promise.catch(() => {})
    this.#whole.promise.catch(() => {})
    if (length !== undefined) this.learn(length)
  }

  /** Its length; undefined when there is no such blob. @throws UpstreamError */
  get known(): Promise<number | undefined> {
    return this.#known.promise
  }

  /** Resolves when the registry has begun to give it or has no such blob. @throws UpstreamError */
  get answered(): Promise<void> {
    return this.#answered.promise
  }

  /** Where its bytes are while it arrives; undefined when they are nowhere before it is whole. */
  get copy(): Promise<StreamingCopy | undefined> {
    return this.#copy.promise
  }

  /** Resolves when the blob is in the origin; with false when there is none. @throws UpstreamError */
  get whole(): Promise<boolean> {
    return this.#whole.promise
  }

  learn(length: number): void {
    this.length = length
    this.#known.resolve(length)
  }

  answer(): void {
    this.#answered.resolve()
  }

  /** Whether its bytes are kept while it arrives. */
  keepIn(copy: StreamingCopy | undefined): void {
    this.#copy.resolve(copy)
  }

  end(isThere: boolean): void {
    this.#known.resolve(isThere ? this.length : undefined)
    this.#answered.resolve()
    this.#copy.resolve(undefined)
    this.#whole.resolve(isThere)
  }

  fail(error: unknown): void {
    this.#known.reject(error)
    this.#answered.reject(error)
    this.#copy.resolve(undefined)
    this.#whole.reject(error)
  }
}

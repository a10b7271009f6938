/**
 * Blobs on their way from other registries into the origin: each is fetched once for the whole cluster, however many ask,
 * and gone on with where the connection broke.
 */
import type { Digest } from '@shoal/core'
import { AwaitedBlob } from './awaited-blob.ts'
import { BlobFetch, type BlobFetchParts } from './blob-fetch.ts'
import { FetchTurns } from './fetch-turns.ts'
import type { UpstreamRepository } from './upstreams.ts'

export class BlobFetches {
  readonly #parts: BlobFetchParts
  readonly #turns: FetchTurns
  readonly #underWay = new Map<string, AwaitedBlob>()
  readonly #running = new Set<Promise<void>>()
  readonly #stopping = new AbortController()

  constructor(parts: BlobFetchParts) {
    this.#parts = parts
    this.#turns = new FetchTurns(parts)
  }

  get count(): number {
    return this.#underWay.size
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the seeder stops'))
    await Promise.all(this.#running)
  }

  /** The blob on its way to the repository, if it is. */
  find(name: string, digest: Digest): AwaitedBlob | undefined {
    return this.#underWay.get(`${name}@${digest}`)
  }

  /** @param length where a manifest said it */
  begin(from: UpstreamRepository, digest: Digest, length?: number): AwaitedBlob {
    const key = `${from.name}@${digest}`
    const known = this.#underWay.get(key)
    if (known !== undefined) return known
    const blob = new AwaitedBlob(digest, length)
    this.#underWay.set(key, blob)
    const { signal: stopping } = this.#stopping
    const fetch = new BlobFetch(this.#parts, { turns: this.#turns, from, blob, stopping })
    const running = fetch
      .run()
      .then(
        (isThere) => blob.end(isThere),
        (error) => {
          this.#parts.log.warn(
            { event: 'arrival-failed', upstream: from.host, digest, err: error },
            'blob not fetched',
          )
          blob.fail(error)
        },
      )
      .finally(() => {
        this.#underWay.delete(key)
        this.#running.delete(running)
      })
    this.#running.add(running)
    return blob
  }
}

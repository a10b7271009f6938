/**
 * Blobs on their way from other registries into the origin: each is fetched once for the whole cluster, however many ask,
 * and gone on with where the connection broke.
 */
import type { Digest } from '@shoal/core'
import { Arrival } from './arrival.ts'
import { BlobFetch, type BlobFetchParts } from './blob-fetch.ts'
import { FetchTurns } from './fetch-turns.ts'
import type { UpstreamRepository } from './upstreams.ts'

export type { Arrival }

export class Arrivals {
  readonly #parts: BlobFetchParts
  readonly #turns: FetchTurns
  readonly #underWay = new Map<string, Arrival>()
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

  /** The blob's arrival in the repository, if it is under way. */
  find(name: string, digest: Digest): Arrival | undefined {
    return this.#underWay.get(`${name}@${digest}`)
  }

  /** @param length where a manifest said it */
  begin(from: UpstreamRepository, digest: Digest, length?: number): Arrival {
    const key = `${from.name}@${digest}`
    const known = this.#underWay.get(key)
    if (known !== undefined) return known
    const arrival = new Arrival(digest, length)
    this.#underWay.set(key, arrival)
    const { signal: stopping } = this.#stopping
    const fetch = new BlobFetch(this.#parts, { turns: this.#turns, from, arrival, stopping })
    const running = fetch
      .run()
      .then(
        (isThere) => arrival.end(isThere),
        (error) => {
          this.#parts.log.warn(
            { event: 'arrival-failed', upstream: from.host, digest, err: error },
            'blob not fetched',
          )
          arrival.fail(error)
        },
      )
      .finally(() => {
        this.#underWay.delete(key)
        this.#running.delete(running)
      })
    this.#running.add(running)
    return arrival
  }
}

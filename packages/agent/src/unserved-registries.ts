/**
 * Registries that clients of this node ask for here and the seeder does not serve. The clients go on to the registry itself
 * without a word, so that what was meant to come through Shoal goes round it: counted, told of in the log, and kept for
 * `shoal doctor`. Time is passed in.
 */
import type { UnservedRegistry } from '@shoal/wire'
import type { Logger } from 'pino'

export interface UnservedRegistriesParts {
  readonly log: Logger
  /** Of a clock that only goes forwards. */
  readonly nowMs: () => number
  readonly onAsked: (registry: string) => void
}

/** Hosts come from whoever asks: those beyond are counted together. */
export const UNSERVED_REGISTRIES_MAX = 16
const OTHER_REGISTRIES = 'other'
/** A line of the log for each of them, once in so long; what was asked for before is of no interest now. */
const TOLD_EVERY_MS = 60 * 60 * 1_000

interface Asked {
  requests: number
  askedAtMs: number
  toldAtMs: number
}

export class UnservedRegistries {
  readonly #parts: UnservedRegistriesParts
  readonly #asked = new Map<string, Asked>()

  constructor(parts: UnservedRegistriesParts) {
    this.#parts = parts
  }

  /** A client was told that there is no such image, because the seeder serves no such registry. */
  asked(host: string): void {
    const { log, nowMs, onAsked } = this.#parts
    const isNamed = this.#asked.has(host) || this.#asked.size < UNSERVED_REGISTRIES_MAX
    const registry = isNamed ? host : OTHER_REGISTRIES
    const asked = this.#asked.get(registry) ?? {
      requests: 0,
      askedAtMs: 0,
      toldAtMs: Number.NEGATIVE_INFINITY,
    }
    this.#asked.set(registry, asked)
    asked.requests++
    asked.askedAtMs = nowMs()
    onAsked(registry)
    if (asked.askedAtMs - asked.toldAtMs < TOLD_EVERY_MS) return
    asked.toldAtMs = asked.askedAtMs
    log.warn(
      { event: 'registry-unserved', registry, requests: asked.requests },
      `clients here ask for images of ${registry}, which the seeder does not serve: they go round Shoal, to the registry itself. If this is the seeder’s own name, add it to the seeder’s hosts; if it is a registry to mirror, to its upstreams (for Docker’s mirroring, set defaultUpstream); else take it from the clients’ mirrors`,
    )
  }

  /** What was asked for of late. */
  recent(): readonly UnservedRegistry[] {
    const nowMs = this.#parts.nowMs()
    return [...this.#asked].flatMap(([registry, { requests, askedAtMs }]) => {
      const agoMs = Math.round(nowMs - askedAtMs)
      return agoMs < TOLD_EVERY_MS ? [{ registry, requests, agoMs }] : []
    })
  }
}

/** What a stranger knows of the services that he meets, and what all strangers share: their addresses. */
import type { Metainfo, Prng } from '@shoal/core'
import { oneOf } from './random-messages.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

/** Something that listens, and what it speaks. */
export interface Listener {
  readonly name: string
  readonly kind: 'seeder' | 'agent' | 'peer-port'
  readonly address: Address
}

/** A blob that was pushed, and that agents fetch: what a good lie is about. */
export interface KnownBlob {
  readonly repository: string
  readonly tag: string
  readonly manifest: string
  readonly digest: string
  readonly infoHash: string
  readonly metainfo: Metainfo
}

export interface World {
  readonly listeners: readonly Listener[]
  readonly seederUrl: string
  /** The latest are last; never empty. */
  readonly blobs: readonly KnownBlob[]
  /** Ids that somebody has. */
  readonly peerIds: readonly string[]
  /** Strangers that listen, and say so. */
  readonly impostors: readonly Address[]
  /** Where a push event's secret, or a token, is known to the attacker. */
  readonly secrets: readonly string[]
}

/** Honest clients come from 127.0.0.1, as do agents; most strangers do not. */
const STRANGERS = Array.from({ length: 24 }, (_, n) => `127.0.9.${n + 1}`)
const HONEST = '127.0.0.1'

export function strangerAddress(prng: Prng): string {
  return prng.below(8) === 0 ? HONEST : oneOf(STRANGERS, prng)
}

/** One of the latest: what agents are fetching now. */
export function freshBlob(world: World, prng: Prng): KnownBlob {
  const { blobs } = world
  return prng.below(4) === 0 ? oneOf(blobs, prng) : blobs[Math.max(0, blobs.length - 1 - prng.below(4))]!
}

export function listenersOf(world: World, ...kinds: readonly Listener['kind'][]): Listener[] {
  return world.listeners.filter(({ kind }) => kinds.includes(kind))
}

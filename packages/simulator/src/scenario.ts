/**
 * What is simulated: the cluster, the image, and what goes wrong. Plain data; rates in bytes per second, both ways alike
 * unless said otherwise. Pure.
 */

export interface Scenario {
  readonly nodes: number
  /** Bytes of each layer, in the order in which clients read them. */
  readonly layers: readonly number[]
  /** Of every node. */
  readonly linkBytesPerSecond: number
  readonly seederLinkBytesPerSecond: number
  /** From the object store, for everybody together. */
  readonly originBytesPerSecond: number
  /** One way, within a zone. */
  readonly latencyMs: number
  /** From a request to the origin until its first byte. */
  readonly originLatencyMs: number
  readonly zones: ZonesModel
  readonly arrivals: Arrivals
  /** Layers that a client reads at a time, in order; containerd's default is 3. */
  readonly layersAtATime: number
  /** Nodes with a slower link: their share of all, and their link as a share of the others'. */
  readonly slow: { readonly share: number; readonly factor: number } | undefined
  /** Share of the nodes that die, each at a random moment of the first bound. */
  readonly dying: number
  /** Share of the nodes that accept connections and requests and never send a byte. */
  readonly blackHoles: number
  /** The seeder dies when so much of all that is wanted has been received. */
  readonly seederDiesAt: number | undefined
  /** The seeder has nothing yet: it reads the origin while others already ask. */
  readonly coldOrigin: boolean
  /** What a node's disk takes; Infinity where it is no concern. */
  readonly diskBytesPerSecond: number
  readonly seed: number
}

export interface ZonesModel {
  /** The seeder is in the first of them. */
  readonly count: number
  /** Of each zone, into it and out of it, for all of its nodes together. */
  readonly crossBytesPerSecond: number
  /** One way, from one zone to another. */
  readonly crossLatencyMs: number
}

export type Arrivals =
  | { readonly kind: 'at-once' }
  /** At random moments of so many seconds. */
  | { readonly kind: 'over'; readonly seconds: number }
  /** A rolling update: each wave begins when the one before has finished. */
  | { readonly kind: 'waves'; readonly share: number }

const GIGABIT = 1e9 / 8

export const DEFAULT_SCENARIO: Scenario = {
  nodes: 500,
  layers: [2 ** 30],
  linkBytesPerSecond: 10 * GIGABIT,
  seederLinkBytesPerSecond: 10 * GIGABIT,
  originBytesPerSecond: 10 * GIGABIT,
  latencyMs: 0.1,
  originLatencyMs: 20,
  zones: { count: 1, crossBytesPerSecond: Number.POSITIVE_INFINITY, crossLatencyMs: 0.5 },
  arrivals: { kind: 'at-once' },
  layersAtATime: 3,
  slow: undefined,
  dying: 0,
  blackHoles: 0,
  seederDiesAt: undefined,
  coldOrigin: false,
  diskBytesPerSecond: Number.POSITIVE_INFINITY,
  seed: 1,
}

export const STRATEGIES = ['shoal', 'registry', 'tree', 'mesh', 'kraken'] as const
export type StrategyName = (typeof STRATEGIES)[number]

export function imageBytes({ layers }: Scenario): number {
  return layers.reduce((sum, bytes) => sum + bytes, 0)
}

/** Image bytes ÷ one node's link, in seconds: the least time possible. */
export function boundSeconds(scenario: Scenario): number {
  return imageBytes(scenario) / scenario.linkBytesPerSecond
}

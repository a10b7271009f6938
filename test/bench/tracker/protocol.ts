/** What the benchmark's processes tell each other, over the channel that `fork` opens. A process ends when it closes. */

/** The agents that one generator plays, and where. */
export interface Share {
  readonly port: number
  /** Numbers of its agents: from the first up to, not including, the last. */
  readonly from: number
  readonly to: number
  readonly layers: number
  readonly zones: number
}

export type Question =
  | { readonly kind: 'connect'; readonly share: Share }
  /** Every agent says in one frame that it wants every layer. */
  | { readonly kind: 'announce' }
  /** Layer after layer becomes complete, in random order, evenly over so many seconds. */
  | { readonly kind: 'complete'; readonly seconds: number }
  /** Nothing happens but heartbeats. */
  | { readonly kind: 'rest'; readonly seconds: number }
  | { readonly kind: 'count' }

export type Answer =
  | { readonly kind: 'ready'; readonly port?: number }
  /** The tracker has taken everything in that was said. @property heard frames and bytes since the last question */
  | { readonly kind: 'done'; readonly heard: Heard; readonly neighboursMs?: readonly number[] }
  | { readonly kind: 'counts'; readonly agents: number; readonly swarms: number }

export interface Heard {
  readonly frames: number
  readonly bytes: number
}

/** What one strategy's run came to, simulated or live: when each node had the image, and who sent what. Plain data. */

/** One strategy's run. Times are seconds from the moment at which the first node was asked to pull. */
export interface StrategyRun {
  readonly strategy: string
  /** Of the nodes that finished, from each node's own start to its last byte, ascending. */
  readonly finishSeconds: readonly number[]
  /** Nodes that should have finished and did not; those that died are not among them. */
  readonly unfinished: number
  /** Read from the object store or the upstream registry. */
  readonly originBytes: number
  readonly originRequests: number
  /** Payload bytes that came into each zone from outside it. */
  readonly crossZoneBytes: readonly number[]
  readonly seederSentBytes: number
  /** What nodes sent each other and what the seeder sent: payload on the wire, whether it was of use or not. */
  readonly swarmSentBytes: number
  readonly seederPeakBytesPerSecond: number
  readonly timeline: readonly TimelinePoint[]
}

/** The state at one moment; cumulative. */
export interface TimelinePoint {
  readonly atSeconds: number
  readonly completedNodes: number
  /** Payload that all nodes together have received, by who sent it. */
  readonly peerBytes: number
  readonly seederBytes: number
  readonly originBytes: number
}

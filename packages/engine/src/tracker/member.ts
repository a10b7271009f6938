/** Who takes part: an agent, a zone of a swarm, a member of a swarm. State of the tracker's table, without its rules. */

import type { PeerAddress } from '@shoal/core'
import type { SwarmState } from '@shoal/wire'
import type { ImportShare } from '../policy/handout.ts'
import { Bag } from './bag.ts'
import type { AgentEntry } from './protocol.ts'
import type { TrackerSwarm } from './swarm.ts'

export class Agent {
  readonly address: PeerAddress
  readonly zone: string
  readonly canTryPeers: boolean
  readonly memberships = new Map<TrackerSwarm, Member>()
  /** Neighbours in all swarms together. */
  totalDegree = 0
  /** Swarms in which it began to leech by its last announce that named any: an image's layers come in one. */
  swarmsAtATime = 1
  inTable = -1

  constructor(entry: AgentEntry) {
    this.address = entry.address
    this.zone = entry.zone
    this.canTryPeers = entry.canTryPeers ?? false
  }
}

/** The members of one swarm that are in one zone; agents only. */
export class Zone {
  readonly members = new Bag<'inZone', Member>('inZone')
  readonly leechers = new Bag<'inLeechers', Member>('inLeechers')
  /** Leechers with fewer neighbours here than they should have, in the order in which they came to lack them. */
  readonly lonely = new Set<Member>()
  /** Leechers that want the seeder and do not have it, those that have waited longest first. */
  readonly waiting = new Set<Member>()
  readonly importers: Member[] = []
  /** Leechers that have the seeder. */
  readonly seederHolders = new Set<Member>()
  inSwarm = -1

  readonly name: string

  constructor(name: string) {
    this.name = name
  }
}

export class Member {
  state: SwarmState = 'holding'
  /** Both ways: each is in the other's. A handful, so an array is smaller and faster than a set. */
  readonly links: Member[] = []
  /** Of the links, those to agents in other zones. */
  outsideCount = 0
  /** Of the links, those to members that have everything. */
  sourceCount = 0
  hasSeeder = false
  /** Neighbours in its own zone that it should have. */
  neighboursAim = 0
  /** Of the pieces, by remainder, those that this member may import; only importers have any. */
  readonly remainders: number[] = []
  /** What the agent was last told; undefined before it is told for the first time. */
  importsTold: ImportShare | undefined
  /** Whether it is on the list of that name: lists change far less often than links do. */
  isLonely = false
  isWaiting = false
  lacksOutside = false
  /** Counts up over all that began to wait for the seeder. */
  waitingSince = 0
  heardAtMs = 0
  inMembers = -1
  inZone = -1
  inLeechers = -1
  inStandards = -1

  readonly swarm: TrackerSwarm
  readonly address: PeerAddress
  readonly agent: Agent | undefined
  readonly zone: Zone | undefined

  /** @param agent absent for a standard client, which is in no zone and cannot be told of anything */
  constructor(swarm: TrackerSwarm, address: PeerAddress, agent: Agent | undefined, zone: Zone | undefined) {
    this.swarm = swarm
    this.address = address
    this.agent = agent
    this.zone = zone
  }

  get degree(): number {
    return this.links.length
  }

  get totalDegree(): number {
    return this.agent?.totalDegree ?? this.links.length
  }

  get insideCount(): number {
    return this.links.length - this.outsideCount
  }

  get isImporter(): boolean {
    return this.remainders.length > 0
  }

  /** Whether an agent leeches here: only those are looked after. */
  get isLeecher(): boolean {
    return this.inLeechers >= 0
  }

  isOutside(other: Member): boolean {
    return this.zone !== undefined && other.zone !== undefined && this.zone !== other.zone
  }
}

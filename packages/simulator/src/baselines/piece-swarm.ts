/**
 * Piece-level swarms of others, by their published rules: stock BitTorrent (a random mesh with tit-for-tat) and Kraken. Pure.
 *
 * What is simplified, always in their favour: all layers are one pool of pieces; pieces need no hashing; a run of blocks that
 * is in flight at a time is one block here; requests are answered in the order in which they come; a peer that is gone is
 * noticed at once.
 */
import { Bitfield, createPrng, type Prng, pieceBytes, pieceCount } from '@shoal/core'
import type { Host, Pipe } from '../network.ts'
import type { Scenario, StrategyName } from '../scenario.ts'
import type { SimulationProgress } from '../simulation.ts'
import { type Member, Stage } from './stage.ts'

export interface PieceSwarmRules {
  readonly pieceLength: (layerBytes: number) => number
  readonly connectionsMax: number
  readonly announceMs: number
  /** Peers that the tracker gives at a time, at random; the seeder is among them. */
  readonly peersPerAnnounce: number
  /** Pieces asked of one peer at a time. */
  readonly piecesInFlight: number
  readonly isTieRandom: boolean
  /** Slots by what peers gave of late, and one at random; undefined: everybody is served. */
  readonly choking: { readonly slots: number; readonly everyMs: number } | undefined
  /** A blob so short is asked of everybody at once. */
  readonly alwaysEndgameBytes: number
}

/** Requests of a piece that may be under way at a time once everything has been asked for. */
const ENDGAME_REQUESTS_MAX = 3
/** A peer that keeps a request so long is asked no more (Kraken's piece timeout; stock clients take up to a minute). */
const REQUEST_TIMEOUT_MS = 16_000

interface PieceNode extends Member {
  readonly have: Bitfield
  readonly links: Link[]
  /** How often each piece is being asked for. */
  readonly asked: Uint8Array
  askedCount: number
  readonly isSeeder: boolean
}

/** One end of a connection. */
interface Link {
  readonly node: PieceNode
  other: Link
  outward: Pipe<Message, number>
  inFlight: number[]
  givenBytes: number
  isChoking: boolean
  isOpen: boolean
  /** Something of the other end is missing here. */
  lastIndex: number
}

type Message = { kind: 'have' | 'request'; index: number } | { kind: 'unchoke' | 'choke' }

export function simulatePieceSwarm(
  scenario: Scenario,
  name: StrategyName,
  rules: PieceSwarmRules,
  onProgress: (progress: SimulationProgress) => void,
) {
  return new PieceSwarm(scenario, name, rules).run(onProgress)
}

class PieceSwarm {
  readonly #rules: PieceSwarmRules
  readonly #stage: Stage<PieceNode>
  readonly #prng: Prng
  readonly #pieces: number[]
  readonly #alwaysEndgame: boolean
  readonly #availability: Uint32Array
  readonly #seeder: PieceNode
  readonly #known: PieceNode[] = []

  constructor(scenario: Scenario, name: StrategyName, rules: PieceSwarmRules) {
    this.#rules = rules
    this.#stage = new Stage(scenario, name)
    this.#prng = createPrng(scenario.seed + 7)
    this.#pieces = scenario.layers.flatMap((length) => {
      const shape = { length, pieceLength: rules.pieceLength(length) }
      return Array.from({ length: pieceCount(shape) }, (_, index) => pieceBytes(shape, index))
    })
    this.#alwaysEndgame = scenario.layers.every((bytes) => bytes <= rules.alwaysEndgameBytes)
    this.#availability = new Uint32Array(this.#pieces.length)
    this.#seeder = this.#create(undefined, this.#stage.seeder)
    for (let index = 0; index < this.#pieces.length; index++) this.#seeder.have.set(index)
  }

  run(onProgress: (progress: SimulationProgress) => void) {
    const { choking } = this.#rules
    if (choking !== undefined) this.#every(choking.everyMs, () => this.#rechoke(this.#seeder), this.#seeder)
    return this.#stage.run(
      {
        create: (plan, host) => this.#create(plan, host),
        start: (node) => {
          this.#known.push(node)
          this.#announce(node)
          if (choking !== undefined) this.#every(choking.everyMs, () => this.#rechoke(node), node)
        },
        died: (node) => this.#gone(node),
        seederDied: () => this.#gone(this.#seeder),
      },
      onProgress,
    )
  }

  #create(plan: PieceNode['plan'] | undefined, host: Host): PieceNode {
    return {
      plan: plan!,
      host,
      startedAtMs: undefined,
      isDone: false,
      have: new Bitfield(this.#pieces.length),
      links: [],
      asked: new Uint8Array(this.#pieces.length),
      askedCount: 0,
      isSeeder: plan === undefined,
    }
  }

  #every(ms: number, act: () => void, node: PieceNode): void {
    this.#stage.queue.at(this.#stage.queue.nowMs + ms, {
      run: () => {
        if (node.host.isDead) return
        act()
        this.#every(ms, act, node)
      },
    })
  }

  #announce(node: PieceNode): void {
    const { peersPerAnnounce, announceMs } = this.#rules
    const { queue, scenario } = this.#stage
    queue.after(2 * scenario.latencyMs, {
      run: () => {
        const peers = this.#stage.isSeederDead ? [] : [this.#seeder]
        for (let draw = 0; draw < peersPerAnnounce && this.#known.length > 1; draw++)
          peers.push(this.#known[this.#prng.below(this.#known.length)]!)
        for (const peer of peers) this.#connect(node, peer)
      },
    })
    queue.at(queue.nowMs + announceMs, {
      run: () => {
        if (!node.host.isDead && !node.isDone) this.#announce(node)
      },
    })
  }

  #connect(node: PieceNode, peer: PieceNode): void {
    const { connectionsMax } = this.#rules
    if (peer === node || node.host.isDead || peer.host.isDead || node.isDone) return
    if (node.links.length >= connectionsMax || peer.links.length >= connectionsMax) return
    if (node.links.some(({ other }) => other.node === peer)) return
    const { network, queue } = this.#stage
    const [ours, theirs] = [this.#link(node), this.#link(peer)]
    ours.other = theirs
    theirs.other = ours
    ours.outward = this.#pipe(ours)
    theirs.outward = this.#pipe(theirs)
    node.links.push(ours)
    peer.links.push(theirs)
    queue.at(queue.nowMs + 4 * network.latencyMs(node.host, peer.host), {
      run: () => {
        for (const link of [ours, theirs]) {
          link.isOpen = true
          const { choking } = this.#rules
          const unchoked = link.node.links.filter(({ isChoking }) => !isChoking).length
          if (choking === undefined || unchoked < choking.slots) link.isChoking = false
        }
        this.#fill(ours)
        this.#fill(theirs)
      },
    })
  }

  #link(node: PieceNode): Link {
    return {
      node,
      other: undefined as unknown as Link,
      outward: undefined as unknown as Pipe<Message, number>,
      inFlight: [],
      givenBytes: 0,
      isChoking: true,
      isOpen: false,
      lastIndex: 0,
    }
  }

  #pipe(link: Link): Pipe<Message, number> {
    return this.#stage.network.pipe(link.node.host, link.other.node.host, {
      onMessage: (message) => this.#hear(link.other, message),
      onBlockSent: () => {},
      onBlockArrived: (index) => this.#take(link.other, index),
    })
  }

  #hear(link: Link, message: Message): void {
    if (message.kind === 'request') {
      if (!link.isChoking && !link.node.plan?.isBlackHole)
        link.outward.sendBlock(message.index, this.#pieces[message.index]!)
    } else this.#fill(link)
  }

  #take(link: Link, index: number): void {
    const { node } = link
    const bytes = this.#pieces[index]!
    const position = link.inFlight.indexOf(index)
    if (position >= 0) {
      link.inFlight.splice(position, 1)
      this.#unask(node, index)
    }
    link.givenBytes += bytes
    this.#stage.measure.received(link.other.node.isSeeder ? 'seeder' : 'peer', bytes)
    if (node.have.set(index)) {
      this.#availability[index]!++
      for (const other of node.links) if (other.isOpen) other.outward.sendMessage({ kind: 'have', index })
      if (node.have.isFull && !node.isDone) this.#stage.finished(node)
    }
    this.#fill(link)
  }

  #unask(node: PieceNode, index: number): void {
    if (--node.asked[index]! === 0) node.askedCount--
  }

  /** Asks the peer for what it has and this node lacks. */
  #fill(link: Link): void {
    const { node, other } = link
    if (!link.isOpen || other.isChoking || node.have.isFull || node.host.isDead) return
    while (link.inFlight.length < this.#rules.piecesInFlight) {
      const index = this.#choose(link)
      if (index === undefined) return
      link.inFlight.push(index)
      if (node.asked[index]!++ === 0) node.askedCount++
      link.outward.sendMessage({ kind: 'request', index })
      this.#stage.queue.at(this.#stage.queue.nowMs + REQUEST_TIMEOUT_MS, {
        run: () => {
          const position = link.inFlight.indexOf(index)
          if (position < 0 || node.have.has(index)) return
          link.inFlight.splice(position, 1)
          this.#unask(node, index)
          for (const one of node.links) if (one !== link) this.#fill(one)
        },
      })
    }
  }

  #choose({ node, other, inFlight }: Link): number | undefined {
    const theirs = other.node.have
    const isEndgame = this.#alwaysEndgame || node.have.setCount + node.askedCount >= node.have.length
    let best: number | undefined
    let ties = 0
    for (
      let index = node.have.nextMissing();
      index < node.have.length;
      index = node.have.nextMissing(index + 1)
    ) {
      if (!theirs.has(index)) continue
      const asked = node.asked[index]!
      if (asked > 0 && (!isEndgame || asked >= ENDGAME_REQUESTS_MAX || inFlight.includes(index))) continue
      const difference = best === undefined ? -1 : this.#availability[index]! - this.#availability[best]!
      if (difference < 0) {
        best = index
        ties = 1
      } else if (difference === 0 && this.#rules.isTieRandom && this.#prng.next() < 1 / ++ties) best = index
    }
    return best
  }

  /** Unchokes those that gave most of late, and one by chance; a seeder those who come next. */
  #rechoke(node: PieceNode): void {
    const { slots } = this.#rules.choking!
    const open = node.links.filter(({ isOpen }) => isOpen)
    const order = node.have.isFull
      ? this.#prng.shuffled(open)
      : [...open].sort((a, b) => b.givenBytes - a.givenBytes || a.lastIndex - b.lastIndex)
    const chosen = new Set(order.slice(0, slots))
    const others = order.slice(slots)
    if (others.length > 0) chosen.add(others[this.#prng.below(others.length)]!)
    for (const link of open) {
      link.givenBytes = 0
      const wasChoking = link.isChoking
      link.isChoking = !chosen.has(link)
      if (wasChoking && !link.isChoking) link.outward.sendMessage({ kind: 'unchoke' })
    }
  }

  #gone(node: PieceNode): void {
    const place = this.#known.indexOf(node)
    if (place >= 0) this.#known.splice(place, 1)
    for (const link of node.links.splice(0)) {
      link.outward.close()
      link.other.outward.close()
      link.isOpen = false
      link.other.isOpen = false
      const peer = link.other.node
      peer.links.splice(peer.links.indexOf(link.other), 1)
      for (const index of link.other.inFlight.splice(0)) this.#unask(peer, index)
      for (const one of [...peer.links]) this.#fill(one)
    }
  }
}

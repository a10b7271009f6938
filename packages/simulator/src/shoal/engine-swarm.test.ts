/**
 * Goal: engines that decide alone bring every piece to every node, soon, whatever some of them do. Method: swarms in memory
 * on virtual time, with every promise checked after every step; the same seed gives the same run.
 */
import { createPrng } from '@shoal/core'
import { describe, expect, it } from 'vitest'
import { EngineSwarm, INFO_HASH, type Member, type MemberInit } from '../testing/engine-swarm.ts'

const MIB = 1024 * 1024
/** 32 pieces of 256 KiB: at 1,000 bytes per ms one uplink needs 8.4 s for all. */
const SHAPE = { length: 8 * MIB - 1000, pieceLength: 256 * 1024 }
const BOUND_MS = SHAPE.length / 1000

function swarmOf(inits: readonly Partial<MemberInit>[], latencyMs = 2) {
  const swarm = new EngineSwarm({ shape: SHAPE, latencyMs })
  const nodes = inits.map((init, number) => swarm.add({ name: `n${number}`, have: 'none', ...init }))
  return { swarm, nodes }
}

/** Each node is told of some that came before it, those with the fewest neighbours first, as the tracker's handout does. */
function introduce(swarm: EngineSwarm, nodes: readonly Member[], neighbours: number): void {
  const prng = createPrng(7)
  const degrees = new Map(nodes.map((node) => [node, 0]))
  for (const [number, node] of nodes.entries()) {
    const chosen = prng
      .shuffled(nodes.slice(0, number))
      .sort((a, b) => degrees.get(a)! - degrees.get(b)!)
      .slice(0, neighbours)
    for (const one of [node, ...chosen])
      degrees.set(one, degrees.get(one)! + (one === node ? chosen.length : 1))
    swarm.introduce(node, chosen)
  }
}

const isComplete = (nodes: readonly Member[]) => () =>
  nodes.every(({ node, completeAtMs }) => node.isDead || completeAtMs !== undefined)
const lastAtMs = (nodes: readonly Member[]) => Math.max(...nodes.map((node) => node.completeAtMs ?? 0))

describe('a swarm of engines', () => {
  it('brings a blob from one node to another at the rate of the link', () => {
    const { swarm, nodes } = swarmOf([{ have: 'all' }, {}])
    introduce(swarm, nodes, 1)
    expect(swarm.run(isComplete(nodes), 60_000)).toBe(true)
    expect(lastAtMs(nodes)).toBeLessThan(BOUND_MS * 1.03)
    expect(nodes[0]!.node.init.host.sentBytes).toBe(SHAPE.length)
  })

  it('fills a link of long delay: the window grows with bandwidth × delay', () => {
    const { swarm, nodes } = swarmOf([{ have: 'all' }, {}], 100)
    introduce(swarm, nodes, 1)
    expect(swarm.run(isComplete(nodes), 60_000)).toBe(true)
    // Handshakes, and some rounds until the window is found.
    expect(lastAtMs(nodes)).toBeLessThan(BOUND_MS * 1.03 + 1_500)
  })

  it('brings it to twenty nodes from one, in little more than the time for one', () => {
    const { swarm, nodes } = swarmOf([{ have: 'all' }, ...Array(19).fill({})])
    introduce(swarm, nodes, 5)
    expect(swarm.run(isComplete(nodes), 60_000)).toBe(true)
    expect(lastAtMs(nodes)).toBeLessThan(BOUND_MS * 1.75)
    // The seeder sends little more than the blob once or twice; the nodes do the rest.
    expect(nodes[0]!.node.init.host.sentBytes).toBeLessThan(SHAPE.length * 2)
    const received = nodes.reduce((sum, { node }) => sum + node.init.host.receivedBytes, 0)
    expect(received).toBeLessThan(19 * SHAPE.length * 1.12)
  })

  it('passes on what its source is still receiving, each piece from the source little more than once', () => {
    const { swarm, nodes } = swarmOf([{ have: 'growing' }, ...Array(8).fill({})])
    introduce(swarm, nodes, 5)
    // As fast as its own link, so that nothing would be left for sending a piece to everybody.
    swarm.grow(nodes[0]!, SHAPE.pieceLength / 1000)
    expect(swarm.run(isComplete(nodes), 60_000)).toBe(true)
    // From the last piece on the source's desk to everybody's: some hops of one piece each.
    expect(lastAtMs(nodes)).toBeLessThan(BOUND_MS * 1.5)
    expect(nodes[0]!.node.init.host.sentBytes).toBeLessThan(SHAPE.length * 1.5)
  })

  it('is not held up by a source in another zone, while all others are in one', () => {
    const zone = 'b'
    const { swarm, nodes } = swarmOf([{ have: 'all', isSource: true, zone: 'a' }, ...Array(4).fill({ zone })])
    introduce(swarm, nodes, 4)
    expect(swarm.run(isComplete(nodes), 60_000)).toBe(true)
    expect(lastAtMs(nodes)).toBeLessThan(BOUND_MS * 1.3)
    expect(nodes[0]!.node.init.host.sentBytes).toBeLessThan(SHAPE.length * 1.3)
  })

  it('gets even what nobody in the zone has a share of, once nothing else comes any more', () => {
    const zone = 'b'
    const { swarm, nodes } = swarmOf([{ have: 'all', zone: 'a' }, { zone }, { zone }])
    for (const [position, node] of nodes.slice(1).entries()) {
      const remainders = position === 0 ? [0] : []
      swarm.tell(node, { kind: 'imports-set', infoHash: INFO_HASH, imports: { modulus: 2, remainders } })
    }
    introduce(swarm, nodes, 2)
    expect(swarm.run(isComplete(nodes), 60_000)).toBe(true)
  })

  it('is the same run with the same seed', () => {
    const run = () => {
      const { swarm, nodes } = swarmOf([{ have: 'all' }, ...Array(9).fill({})])
      introduce(swarm, nodes, 4)
      swarm.run(isComplete(nodes), 60_000)
      return [swarm.steps, swarm.nowMs, ...nodes.map(({ node }) => node.init.host.sentBytes)]
    }
    expect(run()).toEqual(run())
  })

  it('is hardly delayed by one slow peer and one black hole among four', () => {
    const timeWith = (others: readonly Partial<MemberInit>[]) => {
      const sources = [{ have: 'all' as const }, { have: 'all' as const }, ...others]
      const { swarm, nodes } = swarmOf([...sources, {}])
      swarm.introduce(nodes.at(-1)!, nodes.slice(0, -1))
      expect(swarm.run(isComplete(nodes), 60_000)).toBe(true)
      return lastAtMs(nodes)
    }
    const alone = timeWith([])
    const disturbed = timeWith([
      { have: 'all', bytesPerMs: 100 },
      { have: 'all', isBlackHole: true },
    ])
    expect(disturbed).toBeLessThan(alone * 1.1)
  })

  it('leaves a reader not waiting for a black hole', () => {
    const { swarm, nodes } = swarmOf([{ have: 'all', isBlackHole: true }, {}, { have: 'all' }])
    const [blackHole, reader, source] = nodes as [Member, Member, Member]
    swarm.tell(reader, { kind: 'readers-moved', infoHash: INFO_HASH, pieceIndexes: [0] })
    swarm.introduce(reader, [blackHole])
    swarm.at(20, () => swarm.introduce(reader, [source]))
    expect(swarm.run(() => reader.have.has(0), 60_000)).toBe(true)
    expect(swarm.nowMs).toBeLessThan(2_000)
  })

  it('waits out a source that is silent for a while, and gives up one that stays so', () => {
    const { swarm, nodes } = swarmOf([{ have: 'all', isBlackHole: true }, {}])
    introduce(swarm, nodes, 1)
    expect(swarm.run(isComplete(nodes), 120_000)).toBe(false)
    expect(nodes[1]!.node.init.host.receivedBytes).toBe(0)
  })

  it('drops who lies, blames nobody else, and finishes', () => {
    const { swarm, nodes } = swarmOf([{ have: 'all' }, { have: 'all', isLiar: true }, ...Array(6).fill({})])
    for (const node of nodes.slice(2)) swarm.introduce(node, nodes)
    expect(swarm.run(isComplete(nodes), 60_000)).toBe(true)
    for (const { node } of nodes.slice(2)) {
      // What it had sent when the first bad piece was found may be bad as well.
      expect(node.badPieces).toBeGreaterThan(0)
      expect(node.badPieces).toBeLessThanOrEqual(4)
    }
  })

  it('survives a fifth of its nodes and the seeder, once every piece is out', () => {
    const { swarm, nodes } = swarmOf([{ have: 'all' }, ...Array(20).fill({})])
    introduce(swarm, nodes, 6)
    swarm.at(BOUND_MS * 0.5, () => {
      for (const node of nodes.slice(5, 9)) swarm.crash(node)
    })
    const isOut = () => {
      for (let index = 0; index < 32; index++)
        if (!nodes.slice(1).some(({ node, have }) => !node.isDead && have.has(index))) return false
      return true
    }
    expect(swarm.run(isOut, 60_000)).toBe(true)
    swarm.crash(nodes[0]!)
    expect(swarm.run(isComplete(nodes), 120_000)).toBe(true)
  })

  it('finds out by itself who has died in silence', () => {
    const { swarm, nodes } = swarmOf([{ have: 'all' }, { have: 'all' }, {}, {}])
    for (const node of nodes.slice(2)) swarm.introduce(node, nodes)
    swarm.at(BOUND_MS * 0.3, () => swarm.crash(nodes[0]!, false))
    expect(swarm.run(isComplete(nodes), 60_000)).toBe(true)
  })

  it('keeps nothing of those that part, while they come and go, lie and wait for buffers', () => {
    for (let seed = 1; seed <= 2; seed++) {
      const prng = createPrng(seed)
      const limits = { receiveBytesMax: 600_000, connectionsPerSwarmMax: 4 }
      const { swarm, nodes } = swarmOf([
        { have: 'growing' },
        { have: 'all', isLiar: true },
        { have: 'all', bytesPerMs: 100 },
        ...Array(6).fill({ limits }),
      ])
      for (const node of nodes) swarm.introduce(node, nodes)
      swarm.grow(nodes[0]!, SHAPE.pieceLength / 1000)
      for (let atMs = 500; atMs < BOUND_MS; atMs += 250)
        swarm.at(atMs, () => {
          const some = nodes[3 + prng.below(6)]!
          swarm.rejoin(some)
          swarm.introduce(some, prng.shuffled(nodes))
        })
      expect(swarm.run(isComplete(nodes), 120_000), `seed ${seed}`).toBe(true)
    }
  })

  it('keeps within small buffers', () => {
    const limits = { receiveBytesMax: 600_000 }
    const { swarm, nodes } = swarmOf([{ have: 'all' }, { have: 'all' }, { have: 'all' }, { limits }])
    swarm.introduce(nodes[3]!, nodes)
    expect(swarm.run(isComplete(nodes), 60_000)).toBe(true)
  })

  it('holds its rates', () => {
    const limits = { downloadBytesPerSecond: 500_000 }
    const slowed = swarmOf([{ have: 'all' }, { limits }])
    introduce(slowed.swarm, slowed.nodes, 1)
    expect(slowed.swarm.run(isComplete(slowed.nodes), 60_000)).toBe(true)
    expect(lastAtMs(slowed.nodes)).toBeGreaterThan(BOUND_MS * 1.9)
    const source = swarmOf([{ have: 'all', limits: { uploadBytesPerSecond: 500_000 } }, {}])
    introduce(source.swarm, source.nodes, 1)
    expect(source.swarm.run(isComplete(source.nodes), 60_000)).toBe(true)
    expect(lastAtMs(source.nodes)).toBeGreaterThan(BOUND_MS * 1.9)
    expect(lastAtMs(source.nodes)).toBeLessThan(BOUND_MS * 2.2)
  })

  it('asks for nothing while it is paused, and goes on after', () => {
    const { swarm, nodes } = swarmOf([{ have: 'all' }, {}])
    introduce(swarm, nodes, 1)
    swarm.at(2_000, () => swarm.tell(nodes[1]!, { kind: 'download-paused', infoHash: INFO_HASH }))
    let pausedWith = 0
    swarm.at(3_000, () => {
      pausedWith = nodes[1]!.have.setCount
    })
    swarm.at(9_000, () => {
      expect(nodes[1]!.have.setCount).toBe(pausedWith)
      swarm.tell(nodes[1]!, { kind: 'download-wanted', infoHash: INFO_HASH })
    })
    expect(swarm.run(isComplete(nodes), 60_000)).toBe(true)
    expect(pausedWith).toBeGreaterThan(0)
  })

  it('costs microseconds an event', () => {
    const { swarm, nodes } = swarmOf([{ have: 'all' }, {}])
    introduce(swarm, nodes, 1)
    swarm.run(isComplete(nodes), 60_000)
    // 32 pieces in at most a few blocks each: a handful of events per block, and the timer.
    expect(swarm.steps).toBeLessThan(2_000)
  })
})

/**
 * Goal: the model of the network is what docs/fan-out.md says. Method: single transfers, two that share a link, a chain, a
 * zone's gate, each against arithmetic.
 */
import { describe, expect, it } from 'vitest'
import { Host, Network, type Pipe } from './network.ts'
import { TimeQueue } from './time-queue.ts'

const LATENCY_MS = 0.1
const RATE = 1000 // bytes per ms
const MIB = 1024 * 1024

function setUp(init: { zones?: number; crossBytesPerMs?: number } = {}) {
  const queue = new TimeQueue()
  const network = new Network(queue, {
    latencyMs: LATENCY_MS,
    crossLatencyMs: 1,
    zoneCount: init.zones ?? 1,
    crossBytesPerMs: init.crossBytesPerMs ?? Number.POSITIVE_INFINITY,
    linkBytesPerMs: RATE,
  })
  const host = (rate = RATE, zone = 0) => new Host({ upBytesPerMs: rate, downBytesPerMs: rate, zone })
  const arrived = new Map<string, number>()
  const pipe = (from: Host, to: Host, name: string): Pipe<string, string> =>
    network.pipe(from, to, {
      onMessage: (message) => arrived.set(message, queue.nowMs),
      onBlockSent: () => {},
      onBlockArrived: (block) => arrived.set(`${name} ${block}`, queue.nowMs),
    })
  const run = () => {
    while (queue.runOne(1e9));
  }
  return { queue, network, host, pipe, arrived, run }
}

/** Slow start, then the last quantum's way through both links. */
const EXTRA_MS = 8 * LATENCY_MS + LATENCY_MS + 16.384 + 0.001

describe('the model of the network', () => {
  it('carries one transfer at the rate of the link', () => {
    const { host, pipe, arrived, run } = setUp()
    pipe(host(), host(), 'a').sendBlock('x', MIB)
    run()
    expect(arrived.get('a x')).toBeGreaterThanOrEqual(MIB / RATE)
    expect(arrived.get('a x')).toBeLessThanOrEqual(MIB / RATE + EXTRA_MS)
  })

  it('carries it at the rate of the slower end', () => {
    const { host, pipe, arrived, run } = setUp()
    pipe(host(), host(RATE / 4), 'a').sendBlock('x', MIB)
    run()
    expect(arrived.get('a x')).toBeGreaterThanOrEqual((4 * MIB) / RATE)
    expect(arrived.get('a x')).toBeLessThanOrEqual((4 * MIB) / RATE + 4 * EXTRA_MS)
  })

  it('shares an uplink evenly', () => {
    const { host, pipe, arrived, run } = setUp()
    const from = host()
    pipe(from, host(), 'a').sendBlock('x', MIB)
    pipe(from, host(), 'b').sendBlock('x', MIB)
    run()
    for (const name of ['a x', 'b x']) {
      expect(arrived.get(name)).toBeGreaterThan((2 * MIB) / RATE - 17)
      expect(arrived.get(name)).toBeLessThanOrEqual((2 * MIB) / RATE + EXTRA_MS)
    }
  })

  it('shares a downlink evenly', () => {
    const { host, pipe, arrived, run } = setUp()
    const to = host()
    pipe(host(), to, 'a').sendBlock('x', MIB)
    pipe(host(), to, 'b').sendBlock('x', MIB)
    run()
    const times = [...arrived.values()]
    expect(Math.max(...times)).toBeLessThanOrEqual((2 * MIB) / RATE + EXTRA_MS)
    expect(Math.min(...times)).toBeGreaterThan((2 * MIB) / RATE - 100)
  })

  it('gives what one transfer cannot use to another', () => {
    const { host, pipe, arrived, run } = setUp()
    const from = host()
    pipe(from, host(RATE / 10), 'slow').sendBlock('x', MIB)
    pipe(from, host(), 'fast').sendBlock('x', MIB)
    run()
    // The slow one takes a tenth of the uplink.
    expect(arrived.get('fast x')).toBeLessThanOrEqual((MIB / RATE) * 1.15 + 5 * EXTRA_MS)
  })

  it('passes a chain of pieces on, each hop one piece later', () => {
    const { queue, network, host, arrived, run } = setUp()
    const [a, b, c] = [host(), host(), host()]
    const onward: Pipe<never, number> = network.pipe(b, c, {
      onMessage: () => {},
      onBlockSent: () => {},
      onBlockArrived: (index) => arrived.set(`c ${index}`, queue.nowMs),
    })
    const first: Pipe<never, number> = network.pipe(a, b, {
      onMessage: () => {},
      onBlockSent: () => {},
      onBlockArrived: (index) => onward.sendBlock(index, MIB / 8),
    })
    for (let index = 0; index < 8; index++) first.sendBlock(index, MIB / 8)
    run()
    const ideal = (MIB + MIB / 8) / RATE
    expect(arrived.get('c 7')).toBeGreaterThanOrEqual(ideal)
    expect(arrived.get('c 7')).toBeLessThanOrEqual(ideal + 2 * EXTRA_MS)
  })

  it('has a zone’s gate carry what all of the zone’s transfers take together', () => {
    const { network, host, pipe, arrived, run } = setUp({ zones: 2, crossBytesPerMs: RATE })
    pipe(host(RATE, 0), host(RATE, 1), 'a').sendBlock('x', MIB)
    pipe(host(RATE, 0), host(RATE, 1), 'b').sendBlock('x', MIB)
    run()
    expect(Math.max(...arrived.values())).toBeGreaterThanOrEqual((2 * MIB) / RATE)
    expect(network.crossZoneBytes).toEqual([0, 2 * MIB])
  })

  it('brings a message after a latency, and behind a block that was before it in the pipe', () => {
    const { host, pipe, arrived, run } = setUp()
    const [a, b] = [host(), host()]
    const one = pipe(a, b, 'a')
    one.sendMessage('at once')
    one.sendBlock('x', MIB)
    one.sendMessage('behind')
    run()
    expect(arrived.get('at once')).toBeCloseTo(LATENCY_MS)
    expect(arrived.get('behind')).toBeGreaterThanOrEqual(MIB / RATE)
  })

  it('loses what is on its way to one that dies, and counts it', () => {
    const { queue, network, host, pipe, arrived, run } = setUp()
    const [a, b] = [host(), host()]
    pipe(a, b, 'a').sendBlock('x', MIB)
    queue.at(500, {
      run: () => {
        b.isDead = true
      },
    })
    run()
    expect(arrived.size).toBe(0)
    expect(network.travellingBytes).toBe(0)
    expect(a.sentBytes).toBe(b.receivedBytes + network.lostBytes)
  })
})

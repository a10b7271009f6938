/**
 * Goal: an agent tells who reaches it and whom it reaches, once for all who ask at a time; what the tracker or a stranger
 * sends amiss makes no report wrong, nobody wait, and nothing grow.
 * Method: the announcer and the dials are the test's own.
 */
import { EventEmitter } from 'node:events'
import type { PeerAddress } from '@shoal/core'
import type { Dialled } from '@shoal/swarm'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { AnnouncerEvents, TriesAnswer } from './announcer.ts'
import { Reachability } from './reachability.ts'

const peer = (n: number): PeerAddress => ({
  peerId: n.toString(16).padStart(40, '0'),
  host: `10.0.0.${n}`,
  port: 6001,
  role: 'agent',
})
const good: Dialled = { outcome: 'reached', ms: 1 }

class FakeAnnouncer extends EventEmitter<AnnouncerEvents> {
  isConnected = true
  canTryPeers = true
  readonly asked: number[] = []
  readonly answers: [number, Dialled][] = []
  tryPeers(id: number) {
    this.asked.push(id)
  }
  dialled(id: number, result: Dialled) {
    this.answers.push([id, result])
  }
  hear(answer: TriesAnswer) {
    this.emit('tries', answer)
  }
}

let announcer: FakeAnnouncer
let reachability: Reachability
/** Dials that have not been decided yet. */
let dials: { peer: PeerAddress; settle: (dialled: Dialled) => void }[]

beforeEach(() => {
  vi.useFakeTimers()
  announcer = new FakeAnnouncer()
  dials = []
  reachability = new Reachability({
    announcer: announcer as never,
    dialPeer: (to) => new Promise((settle) => dials.push({ peer: to, settle })),
    log: pino({ level: 'silent' }),
  })
})
afterEach(() => vi.useRealTimers())

const told = (id: number, peers = [peer(2), peer(3)]): TriesAnswer => ({
  type: 'peers-to-try',
  id,
  you: peer(1),
  peers: peers.map((one) => ({ peer: one, name: `n${one.port}`, zone: 'a' })),
})
const tried = (id: number, ...tries: Extract<TriesAnswer, { type: 'tried' }>['tries']): TriesAnswer => ({
  type: 'tried',
  id,
  tries,
})

describe('a report', () => {
  test('has both ways of each peer, and where this agent is said to be', async () => {
    const report = reachability.report()
    announcer.hear(told(0))
    announcer.hear(tried(0, { peerId: peer(2).peerId, outcome: 'silent', ms: 2_000 }))
    for (const { settle } of dials) settle(good)
    expect(await report).toEqual({
      kind: 'tried',
      announced: { host: '10.0.0.1', port: 6001 },
      peers: [
        { ...peer(2), name: 'n6001', zone: 'a', outgoing: good, incoming: { outcome: 'silent', ms: 2_000 } },
        { ...peer(3), name: 'n6001', zone: 'a', outgoing: good },
      ],
    })
  })

  test('is the same for all who ask at a time and shortly after, and a new one later', async () => {
    const reports = [reachability.report(), reachability.report()]
    announcer.hear({ type: 'try-refused', id: 0 })
    expect(await Promise.all([...reports, reachability.report()])).toEqual(
      new Array(3).fill({ kind: 'unavailable', reason: 'busy' }),
    )
    expect(announcer.asked).toEqual([0])
    await vi.advanceTimersByTimeAsync(2_001)
    void reachability.report()
    expect(announcer.asked).toEqual([0, 1])
  })

  test.each([
    ['the stream is closed', { isConnected: false, canTryPeers: false }, 'stream-closed'],
    ['the tracker is older', { isConnected: true, canTryPeers: false }, 'unsupported'],
  ])('says so where %s', async (_what, state, reason) => {
    Object.assign(announcer, state)
    expect(await reachability.report()).toEqual({ kind: 'unavailable', reason })
    expect(announcer.asked).toEqual([])
  })

  test('ends when the stream closes, and when nobody answers', async () => {
    const first = reachability.report()
    announcer.emit('closed')
    expect(await first).toEqual({ kind: 'unavailable', reason: 'stream-closed' })
    await vi.advanceTimersByTimeAsync(2_001)
    const second = reachability.report()
    announcer.hear(told(1))
    await vi.advanceTimersByTimeAsync(4_000)
    expect(await second).toEqual({ kind: 'unavailable', reason: 'no-answer' })
  })

  test('is made of answers to its own question, once, in their order', async () => {
    const report = reachability.report()
    announcer.hear(tried(0, { peerId: peer(9).peerId, ...good }))
    announcer.hear(told(5, [peer(66)]))
    announcer.hear(told(0))
    announcer.hear(told(0, [peer(66)]))
    expect(dials.map((dial) => dial.peer)).toEqual([peer(2), peer(3)])
    for (const { settle } of dials) settle(good)
    announcer.hear(tried(5, { peerId: peer(2).peerId, ...good }))
    announcer.hear(tried(0, { peerId: peer(66).peerId, ...good }))
    expect(await report).toMatchObject({ peers: [{ host: '10.0.0.2' }, { host: '10.0.0.3' }] })
    expect(JSON.stringify(await report)).not.toContain('incoming')
  })

  test('comes too late for nobody: answers without a question dial nothing', () => {
    announcer.hear(told(0))
    announcer.hear(tried(0))
    expect(dials).toEqual([])
  })
})

describe('dials for others', () => {
  test('are answered with what they met', async () => {
    announcer.emit('dial', 7, peer(2))
    dials[0]!.settle({ outcome: 'refused', ms: 3 })
    await vi.advanceTimersByTimeAsync(0)
    expect(announcer.answers).toEqual([[7, { outcome: 'refused', ms: 3 }]])
  })

  test('are few at a time: beyond them nothing is dialled or said', async () => {
    for (let id = 0; id < 100; id++) announcer.emit('dial', id, peer(2))
    expect(dials).toHaveLength(16)
    for (const { settle } of dials) settle(good)
    await vi.advanceTimersByTimeAsync(0)
    expect(announcer.answers).toHaveLength(16)
    announcer.emit('dial', 100, peer(2))
    expect(dials).toHaveLength(17)
  })
})

/**
 * Goal: many pieces of news are few frames, in an order that the agent can use; who is gone is not written to.
 * Method: timers that the test moves.
 */
import type { PeerAddress, PeerId } from '@shoal/core'
import { decodeTrackerMessage, SWARMS_PER_FRAME_MAX, type TrackerMessage } from '@shoal/wire'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Outbox } from './outbox.ts'

const id = (n: number) => n.toString(16).padStart(40, '0')
const A = 'aa'.repeat(20)
const B = 'bb'.repeat(20)
const peer = (n: number): PeerAddress => ({ peerId: id(n), host: '10.0.0.1', port: n + 1, role: 'agent' })

let sent: [to: PeerId, message: TrackerMessage][]
let outbox: Outbox
beforeEach(() => {
  vi.useFakeTimers()
  sent = []
  outbox = new Outbox({ send: (to, frame) => sent.push([to, decodeTrackerMessage(frame)]) })
})
afterEach(() => vi.useRealTimers())

it('writes one frame for the peers of all swarms, behind the shares that they are about', () => {
  outbox.peers('x', A, [peer(1)])
  outbox.imports('x', A, { modulus: 4, remainders: [0, 1] })
  outbox.peers('x', B, [peer(2)])
  outbox.peers('x', A, [peer(3)])
  outbox.imports('x', A, { modulus: 4, remainders: [0] })
  expect(sent).toEqual([])
  vi.runAllTimers()
  expect(sent).toEqual([
    ['x', { type: 'imports', swarms: [{ infoHash: A, modulus: 4, remainders: [0] }] }],
    [
      'x',
      {
        type: 'peers',
        swarms: [
          { infoHash: A, peers: [peer(1), peer(3)] },
          { infoHash: B, peers: [peer(2)] },
        ],
      },
    ],
  ])
})

it('tells of newcomers in one frame, the latest if there are many', () => {
  for (let n = 0; n < 20; n++) outbox.contacts('x', [peer(n)])
  vi.runAllTimers()
  const agents = Array.from({ length: 16 }, (_, i) => peer(i + 4))
  expect(sent).toEqual([['x', { type: 'contacts', agents }]])
})

it('keeps frames and lists within what the other end takes', () => {
  for (let n = 0; n <= SWARMS_PER_FRAME_MAX; n++) outbox.peers('x', id(n), [peer(1)])
  for (let n = 0; n < 300; n++) outbox.peers('x', id(0), [peer(n)])
  vi.runAllTimers()
  const counts = sent.map(([, message]) => (message.type === 'peers' ? message.swarms.length : 0))
  expect(counts).toEqual([SWARMS_PER_FRAME_MAX, 1])
  const [, message] = sent[0]!
  expect(message.type === 'peers' && message.swarms[0]!.peers).toHaveLength(256)
})

it('writes nothing to who is gone, and nothing once closed', () => {
  outbox.peers('x', A, [peer(1)])
  outbox.peers('y', A, [peer(1)])
  outbox.forget('x')
  vi.runAllTimers()
  expect(sent.map(([to]) => to)).toEqual(['y'])
  outbox.peers('y', A, [peer(2)])
  outbox.close()
  vi.runAllTimers()
  expect(sent).toHaveLength(1)
})

/**
 * Goal: many pieces of news are few frames, in an order that the agent can use; who is gone is not written to.
 * Method: timers that the test moves.
 */
import type { PeerAddress, PeerId } from '@shoal/core'
import { SWARMS_PER_FRAME_MAX, type TrackerMessage } from '@shoal/wire'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Outbox } from './outbox.ts'

const peer = (n: number): PeerAddress => ({ peerId: String(n), host: '10.0.0.1', port: n, role: 'agent' })

let sent: [to: PeerId, message: TrackerMessage][]
let outbox: Outbox
beforeEach(() => {
  vi.useFakeTimers()
  sent = []
  outbox = new Outbox({ send: (to, message) => sent.push([to, message]) })
})
afterEach(() => vi.useRealTimers())

it('writes one frame for the peers of all swarms, behind the shares that they are about', () => {
  outbox.peers('x', 'a', [peer(1)])
  outbox.imports('x', 'a', { modulus: 4, remainders: [0, 1] })
  outbox.peers('x', 'b', [peer(2)])
  outbox.peers('x', 'a', [peer(3)])
  outbox.imports('x', 'a', { modulus: 4, remainders: [0] })
  expect(sent).toEqual([])
  vi.runAllTimers()
  expect(sent).toEqual([
    ['x', { type: 'imports', swarms: [{ infoHash: 'a', modulus: 4, remainders: [0] }] }],
    [
      'x',
      {
        type: 'peers',
        swarms: [
          { infoHash: 'a', peers: [peer(1), peer(3)] },
          { infoHash: 'b', peers: [peer(2)] },
        ],
      },
    ],
  ])
})

it('keeps frames and lists within what the other end takes', () => {
  for (let n = 0; n <= SWARMS_PER_FRAME_MAX; n++) outbox.peers('x', String(n), [peer(1)])
  for (let n = 0; n < 300; n++) outbox.peers('x', '0', [peer(n)])
  vi.runAllTimers()
  const counts = sent.map(([, message]) => (message.type === 'peers' ? message.swarms.length : 0))
  expect(counts).toEqual([SWARMS_PER_FRAME_MAX, 1])
  const [, message] = sent[0]!
  expect(message.type === 'peers' && message.swarms[0]!.peers).toHaveLength(256)
})

it('writes nothing to who is gone, and nothing once closed', () => {
  outbox.peers('x', 'a', [peer(1)])
  outbox.peers('y', 'a', [peer(1)])
  outbox.forget('x')
  vi.runAllTimers()
  expect(sent.map(([to]) => to)).toEqual(['y'])
  outbox.peers('y', 'a', [peer(2)])
  outbox.close()
  vi.runAllTimers()
  expect(sent).toHaveLength(1)
})

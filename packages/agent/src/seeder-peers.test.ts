/** Goal: bytes are counted as the seeder's by what was said of who sent them, however many seeders somebody makes up. */
import type { PeerAddress } from '@shoal/core'
import { expect, it } from 'vitest'
import { SEEDERS_MAX, SeederPeers } from './seeder-peers.ts'

const peer = (n: number, role: PeerAddress['role']): PeerAddress => ({
  peerId: n.toString(16).padStart(40, '0'),
  host: '10.0.0.1',
  port: 7001,
  role,
})

it('keeps the seeders that were heard of last', () => {
  const seeders = new SeederPeers()
  const [seeder, agent] = [peer(1, 'seeder'), peer(2, 'agent')]
  seeders.heard([seeder, agent])
  expect([seeders.has(seeder.peerId), seeders.has(agent.peerId)]).toEqual([true, false])
  const madeUp = Array.from({ length: SEEDERS_MAX }, (_, n) => peer(100 + n, 'seeder'))
  seeders.heard(madeUp.slice(1))
  seeders.heard([seeder])
  seeders.heard(madeUp.slice(0, 1))
  expect(seeders.has(seeder.peerId)).toBe(true)
  expect(madeUp.filter(({ peerId }) => seeders.has(peerId))).toHaveLength(SEEDERS_MAX - 1)
})

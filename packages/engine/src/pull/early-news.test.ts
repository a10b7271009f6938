/**
 * Goal: what is pushed before a swarm is joined reaches it, once, and a tracker that talks of ever more swarms fills nothing.
 * Method: by hand.
 */
import type { PeerAddress } from '@shoal/core'
import { expect, it } from 'vitest'
import { EarlyNews } from './early-news.ts'

const peer = (n: number): PeerAddress => ({ peerId: String(n), host: '10.0.0.1', port: n, role: 'agent' })

it('keeps all peers and the last word on imports until the swarm is joined', () => {
  const news = new EarlyNews()
  news.peers('a', [peer(1)])
  news.peers('a', [peer(2)])
  news.imports('a', { modulus: 4, remainders: [1] })
  news.imports('a', { modulus: 4, remainders: [] })
  expect(news.take('a')).toEqual({ peers: [peer(1), peer(2)], imports: { modulus: 4, remainders: [] } })
  expect(news.take('a')).toEqual({ peers: [], imports: undefined })
})

it('forgets everything with the stream', () => {
  const news = new EarlyNews()
  news.peers('a', [peer(1)])
  news.clear()
  expect(news.take('a').peers).toEqual([])
})

it('is bounded: the latest swarms and peers stay', () => {
  const news = new EarlyNews()
  for (let swarm = 0; swarm < 3_000; swarm++) news.peers(String(swarm), [peer(1)])
  expect(news.take('0').peers).toEqual([])
  for (let n = 1; n <= 100; n++) news.peers('2999', [peer(n)])
  expect(news.take('2999').peers.map(({ port }) => port)).toEqual(
    Array.from({ length: 64 }, (_, i) => i + 37),
  )
})

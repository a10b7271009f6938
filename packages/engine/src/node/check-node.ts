/** What must hold between any two steps of a node's engine. Expensive: for tests and the simulator. */
import { assert } from '@shoal/core'
import { bufferBytes, type Downloader } from './downloader.ts'
import type { NodeState } from './node-state.ts'
import type { NodeSwarm, Peer } from './swarm.ts'
import type { Uploader } from './uploader.ts'

export function checkNode(state: NodeState, downloader: Downloader, uploader: Uploader): void {
  const { limits } = state
  assert(state.peers.size <= limits.connectionsMax, 'connections are within their limit')
  for (const swarm of state.swarms.values()) checkSwarm(swarm, state)
  let peersInSwarms = 0
  for (const { peers } of state.swarms.values()) peersInSwarms += peers.size
  assert(peersInSwarms === state.peers.size, 'every peer is in a swarm')

  let receiveBytes = 0
  for (const fetch of downloader.fetches.values()) {
    receiveBytes += bufferBytes(fetch.bytes)
    assert(fetch.swarm.fetchesOf(fetch.index).includes(fetch), 'a swarm knows its fetches')
    assert(!fetch.swarm.have.has(fetch.index), 'nothing that is here is fetched')
    assert(fetch.arrivedBytes <= fetch.askedBytes, 'nothing arrives that was not asked for')
    assert(fetch.askedBytes <= fetch.bytes, 'nothing is asked for twice')
    const isFetching = fetch.state === 'fetching'
    assert(fetch.peer.fetches.includes(fetch) === isFetching, 'a peer knows the fetches that it works for')
    if (isFetching) assert(state.isConnected(fetch.peer), 'its peer is connected')
    assert(
      state.swarms.get(fetch.swarm.infoHash) === fetch.swarm,
      'nothing is fetched for a swarm that was left',
    )
    const { promisedTo } = fetch
    if (promisedTo !== undefined)
      assert(state.isConnected(promisedTo) && promisedTo.awaits === fetch, 'who awaits a piece is connected')
  }
  assert(receiveBytes === downloader.receiveBytes, 'buffers are counted right')
  assert(
    receiveBytes <= limits.receiveBytesMax || downloader.fetches.size === 1,
    'buffers are within their limit',
  )
  for (const peer of uploader.busy) assert(state.isConnected(peer), 'who is served is connected')
  for (const peer of downloader.starved) assert(state.isConnected(peer), 'who waits for room is connected')
  for (const peer of state.peers.values()) {
    assert(state.swarms.get(peer.swarm.infoHash) === peer.swarm, 'a peer is of a swarm that was joined')
    for (const fetch of peer.fetches)
      assert(downloader.fetches.get(fetch.id) === fetch, 'a peer works for nothing that was given up')
    if (peer.awaits !== undefined) {
      assert(downloader.fetches.get(peer.awaits.id) === peer.awaits, 'what a peer awaits is under way')
      assert(peer.awaits.promisedTo === peer, 'what a peer awaits is promised to it')
    }
  }
}

function checkSwarm(swarm: NodeSwarm, state: NodeState): void {
  const { limits } = state
  assert(swarm.peers.size <= limits.connectionsPerSwarmMax, 'a swarm’s connections are within their limit')
  const availability = new Uint16Array(swarm.have.length)
  const inside = new Uint16Array(swarm.have.length)
  for (const peer of swarm.peers) {
    assert(state.isConnected(peer), 'a peer of a swarm is connected')
    checkPeer(peer, limits.queuedRequestsPerPeerMax)
    for (let index = 0; index < peer.have.length; index++) {
      if (!peer.have.has(index)) continue
      availability[index]!++
      if (!peer.isOutside) inside[index]!++
    }
  }
  for (const [index, count] of availability.entries())
    assert(swarm.availability[index] === count, 'availability counts the peers that have a piece')
  for (const [index, count] of inside.entries())
    assert(swarm.availabilityInside[index] === count, 'availability inside counts those in the zone')
  let insidePeers = 0
  for (const peer of swarm.peers) if (!peer.isOutside && !peer.isSource) insidePeers++
  assert(insidePeers === swarm.insidePeers, 'peers in the zone are counted')
  let complete = 0
  for (const peer of swarm.peers) if (peer.have.isFull || peer.isSource) complete++
  assert(complete === swarm.completePeers, 'peers that have everything are counted')
  for (let index = 0; index < swarm.have.length; index++) {
    const isOpen = !swarm.have.has(index) && swarm.fetchesOf(index).length === 0
    assert(swarm.open.has(index) === isOpen, 'open is what is neither here nor being fetched')
  }
  for (const index of swarm.fetchedIndexes)
    assert(swarm.fetchesOf(index).length <= 2, 'a piece is fetched twice at most')
  checkShown(swarm)
  for (const { state: addressState, address } of swarm.addresses.values()) {
    if (addressState !== 'connected') continue
    const isDialled = ({ dialled }: Peer) => dialled?.host === address.host && dialled.port === address.port
    assert([...swarm.peers].some(isDialled), 'an address is connected while its peer is')
  }
}

/** What a source keeps of whom it has sent a piece first. */
function checkShown({ peers, shown, firstSentTo }: NodeSwarm): void {
  const unseen = new Map<Peer, number>()
  for (const first of firstSentTo) {
    if (first === undefined || first === 'seen') continue
    assert(peers.has(first), 'who was sent a piece first is connected')
    unseen.set(first, (unseen.get(first) ?? 0) + 1)
  }
  if (shown === undefined || shown.isFull) return
  for (const peer of peers)
    if (peer.shown !== undefined)
      assert(
        peer.shown.unseen === (unseen.get(peer) ?? 0),
        'pieces that nobody else was seen with are counted',
      )
}

function checkPeer(peer: Peer, queuedRequestsMax: number): void {
  const { swarm } = peer
  let wanted = 0
  for (let index = 0; index < peer.have.length; index++)
    if (peer.have.has(index) && !swarm.have.has(index)) wanted++
  assert(wanted === peer.wantedCount, 'what a peer has and this node lacks is counted')
  let outstandingBytes = 0
  for (const { block, fetch } of peer.requests) {
    outstandingBytes += block.length
    assert(fetch.state === 'fetching', 'requests belong to fetches under way')
  }
  assert(outstandingBytes === peer.pipeline.outstandingBytes, 'what was asked for is counted')
  assert(peer.requests.length <= peer.requestsMax, 'requests are within what the peer takes')
  assert(peer.queue.length <= queuedRequestsMax, 'queues are within their limit')
  for (const { index } of peer.queue) assert(swarm.have.has(index), 'only what is here is served')
}

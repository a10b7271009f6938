/** 160 connections on the peer port that say nothing. */
import { connect } from 'node:net'
import { shakesHands } from '../honest.ts'
import { type FloodRow, floodAddress, keepOpen } from '../row.ts'

const CONNECTIONS = 160

export const idlePeerConnections: FloodRow = {
  name: '160 idle connections on the peer port',
  honest: shakesHands,
  async flood(target, signal) {
    await keepOpen(CONNECTIONS, signal, (n) =>
      connect({
        host: target.peerHost,
        port: target.peerPort,
        localAddress: floodAddress(target, n),
      }).resume(),
    )
  },
}

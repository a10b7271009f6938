/**
 * The engine's limits as settings of a service: what an operator may spend on strangers and neighbours. The defaults are the
 * engine's own.
 */
import Type, { type Static, type TObject } from 'typebox'
import { DEFAULT_SWARM_LIMITS, type SwarmLimits } from './engine.ts'

const defaults = DEFAULT_SWARM_LIMITS

export const swarmLimitSettings = {
  connectionsMax: Type.Integer({
    default: defaults.connectionsMax,
    minimum: 1,
    maximum: 65_536,
    description: 'Connections with peers, of all layers together.',
  }),
  connectionsPerSwarmMax: Type.Integer({
    default: defaults.connectionsPerSwarmMax,
    minimum: 1,
    maximum: 65_536,
    description: 'Connections with peers for one layer.',
  }),
  unfinishedHandshakesMax: Type.Integer({
    default: defaults.unfinishedHandshakesMax,
    minimum: 1,
    maximum: 65_536,
    description:
      'Connections on the peer port that have not said yet what they want; beyond, who has waited longest is closed.',
  }),
  blockMaxBytes: Type.Integer({
    default: defaults.blockBytesMax,
    minimum: 16 * 1024,
    maximum: 16 * 1024 ** 2,
    description: 'The longest block that a peer is asked for, is served, or may send.',
  }),
  queuedRequestsMax: Type.Integer({
    default: defaults.queuedRequestsPerPeerMax,
    minimum: 1,
    maximum: 65_536,
    description: 'Requests of one peer that wait to be served; more are refused.',
  }),
  uploadSlots: Type.Integer({
    default: defaults.uploadSlots,
    minimum: 1,
    maximum: 1_024,
    description: 'Blocks that are sent to peers at a time.',
  }),
  bufferBytes: Type.Integer({
    default: defaults.bufferBytes,
    // Three pieces of the longest kind, and what sending needs.
    minimum: 16 * 1024 ** 2,
    description: 'Memory for pieces that arrive and are sent.',
  }),
  uploadBytesPerSecond: Type.Integer({
    default: 0,
    minimum: 0,
    description: 'How fast this node sends to peers; 0 for no limit.',
  }),
  downloadBytesPerSecond: Type.Integer({
    default: 0,
    minimum: 0,
    description: 'How fast this node receives from peers; 0 for no limit.',
  }),
}

export function swarmLimitsOf(settings: Static<TObject<typeof swarmLimitSettings>>): SwarmLimits {
  return {
    connectionsMax: settings.connectionsMax,
    connectionsPerSwarmMax: settings.connectionsPerSwarmMax,
    unfinishedHandshakesMax: settings.unfinishedHandshakesMax,
    blockBytesMax: settings.blockMaxBytes,
    queuedRequestsPerPeerMax: settings.queuedRequestsMax,
    uploadSlots: settings.uploadSlots,
    bufferBytes: settings.bufferBytes,
    uploadBytesPerSecond: settings.uploadBytesPerSecond || Number.POSITIVE_INFINITY,
    downloadBytesPerSecond: settings.downloadBytesPerSecond || Number.POSITIVE_INFINITY,
  }
}

/**
 * The announce stream: what an agent and the tracker tell each other over one WebSocket. Encoding and limits only. Pure.
 *
 * One binary WebSocket message is one MessagePack frame. The agent opens with `hello`, and says everything again on every
 * new connection: the tracker keeps nothing about an agent whose stream is closed. Peers are pushed when they appear.
 */
import Type, { type Static } from 'typebox'
import { encodeMessage } from './msgpack.ts'
import {
  Bytes,
  DigestText,
  Hex20,
  Host,
  importShareProperties,
  messageDecoder,
  Name,
  Peer,
  Peers,
  Port,
} from './schema.ts'

export { PEERS_PER_SWARM_MAX } from './schema.ts'

export const ANNOUNCE_STREAM_PATH = '/api/v1/announce-stream'
export const ANNOUNCE_STREAM_VERSION = 1

/** Of one frame: as many as metainfo may have. */
const PIECE_HASHES_BYTES_MAX = 2 * 1024 * 1024

/** 1024 swarms with 24 peers each stay far below it. */
export const ANNOUNCE_FRAME_BYTES_MAX = 4 * 1024 * 1024
export const SWARMS_PER_FRAME_MAX = 1024

/** `leeching` wants the missing pieces; `holding` has some and wants none for now; `seeding` has all. */
export const SwarmState = Type.Enum(['leeching', 'holding', 'seeding'])
export type SwarmState = Static<typeof SwarmState>

const AgentMessage = Type.Union([
  Type.Object({
    type: Type.Literal('hello'),
    version: Type.Literal(ANNOUNCE_STREAM_VERSION),
    name: Name,
    zone: Name,
    peerId: Hex20,
    /** Absent: the address that the stream comes from. */
    host: Type.Optional(Host),
    port: Port,
  }),
  Type.Object({
    type: Type.Literal('announce'),
    swarms: Type.Array(Type.Object({ infoHash: Hex20, state: SwarmState }), {
      maxItems: SWARMS_PER_FRAME_MAX,
    }),
  }),
  Type.Object({
    type: Type.Literal('leave'),
    infoHashes: Type.Array(Hex20, { maxItems: SWARMS_PER_FRAME_MAX }),
  }),
])
export type AgentMessage = Static<typeof AgentMessage>

const TrackerMessage = Type.Union([
  Type.Object({
    type: Type.Literal('welcome'),
    version: Type.Literal(ANNOUNCE_STREAM_VERSION),
    /** Ed25519 public key (SPKI, DER) that signs what tags mean. */
    signingKey: Bytes(256),
  }),
  Type.Object({
    type: Type.Literal('peers'),
    swarms: Type.Array(Type.Object({ infoHash: Hex20, peers: Peers }), {
      maxItems: SWARMS_PER_FRAME_MAX,
    }),
  }),
  /** What the agent may ask of peers in other zones, from now on. */
  Type.Object({
    type: Type.Literal('imports'),
    swarms: Type.Array(Type.Object({ infoHash: Hex20, ...importShareProperties }), {
      maxItems: SWARMS_PER_FRAME_MAX,
    }),
  }),
  /** Hashes of pieces that the seeder has just received itself, in the order of the pieces. */
  Type.Object({
    type: Type.Literal('pieces'),
    infoHash: Hex20,
    /** Of the first piece. */
    index: Type.Integer({ minimum: 0 }),
    /** 32 bytes each. */
    sha256: Bytes(PIECE_HASHES_BYTES_MAX),
  }),
  /** A blob that is being pushed, and that the agent should have when the push ends. */
  Type.Object({ type: Type.Literal('warm-blob'), repository: Name, digest: DigestText }),
  /** Images that the agent should have before anybody asks it for them. */
  Type.Object({
    type: Type.Literal('warm'),
    images: Type.Array(Type.Object({ repository: Name, reference: Name }), { maxItems: 64 }),
  }),
  /** Agents to ask for manifests and metainfo while the seeder is away. */
  Type.Object({ type: Type.Literal('contacts'), agents: Type.Array(Peer, { maxItems: 64 }) }),
])
export type TrackerMessage = Static<typeof TrackerMessage>

export const encodeAgentMessage = (message: AgentMessage): Uint8Array => encodeMessage(message)
export const encodeTrackerMessage = (message: TrackerMessage): Uint8Array => encodeMessage(message)

/** @throws FrameTooLargeError · FrameInvalidError */
export const decodeAgentMessage: (bytes: Uint8Array) => AgentMessage = messageDecoder(
  AgentMessage,
  ANNOUNCE_FRAME_BYTES_MAX,
)
/** @throws FrameTooLargeError · FrameInvalidError */
export const decodeTrackerMessage: (bytes: Uint8Array) => TrackerMessage = messageDecoder(
  TrackerMessage,
  ANNOUNCE_FRAME_BYTES_MAX,
)

/** Contacts as an agent keeps them across restarts. */
const Contacts = Type.Array(Peer, { maxItems: 64 })
export const encodeContacts = (agents: Static<typeof Contacts>): Uint8Array => encodeMessage(agents)
/** @throws FrameTooLargeError · FrameInvalidError */
export const decodeContacts: (bytes: Uint8Array) => Static<typeof Contacts> = messageDecoder(
  Contacts,
  64 * 1024,
)

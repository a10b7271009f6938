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
  DialOutcome,
  DigestText,
  Hex20,
  importShareProperties,
  messageDecoder,
  Name,
  OwnHost,
  Peer,
  Peers,
  Port,
  TriedOutcome,
} from './schema.ts'

export { DialOutcome, PEERS_PER_SWARM_MAX, TriedOutcome } from './schema.ts'

export const ANNOUNCE_STREAM_PATH = '/api/v1/announce-stream'
export const ANNOUNCE_STREAM_VERSION = 1
/** The tracker pings so often; who has not answered by the next ping is gone. */
export const HEARTBEAT_MS = 10_000

/** Of one frame: as many as metainfo may have. */
const PIECE_HASHES_BYTES_MAX = 2 * 1024 * 1024

export const SWARMS_PER_FRAME_MAX = 1024
/** What the tracker may say at a time: 1024 swarms with 24 peers each stay far below it. */
export const TRACKER_FRAME_BYTES_MAX = 4 * 1024 * 1024
/** What an agent may say at a time: 1024 swarms take 69 KB. */
export const AGENT_FRAME_BYTES_MAX = 128 * 1024
/** Before anybody knows who says it: the longest `hello` takes half of it. */
export const HELLO_FRAME_BYTES_MAX = 8 * 1024

/**
 * What the one who says it understands beyond version 1, in `hello` and in `welcome`: what is not named is not sent, since
 * an unknown frame closes the stream. Words that are not known here are left alone.
 */
const Capabilities = Type.Optional(Type.Array(Type.String({ maxLength: 32 }), { maxItems: 16 }))
/** The frames with which peers are tried: `try-peers`, `dial` and what belongs to them. */
export const TRY_PEERS_CAPABILITY = 'try-peers'

/**
 * In `hello` and in `welcome`: the end of an arrival is told by `arrival-ended`, so that nobody need ask and wait for it.
 */
export const ARRIVAL_ENDED_CAPABILITY = 'arrival-ended'

/** In `hello`: the agent proves by the stream's secret who asks for a resolution. */
export const STREAM_SECRET_CAPABILITY = 'stream-secret'
export const STREAM_SECRET_BYTES = 32

/** Peers that are tried for one who asks, the seeder among them. */
export const TRIED_PEERS_MAX = 8
/** Chosen by who asks, and given back with the answer. */
const QuestionId = Type.Integer({ minimum: 0, maximum: 0xffff_ffff })
/** From the first packet to the last word of the handshake, or until it was given up. */
const DialMs = Type.Integer({ minimum: 0, maximum: 60_000 })

/** `leeching` wants the missing pieces; `holding` has some and wants none for now; `seeding` has all. */
export const SwarmState = Type.Enum(['leeching', 'holding', 'seeding'])
export type SwarmState = Static<typeof SwarmState>

export const AgentMessage = Type.Union([
  Type.Object({
    type: Type.Literal('hello'),
    version: Type.Literal(ANNOUNCE_STREAM_VERSION),
    name: Name,
    zone: Name,
    peerId: Hex20,
    /** Absent: the address that the stream comes from. */
    host: Type.Optional(OwnHost),
    port: Port,
    capabilities: Capabilities,
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
  /** Asks that some peers be tried, both ways. */
  Type.Object({ type: Type.Literal('try-peers'), id: QuestionId }),
  /** The answer to `dial`. */
  Type.Object({ type: Type.Literal('dialled'), id: QuestionId, outcome: DialOutcome, ms: DialMs }),
])
export type AgentMessage = Static<typeof AgentMessage>

export const TrackerMessage = Type.Union([
  Type.Object({
    type: Type.Literal('welcome'),
    version: Type.Literal(ANNOUNCE_STREAM_VERSION),
    /** Ed25519 public key (SPKI, DER) that signs what tags mean. */
    signingKey: Bytes(256),
    capabilities: Capabilities,
    /** Known to this agent alone, for as long as the stream is open. */
    streamSecret: Type.Optional(Bytes(STREAM_SECRET_BYTES)),
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
  /** Hashes of pieces, one behind the other, that the seeder has just received itself. */
  Type.Object({
    type: Type.Literal('pieces'),
    infoHash: Hex20,
    /** Of the first piece. */
    index: Type.Integer({ minimum: 0 }),
    /** 32 bytes each. */
    sha256: Bytes(PIECE_HASHES_BYTES_MAX),
  }),
  /** The blob does not arrive any more: it is whole and right, or it does not come. Who asks for it is told which. */
  Type.Object({ type: Type.Literal('arrival-ended'), infoHash: Hex20 }),
  /** A blob that is being pushed, and that the agent should have when the push ends. */
  Type.Object({ type: Type.Literal('warm-blob'), repository: Name, digest: DigestText }),
  /** Images that the agent should have before anybody asks it for them. */
  Type.Object({
    type: Type.Literal('warm'),
    images: Type.Array(Type.Object({ repository: Name, reference: Name }), { maxItems: 64 }),
  }),
  /** Agents to ask for manifests and metainfo while the seeder is away. */
  Type.Object({ type: Type.Literal('contacts'), agents: Type.Array(Peer, { maxItems: 64 }) }),
  /** Asks the agent to try whether it reaches a peer that asked for it. */
  Type.Object({ type: Type.Literal('dial'), id: QuestionId, peer: Peer }),
  /** The first answer to `try-peers`: whom to dial, while they dial in turn. */
  Type.Object({
    type: Type.Literal('peers-to-try'),
    id: QuestionId,
    /** The asker's own address, as others are told it. */
    you: Peer,
    peers: Type.Array(Type.Object({ peer: Peer, name: Name, zone: Name }), { maxItems: TRIED_PEERS_MAX }),
  }),
  /** The second: who of them reached the asker. Who is missing has not said. */
  Type.Object({
    type: Type.Literal('tried'),
    id: QuestionId,
    tries: Type.Array(Type.Object({ peerId: Hex20, outcome: TriedOutcome, ms: DialMs }), {
      maxItems: TRIED_PEERS_MAX,
    }),
  }),
  /** The only one: it asks too often, or too many ask. */
  Type.Object({ type: Type.Literal('try-refused'), id: QuestionId }),
])
export type TrackerMessage = Static<typeof TrackerMessage>

export const encodeAgentMessage = (message: AgentMessage): Uint8Array => encodeMessage(message)
export const encodeTrackerMessage = (message: TrackerMessage): Uint8Array => encodeMessage(message)

/** @throws FrameTooLargeError · FrameInvalidError */
export const decodeAgentMessage: (bytes: Uint8Array) => AgentMessage = messageDecoder(
  AgentMessage,
  AGENT_FRAME_BYTES_MAX,
)
/** @throws FrameTooLargeError · FrameInvalidError */
export const decodeTrackerMessage: (bytes: Uint8Array) => TrackerMessage = messageDecoder(
  TrackerMessage,
  TRACKER_FRAME_BYTES_MAX,
)

/** Contacts as an agent keeps them across restarts. */
const Contacts = Type.Array(Peer, { maxItems: 64 })
export const encodeContacts = (agents: Static<typeof Contacts>): Uint8Array => encodeMessage(agents)
/** @throws FrameTooLargeError · FrameInvalidError */
export const decodeContacts: (bytes: Uint8Array) => Static<typeof Contacts> = messageDecoder(
  Contacts,
  64 * 1024,
)

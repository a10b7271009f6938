/**
 * What an agent tells a program on its own node, in JSON: how it is, and who reaches whom. Decoding and limits only. Pure.
 *
 * Fields that are not known here are left alone: one side may be newer than the other.
 */
import Type, { type Static } from 'typebox'
import { TRIED_PEERS_MAX } from './announce-stream.ts'
import { jsonDecoder } from './json-decoder.ts'
import { DialOutcome, Hex20, Host, Name, Port, Role, TriedOutcome } from './schema.ts'

export const AGENT_STATUS_PATH = '/api/v1/status'
export const REACHABILITY_PATH = '/api/v1/reachability'
export const AGENT_ANSWER_BYTES_MAX = 64 * 1024
/** Of NO_PROXY. */
export const PROXY_ENTRIES_TOLD_MAX = 64

const Count = Type.Integer({ minimum: 0 })
const Text = Type.String({ maxLength: 4096 })

/** A folder and the disk below it, as the process that looks sees them. */
export const FolderReport = Type.Object({
  /** Absolute. */
  folder: Text,
  /** The system's word where it cannot be looked at or is no folder: `ENOENT`, `ENOTDIR`, `EACCES`. */
  problem: Type.Optional(Text),
  /** `EACCES`, `EROFS` and the like where this process cannot write there. */
  writeProblem: Type.Optional(Text),
  /** `ext4`, `tmpfs`; absent where it is of a kind that is not known here. */
  fileSystem: Type.Optional(Text),
  ownerId: Type.Optional(Count),
  /** Of the permissions, the last nine bits. */
  mode: Type.Optional(Count),
  totalBytes: Type.Optional(Count),
  /** Free for this process. */
  freeBytes: Type.Optional(Count),
  /** 0 where the file system makes as many as it needs. */
  totalInodes: Type.Optional(Count),
  freeInodes: Type.Optional(Count),
})
export type FolderReport = Static<typeof FolderReport>

/** One that clients of this node ask for, and that the seeder does not serve: they go round Shoal. */
export const UnservedRegistry = Type.Object({
  /** `other` for all that are too many to be told apart. */
  registry: Text,
  requests: Count,
  /** The last of them. */
  agoMs: Count,
})
export type UnservedRegistry = Static<typeof UnservedRegistry>

export const AgentStatus = Type.Object({
  service: Type.Literal('agent'),
  version: Text,
  name: Name,
  zone: Name,
  /** Where it really listens, `host:port`. */
  listen: Text,
  peerListen: Text,
  seeder: Text,
  uptimeMs: Count,
  /** Absent where the system has no such ids. */
  userId: Type.Optional(Count),
  announceStream: Type.Object({
    isOpen: Type.Boolean(),
    /** For how long it has been open or closed. */
    forMs: Count,
  }),
  cache: Type.Object({
    ...FolderReport.properties,
    usedBytes: Count,
    maxBytes: Count,
    /** Why the disk takes nothing more; absent while it does. */
    diskProblem: Type.Optional(Text),
    /** Pieces that the disk had spoilt, since the agent began; they were fetched again. */
    damagedPieces: Type.Optional(Count),
  }),
  /** Why the agent cannot ask its seeder, in a sentence; absent while it can, and of an agent of an earlier version. */
  seederProblem: Type.Optional(Text),
  /** HTTP proxies that the agent was started with, without logins; absent in an agent of an earlier version. */
  proxies: Type.Optional(
    Type.Object({
      http: Type.Optional(Text),
      https: Type.Optional(Text),
      noProxy: Type.Array(Text, { maxItems: PROXY_ENTRIES_TOLD_MAX }),
      problems: Type.Array(Text, { maxItems: 2 }),
    }),
  ),
  /** Of the last hour; absent in an agent of an earlier version. */
  unservedRegistries: Type.Optional(Type.Array(UnservedRegistry, { maxItems: 64 })),
})
export type AgentStatus = Static<typeof AgentStatus>

export const ReachabilityReport = Type.Union([
  Type.Object({
    kind: Type.Literal('tried'),
    /** Where others are told that they find this agent. */
    announced: Type.Object({ host: Host, port: Port }),
    peers: Type.Array(
      Type.Object({
        peerId: Hex20,
        role: Role,
        name: Name,
        zone: Name,
        host: Host,
        port: Port,
        /** This agent to that peer. */
        outgoing: Type.Object({ outcome: DialOutcome, ms: Count }),
        /** That peer to this agent; absent where it has not said in time. */
        incoming: Type.Optional(Type.Object({ outcome: TriedOutcome, ms: Count })),
      }),
      { maxItems: TRIED_PEERS_MAX },
    ),
  }),
  Type.Object({
    kind: Type.Literal('unavailable'),
    /** `unsupported`: by a seeder of an older version. `busy`: too many ask now. */
    reason: Type.Enum(['stream-closed', 'unsupported', 'busy', 'no-answer']),
  }),
])
export type ReachabilityReport = Static<typeof ReachabilityReport>

/** @throws ControlMessageInvalidError */
export const decodeAgentStatus: (text: string) => AgentStatus = jsonDecoder('a status', AgentStatus)
/** @throws ControlMessageInvalidError */
export const decodeReachabilityReport: (text: string) => ReachabilityReport = jsonDecoder(
  'a report of reachability',
  ReachabilityReport,
)

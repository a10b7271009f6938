/** Pieces of the schemas of Shoal's control messages, and the check that turns a value into a message. Pure. */
import { type Digest, isAddress, isHostName, type PeerRole } from '@shoal/core'
import Type, { type Static, type TSchema } from 'typebox'
import { Compile, type Validator } from 'typebox/compile'
import { FrameInvalidError } from './errors.ts'
import { shapeOf } from './frame-shape.ts'
import { decodeMessage } from './msgpack.ts'

/** 20 bytes as hexadecimal digits. */
export const Hex20 = Type.String({ pattern: '^[0-9a-f]{40}$', maxLength: 40 })
export const DigestText = Type.Unsafe<Digest>(
  Type.String({ pattern: '^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$', maxLength: 135 }),
)
export const Port = Type.Integer({ minimum: 1, maximum: 65535 })
export const Name = Type.String({ maxLength: 255 })
/** An IP address or a host name; what cannot be in one is refused so that it may go into URLs and logs. */
export const Host = Type.String({ pattern: '^[0-9A-Za-z.:_-]{1,255}$', maxLength: 255 })
/**
 * The same, of who says it of himself: really an address or a well-formed name. What is passed on is held against that only
 * where it is dialled, so that one false peer does not spoil a frame with many right ones.
 */
export const OwnHost = Type.Refine(
  Host,
  (host) => isAddress(host) || isHostName(host),
  () => 'must be an IP address or the name of a machine',
)
export const Role = Type.Enum(['agent', 'seeder'] satisfies PeerRole[])
export const Bytes = (bytesMax: number) =>
  Type.Refine(
    Type.Unsafe<Uint8Array>({ bytesMax }),
    (value) => value instanceof Uint8Array && value.length <= bytesMax,
    () => `must be at most ${bytesMax} bytes`,
  )

export const Peer = Type.Object({ peerId: Hex20, host: Host, port: Port, role: Role })

/**
 * What became of a connection to a peer port: `reached` the peer that was meant; `refused` where nothing listens; `silent`
 * where no packet comes back; `unreachable` where the network or the name says no; `stranger` where something is, but not
 * that peer.
 */
export const DialOutcome = Type.Enum(['reached', 'refused', 'silent', 'unreachable', 'stranger'])
export type DialOutcome = Static<typeof DialOutcome>

/** The same, as it is told to the peer that was meant: `unreached` where why is not told. */
export const TriedOutcome = Type.Enum([...DialOutcome.enum, 'unreached'])
export type TriedOutcome = Static<typeof TriedOutcome>

/** Neighbours of one swarm that are told of at a time. */
export const PEERS_PER_SWARM_MAX = 256
export const Peers = Type.Array(Peer, { maxItems: PEERS_PER_SWARM_MAX })

/** Far more importers than any zone has. */
const IMPORT_MODULUS_MAX = 64
/** An `ImportShare`, as properties of what it belongs to. */
export const importShareProperties = {
  modulus: Type.Integer({ minimum: 1, maximum: IMPORT_MODULUS_MAX }),
  remainders: Type.Array(Type.Integer({ minimum: 0, maximum: IMPORT_MODULUS_MAX - 1 }), {
    maxItems: IMPORT_MODULUS_MAX,
  }),
}

/** A message's decoder: bytes in, the message out, and nothing else. */
export function messageDecoder<T extends TSchema>(
  schema: T,
  frameBytesMax: number,
): (bytes: Uint8Array) => Static<T> {
  const validator: Validator = Compile(schema)
  const shape = shapeOf(schema)
  return (bytes) => {
    const value = decodeMessage(bytes, frameBytesMax, shape)
    if (validator.Check(value)) return value as Static<T>
    const [first] = validator.Errors(value)
    throw new FrameInvalidError(
      first === undefined ? 'it is no known message' : `${first.instancePath || '/'} ${first.message}`,
    )
  }
}

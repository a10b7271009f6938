/**
 * A resolution: everything that an agent needs to pull a reference, in one answer. Encoding and limits only. Pure.
 *
 * The seeder gives it; an agent gives the same to other agents from its cache while the seeder is away. What it says is
 * checked by digest (manifests, blobs), except what a tag means and what a blob's pieces are: those are signed by the seeder,
 * whoever passes them on.
 */
import { asciiBytes, type Digest, METAINFO_BYTES_MAX } from '@shoal/core'
import Type, { type Static } from 'typebox'
import { encodeMessage } from './msgpack.ts'
import { Bytes, DigestText, importShareProperties, messageDecoder, Peers } from './schema.ts'

export const RESOLVE_PATH = '/api/v1/resolve'
/**
 * The secret of the asker's announce stream, hexadecimal: without it nobody is taken into swarms. Never in the URL, which is
 * logged.
 */
export const STREAM_SECRET_HEADER = 'shoal-stream-secret'
/** Of a 404: the registry that is meant, which the seeder does not serve at all. */
export const UNSERVED_REGISTRY_HEADER = 'shoal-unserved-registry'
/** Another registry could not be asked; the body says why, as an OCI error does. */
export const UPSTREAM_PROBLEM_STATUS = 502
export const RESOLUTION_MEDIA_TYPE = 'application/vnd.shoal.resolution.v1+msgpack'

export const RESOLUTION_BYTES_MAX = 64 * 1024 * 1024
/** Of an answer about one blob: its metainfo or the hashes of what arrived of it, its peers, and what is short of it. */
export const BLOB_RESOLUTION_BYTES_MAX = METAINFO_BYTES_MAX + 1024 * 1024
/** Of an agent: the longest manifest or metainfo, and room for the rest of what is usual. What does not fit is asked for alone. */
export const CONTACT_ANSWER_BYTES_MAX = 5 * 1024 * 1024
const MANIFEST_BYTES_MAX = 4 * 1024 * 1024
/** Blobs up to this long (image configurations, mostly) travel in the resolution itself. */
export const INLINE_BLOB_BYTES_MAX = 32 * 1024

/** Of pieces of one blob that came out of turn. */
export const LATER_STRETCHES_MAX = 2_048

/** As many as the longest manifest that can be pushed names. */
const BLOBS_MAX = 2_048
/** How long the seeder lets an agent wait for a blob that arrives, before it says that it still does. */
export const ARRIVAL_WAIT_MS = 4_000

export const TagRecord = Type.Object({
  repository: Type.String({ maxLength: 255 }),
  tag: Type.String({ maxLength: 128 }),
  digest: DigestText,
  /** When the seeder read it, Unix ms. */
  issuedAtMs: Type.Integer({ minimum: 0 }),
})
export type TagRecord = Static<typeof TagRecord>

/** Of an Ed25519 signature. */
const SIGNATURE_BYTES = 64

export const SignedTag = Type.Object({ record: TagRecord, signature: Bytes(SIGNATURE_BYTES) })
export type SignedTag = Static<typeof SignedTag>

const ResolvedManifest = Type.Object({
  digest: DigestText,
  mediaType: Type.String({ maxLength: 255 }),
  bytes: Bytes(MANIFEST_BYTES_MAX),
})
export type ResolvedManifest = Static<typeof ResolvedManifest>

const ResolvedBlob = Type.Object({
  /** The bencoded `info` dictionary. */
  info: Bytes(METAINFO_BYTES_MAX),
  /** The seeder's, of `metainfoRecordBytes`: absent where nobody has it, such as a seeder of an earlier version. */
  signature: Type.Optional(Bytes(SIGNATURE_BYTES)),
  peers: Peers,
  /** What the asker may ask of peers in other zones; only the tracker says so. */
  imports: Type.Optional(Type.Object(importShareProperties)),
  /** An agent that answers has only some of its pieces; absent where it has all, and of one of an earlier version. */
  isPart: Type.Optional(Type.Boolean()),
  /** The whole blob, where it is short. */
  inline: Type.Optional(Bytes(INLINE_BLOB_BYTES_MAX)),
  /** GET it without credentials, for a while: a secret. */
  originUrl: Type.Optional(Type.String({ maxLength: 4096 })),
})
export type ResolvedBlob = Static<typeof ResolvedBlob>

export const Resolution = Type.Object({
  /** What the tag means; absent when the question was for a digest. */
  tag: Type.Optional(SignedTag),
  /** Something that clients should know about what the tag means, such as that it may be out of date. */
  warning: Type.Optional(Type.String({ maxLength: 256 })),
  /** The manifest asked for first, then the one for the asker's platform where that was an index. */
  manifests: Type.Array(ResolvedManifest, { maxItems: 2 }),
  blobs: Type.Array(ResolvedBlob, { maxItems: BLOBS_MAX }),
  /** Blobs that the seeder is still receiving from another registry: ask again for each. */
  arriving: Type.Optional(
    Type.Array(
      Type.Object({
        digest: DigestText,
        length: Type.Integer({ minimum: 0 }),
        /** Where the pieces that the seeder has already can be had: hashes of those, in order, and the swarm's peers. */
        pieces: Type.Optional(
          Type.Object({
            sha256: Bytes(METAINFO_BYTES_MAX),
            /** The same of pieces that came before it was their turn, because somebody waits for them. */
            later: Type.Optional(
              Type.Array(
                Type.Object({ first: Type.Integer({ minimum: 0 }), sha256: Bytes(METAINFO_BYTES_MAX) }),
                { maxItems: LATER_STRETCHES_MAX },
              ),
            ),
            peers: Peers,
            imports: Type.Optional(Type.Object(importShareProperties)),
          }),
        ),
      }),
      { maxItems: BLOBS_MAX },
    ),
  ),
})
export type Resolution = Static<typeof Resolution>

export const encodeResolution = (resolution: Resolution): Uint8Array => encodeMessage(resolution)
/** @throws FrameTooLargeError · FrameInvalidError */
export const decodeResolution: (bytes: Uint8Array) => Resolution = messageDecoder(
  Resolution,
  RESOLUTION_BYTES_MAX,
)

export const encodeSignedTag = (signed: SignedTag): Uint8Array => encodeMessage(signed)
/** @throws FrameTooLargeError · FrameInvalidError */
export const decodeSignedTag: (bytes: Uint8Array) => SignedTag = messageDecoder(SignedTag, 4096)

/** The bytes that the seeder signs: unambiguous, and of no other use. */
export function tagRecordBytes(record: TagRecord): Uint8Array {
  return asciiBytes(
    `shoal tag 1\n${record.repository}\n${record.tag}\n${record.digest}\n${record.issuedAtMs}\n`,
  )
}

/**
 * The same of metainfo: the seeder says that these are the pieces of the blob.
 *
 * @param infoSha256 of the bencoded info dictionary, hexadecimal
 */
export function metainfoRecordBytes(digest: Digest, infoSha256: string): Uint8Array {
  return asciiBytes(`shoal metainfo 1\n${digest}\n${infoSha256}\n`)
}

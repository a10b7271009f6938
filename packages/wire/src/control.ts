/**
 * The control API: what `shoal publish`, `shoal gc` and a seeder tell each other in JSON. Decoding and limits only. Pure.
 *
 * Every question needs `Authorization: Bearer <token>`. A publish that is waited for is answered by a line of JSON for
 * each thing that happens (`application/x-ndjson`); blank lines keep the connection alive, the last line is `end`, and a
 * stream without it was cut. Fields that are not known here are left alone: one side may be newer than the other.
 */
import Type, { type Static } from 'typebox'
import { jsonDecoder } from './json-decoder.ts'
import { DigestText } from './schema.ts'

export const GARBAGE_PATH = '/api/v1/gc'
export const SCRUB_PATH = '/api/v1/scrub'
export const PUBLISH_PATH = '/api/v1/publish'
export const PUBLISH_LINES_MEDIA_TYPE = 'application/x-ndjson'

/** An `image` line with as many layers as there can be is a fifth of it. */
export const PUBLISH_LINE_BYTES_MAX = 1024 * 1024
/** Of a request, a report or a refusal. */
export const CONTROL_BODY_BYTES_MAX = 1024 * 1024
/** Manifests that a report names, of those that no tag reached. */
const UNTAGGED_NAMED_MAX = 1_000
export const PUBLISH_REFERENCES_MAX = 256
const PUBLISH_PLATFORMS_MAX = 64
/** As many as the longest manifest that can be pushed names; an index of several images has further `image` lines. */
export const PUBLISH_LINE_LAYERS_MAX = 2048

/** Without spaces and control characters, so that it may go to logs and terminals as it is. */
const ReferenceText = Type.String({ pattern: '^[!-~]{1,1024}$' })
/** `linux/arm64/v8` */
const PlatformText = Type.String({
  pattern: '^[a-z0-9]{1,32}/[a-z0-9_]{1,32}(/[a-z0-9.]{1,32})?$',
})
const Count = Type.Integer({ minimum: 0 })
const CodeText = Type.String({ pattern: '^[A-Z][A-Z0-9_]{0,63}$' })
/** For people, from anywhere: what is printed of it is for the reader to bound. */
const MessageText = Type.String({ maxLength: 64 * 1024 })

/** What a run of the garbage collection removed, or would have removed. */
export const GarbageReport = Type.Object({
  isDryRun: Type.Boolean(),
  manifests: Count,
  /** Manifests that no tag reached; a seeder of before says nothing of them. */
  removedManifests: Type.Optional(Count),
  /** The first of them. */
  untagged: Type.Optional(
    Type.Array(Type.Object({ repository: Type.String({ maxLength: 255 }), digest: DigestText }), {
      maxItems: UNTAGGED_NAMED_MAX,
    }),
  ),
  neededBlobs: Count,
  /** Needed by nobody, and too young to be removed. */
  leasedBlobs: Count,
  removedBlobs: Count,
  removedBytes: Count,
  removedContents: Count,
  removedLinks: Count,
  abandonedUploads: Count,
})
export type GarbageReport = Static<typeof GarbageReport>

/** What a scrub found so far, or, with `type: 'end'`, at its end. */
const ScrubCounts = { blobs: Count, bytes: Count }
export const ScrubLine = Type.Union([
  Type.Object({ type: Type.Literal('progress'), ...ScrubCounts }),
  Type.Object({
    type: Type.Literal('damaged'),
    digest: DigestText,
    damage: Type.Union([Type.Literal('missing'), Type.Literal('cut'), Type.Literal('changed')]),
    /** The first repositories that have it. */
    repositories: Type.Array(Type.String({ maxLength: 255 }), { maxItems: 16 }),
  }),
  Type.Object({ type: Type.Literal('failed'), code: CodeText, message: MessageText }),
  Type.Object({ type: Type.Literal('end'), ...ScrubCounts, damagedBlobs: Count, mendedBlobs: Count }),
])
export type ScrubLine = Static<typeof ScrubLine>

export const PublishRequest = Type.Object(
  {
    /** `host/name:tag`, `name:tag`, or either with a digest. */
    references: Type.Array(ReferenceText, { minItems: 1, maxItems: PUBLISH_REFERENCES_MAX }),
    /** `registry/repository` that the images are copied from, where the references do not say it. */
    from: Type.Optional(ReferenceText),
    /** All when absent. */
    platforms: Type.Optional(Type.Array(PlatformText, { minItems: 1, maxItems: PUBLISH_PLATFORMS_MAX })),
    /** The nodes that should have the images before they are asked for them. */
    warm: Type.Optional(Type.String({ minLength: 1, maxLength: 1024 })),
    /** Whether the answer is the stream of lines, or only that the request was taken. */
    wait: Type.Boolean(),
  },
  { additionalProperties: false },
)
export type PublishRequest = Static<typeof PublishRequest>

/** The answer when nobody waits: written down, and worked upon whatever happens to the seeder. */
export const PublishAccepted = Type.Object({
  accepted: Type.Array(ReferenceText, { maxItems: PUBLISH_REFERENCES_MAX }),
})
export type PublishAccepted = Static<typeof PublishAccepted>

export const PublishLine = Type.Union([
  /** What the reference means, and the layers that it needs. */
  Type.Object({
    type: Type.Literal('image'),
    reference: ReferenceText,
    digest: DigestText,
    layers: Type.Array(Type.Object({ digest: DigestText, bytes: Count }), {
      maxItems: PUBLISH_LINE_LAYERS_MAX,
    }),
  }),
  /** `present` was there before; `done` was copied. */
  Type.Object({
    type: Type.Literal('layer'),
    reference: ReferenceText,
    digest: DigestText,
    receivedBytes: Count,
    state: Type.Enum(['waiting', 'copying', 'present', 'done']),
  }),
  Type.Object({ type: Type.Literal('warm'), reference: ReferenceText, nodes: Count, ready: Count }),
  Type.Object({
    type: Type.Literal('published'),
    reference: ReferenceText,
    digest: DigestText,
    copiedBytes: Count,
    presentBytes: Count,
  }),
  Type.Object({
    type: Type.Literal('failed'),
    reference: ReferenceText,
    code: CodeText,
    message: MessageText,
  }),
  Type.Object({ type: Type.Literal('end'), published: Count, failed: Count }),
])
export type PublishLine = Static<typeof PublishLine>

/** Why the seeder did not do it. */
export const ControlRefusal = Type.Object({ code: CodeText, message: Type.Optional(MessageText) })
export type ControlRefusal = Static<typeof ControlRefusal>

/** One line, without an end of its own: JSON writes none inside. */
export const encodePublishLine = (line: PublishLine): string => JSON.stringify(line)

export const encodeScrubLine = (line: ScrubLine): string => JSON.stringify(line)

/** @throws ControlMessageInvalidError */
export const decodePublishLine: (text: string) => PublishLine = jsonDecoder('a line', PublishLine)
/** @throws ControlMessageInvalidError */
export const decodePublishRequest: (text: string) => PublishRequest = jsonDecoder('a request', PublishRequest)
/** @throws ControlMessageInvalidError */
export const decodePublishAccepted: (text: string) => PublishAccepted = jsonDecoder(
  'an answer',
  PublishAccepted,
)
/** @throws ControlMessageInvalidError */
export const decodeScrubLine: (text: string) => ScrubLine = jsonDecoder('a line', ScrubLine)
/** @throws ControlMessageInvalidError */
export const decodeGarbageReport: (text: string) => GarbageReport = jsonDecoder('a report', GarbageReport)
/** @throws ControlMessageInvalidError */
export const decodeControlRefusal: (text: string) => ControlRefusal = jsonDecoder('a refusal', ControlRefusal)

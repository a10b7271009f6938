/**
 * Answers an agent's one question: what a reference means, and everything that is needed to pull it. The agent that asks
 * in order to pull is taken into the swarms of the image's blobs on the way, and finds the seeder ready to serve it.
 */
import { type Digest, encodeInfo, tryParseDigest } from '@shoal/core'
import type { ImportShare } from '@shoal/engine'
import {
  type BlobStat,
  blobsOf,
  chooseManifest,
  isRepositoryName,
  isTag,
  type Manifest,
  type Platform,
} from '@shoal/oci'
import type { BlobMetainfo, ImageStore } from '@shoal/registry'
import { Gate, orAborted, readManifest } from '@shoal/service'
import type { ObjectStore } from '@shoal/storage'
import type { Admission, Tracker } from '@shoal/tracker'
import {
  ARRIVAL_WAIT_MS,
  INLINE_BLOB_BYTES_MAX,
  LATER_STRETCHES_MAX,
  type Resolution,
  type ResolvedBlob,
} from '@shoal/wire'
import type { ArrivingBlobs } from './arriving/arriving-blobs.ts'
import type { Mirror } from './mirror/mirror.ts'
import type { SeededBlobs } from './seeded-blobs.ts'
import type { Signer } from './signer.ts'

export interface ResolverParts {
  readonly images: ImageStore
  readonly mirror: Mirror
  readonly arriving: ArrivingBlobs
  readonly objects: ObjectStore
  readonly seeded: SeededBlobs
  readonly tracker: Tracker
  readonly signer: Signer
  readonly nowMs: () => number
}

export interface Question {
  readonly repository: string
  readonly reference?: string
  readonly blob?: string
  /** `os/architecture[/variant]` */
  readonly platform?: string
  /** Present when the agent is about to pull. */
  readonly peerId?: string
  /** Whether the question comes from that agent: else nobody is taken into swarms by it. */
  readonly isProven?: boolean
  /** Whether to wait for a blob that is on its way. */
  readonly wait?: boolean
  /** Whether the asker knows what to do with hashes of pieces that came out of turn: an earlier version refuses the answer. */
  readonly later?: boolean
}

/** As long as a slow pull may take after its manifest was asked for. */
const ORIGIN_URL_SECONDS = 6 * 60 * 60
/** Inlined bytes of one answer: some configurations, not hundreds of small layers. */
const INLINE_BYTES_MAX = 256 * 1024

/**
 * Answers that are put together at a time: each looks up every blob of an image, reads the short ones and encodes all of it.
 * Whoever waits for another registry or for a blob on its way is not among them.
 */
const ANSWERS_AT_ONCE = 64

export class Resolver {
  readonly #parts: ResolverParts
  readonly #gate = new Gate(ANSWERS_AT_ONCE)

  constructor(parts: ResolverParts) {
    this.#parts = parts
  }

  /** @returns undefined when there is no such reference */
  async resolve(question: Question): Promise<Resolution | undefined> {
    const { repository } = question
    if (!isRepositoryName(repository)) return undefined
    return question.blob === undefined ? this.#resolveReference(question) : this.#resolveBlob(question)
  }

  /** The registry that is meant by a name of which nothing is here, where it is none that is served. */
  async unservedRegistry(repository: string): Promise<string | undefined> {
    return isRepositoryName(repository) ? this.#parts.mirror.unservedRegistry(repository) : undefined
  }

  async #resolveBlob({ repository, blob, wait, ...asker }: Question): Promise<Resolution | undefined> {
    const { mirror } = this.#parts
    const peerId = admittedId(asker)
    const digest = tryParseDigest(blob ?? '')
    const stat = digest && (await this.#blobStat(repository, digest))
    if (stat === undefined) return undefined
    if (wait === true) await this.#arrival(repository, stat.digest)
    if ((await mirror.here(repository, [stat.digest])).length > 0)
      return { manifests: [], blobs: await this.#blobs([stat.digest], peerId) }
    return {
      manifests: [],
      blobs: [],
      arriving: await this.#arriving(repository, [stat], peerId, asker.later),
    }
  }

  /** Also of a blob that is just being pushed, which nobody but those who are told of it may have. */
  async #blobStat(repository: string, digest: Digest): Promise<BlobStat | undefined> {
    return this.#parts.mirror.blobStat(repository, digest, 'pull')
  }

  /** Where the pieces of blobs on their way can be had, for an agent that is about to pull. */
  async #arriving(
    repository: string,
    blobs: readonly BlobStat[],
    peerId: string | undefined,
    takesLater = false,
  ): Promise<NonNullable<Resolution['arriving']>> {
    const { arriving, mirror, tracker } = this.#parts
    return Promise.all(
      blobs.map(async ({ digest, length }) => {
        const copy = peerId === undefined ? undefined : await mirror.copy(repository, digest)
        const isShared = copy !== undefined && arriving.hasSwarm(copy)
        if (!isShared || !(await arriving.seed(copy.infoHash))) return { digest, length }
        const [admission] = tracker.admit(peerId!, [copy.infoHash])
        const { peers, imports } = admission!
        const later = takesLater ? copy.later(LATER_STRETCHES_MAX) : []
        return {
          digest,
          length,
          pieces: {
            sha256: copy.sha256.slice(),
            ...(later.length > 0 && { later }),
            peers: [...peers],
            ...shares(imports),
          },
        }
      }),
    )
  }

  /** Waits for a blob on its way, for as long as an agent waits for an answer. */
  async #arrival(repository: string, digest: Digest): Promise<void> {
    const { mirror } = this.#parts
    const copy = await mirror.copy(repository, digest)
    const timeout = AbortSignal.timeout(ARRIVAL_WAIT_MS)
    try {
      if (copy === undefined) await mirror.whole(repository, digest, timeout)
      else await orAborted(copy.ended, timeout)
    } catch {
      // It is still on its way, or it failed; the look that follows tells which.
    }
  }

  async #resolveReference(question: Question): Promise<Resolution | undefined> {
    const { mirror, signer, nowMs } = this.#parts
    const { repository, reference = '', platform } = question
    const purpose = question.peerId === undefined ? 'look' : 'pull'
    const peerId = admittedId(question)
    const asked = tryParseDigest(reference)
    if (asked === undefined && !isTag(reference)) return undefined
    const manifest = await mirror.manifest(
      repository,
      asked === undefined ? { kind: 'tag', tag: reference } : { kind: 'digest', digest: asked },
      purpose,
    )
    if (manifest === undefined) return undefined
    const image = await this.#imageOf(repository, manifest, parsePlatform(platform), purpose)
    // Of an index that lists blobs, such as a build cache: who wants one that is not here asks for that one.
    const content = image ?? manifest
    const needed = blobsOf(readManifest(content.bytes, content.mediaType)).map(({ digest, size }) => {
      return { digest, length: size }
    })
    const digests = await mirror.here(
      repository,
      needed.map(({ digest }) => digest),
    )
    const missing = needed.filter(({ digest }) => !digests.includes(digest))
    const arriving =
      purpose === 'pull' && image !== undefined ? await mirror.arriving(repository, missing) : []
    const record = { repository, tag: reference, digest: manifest.digest, issuedAtMs: nowMs() }
    return {
      ...(asked === undefined && { tag: signer.signTag(record) }),
      ...(manifest.warning !== undefined && { warning: manifest.warning.slice(0, 256) }),
      manifests: (image === undefined || image === manifest ? [manifest] : [manifest, image]).map(
        ({ digest, mediaType, bytes }) => ({ digest, mediaType, bytes }),
      ),
      blobs: await this.#blobs(digests, peerId),
      ...(arriving.length > 0 && {
        arriving: await this.#arriving(repository, arriving, peerId, question.later),
      }),
    }
  }

  /** The image itself, or of an index the one for the platform. */
  async #imageOf(
    repository: string,
    manifest: Manifest,
    platform: Platform,
    purpose: 'look' | 'pull',
  ): Promise<Manifest | undefined> {
    const parsed = readManifest(manifest.bytes, manifest.mediaType)
    if (parsed.kind !== 'index') return manifest
    const chosen = chooseManifest(parsed, platform)
    return (
      chosen && this.#parts.mirror.manifest(repository, { kind: 'digest', digest: chosen.digest }, purpose)
    )
  }

  #blobs(digests: readonly Digest[], peerId: string | undefined): Promise<ResolvedBlob[]> {
    return this.#gate.run(() => this.#describe(digests, peerId))
  }

  async #describe(digests: readonly Digest[], peerId: string | undefined): Promise<ResolvedBlob[]> {
    const { images, seeded, tracker, signer } = this.#parts
    const known = (await Promise.all([...new Set(digests)].map((digest) => images.metainfo(digest)))).filter(
      (blob) => blob !== undefined,
    )
    const inlined = await this.#inline(known)
    const swarms = known.filter((blob) => !inlined.has(blob)).map(({ infoHash }) => infoHash)
    const admissions = new Map<string, Admission>()
    if (peerId !== undefined) {
      // Before the agent dials: a handshake for a swarm that nobody serves is refused.
      await Promise.all(swarms.map((infoHash) => seeded.seed(infoHash)))
      for (const [position, admission] of tracker.admit(peerId, swarms).entries())
        admissions.set(swarms[position]!, admission)
    }
    return Promise.all(
      known.map(async (blob) => {
        const inline = inlined.get(blob)
        const originUrl = inline === undefined ? await this.#originUrl(blob.metainfo.digest) : undefined
        const { peers = [], imports } = admissions.get(blob.infoHash) ?? {}
        const info = encodeInfo(blob.metainfo)
        return {
          info,
          signature: signer.signMetainfo(blob.metainfo.digest, blob.infoHash, info),
          peers: [...peers],
          ...shares(imports),
          ...(inline !== undefined && { inline }),
          ...(originUrl !== undefined && { originUrl }),
        }
      }),
    )
  }

  /** The bytes of the short blobs, as many as fit into one answer. */
  async #inline(blobs: readonly BlobMetainfo[]): Promise<Map<BlobMetainfo, Uint8Array>> {
    let room = INLINE_BYTES_MAX
    const short = blobs.filter(({ metainfo: { length } }) => {
      const fits = length <= INLINE_BLOB_BYTES_MAX && length <= room
      if (fits) room -= length
      return fits
    })
    return new Map(await Promise.all(short.map(async (blob) => [blob, await this.#whole(blob)] as const)))
  }

  async #whole({ metainfo: { digest, length } }: BlobMetainfo): Promise<Uint8Array> {
    const parts: Uint8Array[] = []
    for await (const part of this.#parts.seeded.read(digest, { start: 0, end: length }, NEVER))
      parts.push(Buffer.from(part))
    return Buffer.concat(parts)
  }

  async #originUrl(digest: Digest): Promise<string | undefined> {
    const location = await this.#parts.images.contentLocation(digest)
    return location && this.#parts.objects.presign(location.key, ORIGIN_URL_SECONDS)
  }
}

/** Whoever asks in another's name gets the answer, and no place is taken with that. */
function admittedId({ peerId, isProven = false }: Pick<Question, 'peerId' | 'isProven'>): string | undefined {
  return isProven ? peerId : undefined
}

/** What an answer says of them, where anything was said. */
function shares(imports: ImportShare | undefined): { imports?: { modulus: number; remainders: number[] } } {
  return imports === undefined ? {} : { imports: { ...imports, remainders: [...imports.remainders] } }
}

const NEVER = new AbortController().signal

function parsePlatform(text = 'linux/amd64'): Platform {
  const [os = 'linux', architecture = 'amd64', variant] = text.split('/', 3)
  return { os, architecture, ...(variant !== undefined && { variant }) }
}

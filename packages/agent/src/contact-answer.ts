/**
 * What of another agent's answer proves itself: manifests and metainfo that were asked for, by digest and by the seeder's
 * signature, a tag by the signature as well, and that agent itself as a peer. Everything else in the answer is as if it had
 * not been said: what is returned is put together from what was checked, and no field of the answer is passed on by default.
 */
import { createHash } from 'node:crypto'
import {
  type Digest,
  decodeInfo,
  type Metainfo,
  MetainfoInvalidError,
  type PeerAddress,
  tryParseDigest,
} from '@shoal/core'
import { blobsOf, chooseManifest, OciError, type ParsedManifest, type Platform } from '@shoal/oci'
import { readManifest } from '@shoal/service'
import { infoHashOf } from '@shoal/storage'
import type { Resolution, ResolvedBlob, ResolvedManifest, SignedTag } from '@shoal/wire'
import type { Contacts } from './contacts.ts'
import { SourceUnavailableError } from './errors.ts'
import { hasDigest } from './image-records.ts'
import type { KnownBlob } from './known-blob.ts'

export interface AskedOfContact {
  readonly repository: string
  /** A tag, or the digest of a manifest; absent when `blob` is given. */
  readonly reference?: string
  readonly blob?: string
}

export interface ProvenAnswer {
  /** Of the tag that was asked for. */
  readonly tag?: SignedTag
  /** The one asked for first, then of an index the one for this platform. */
  readonly manifests: readonly ResolvedManifest[]
  /** Of the blob asked for, or of those that the image needs. */
  readonly sources: readonly KnownBlob[]
  /** Of these blobs, those of which it says that it has every piece. */
  readonly whole: readonly Digest[]
}

export interface ContactAnswerParts {
  readonly contacts: Pick<Contacts, 'isGenuineTag' | 'isGenuineMetainfo'>
  /** Who answered, by the address that was asked. */
  readonly contact: PeerAddress
  readonly platform: Platform
}

/** Each check of a signature takes a fraction of a millisecond. An honest agent may have some from before the seeder's key changed. */
const FALSE_SIGNATURES_MAX = 4

/** @throws SourceUnavailableError when it does not answer the question */
export function provenPart(
  question: AskedOfContact,
  answer: Resolution,
  parts: ContactAnswerParts,
): ProvenAnswer {
  const { repository, reference } = question
  const blob = tryParseDigest(question.blob ?? '')
  if (blob !== undefined) return { manifests: [], ...offersOf([blob], repository, answer.blobs, parts) }
  const digest = tryParseDigest(reference ?? '')
  const tag = digest === undefined ? genuineTag(question, answer.tag, parts) : undefined
  const asked = provenManifest(answer, digest ?? tag?.record.digest)
  if (asked === undefined)
    throw new SourceUnavailableError('a contact', 'it does not bring the manifest that was asked for')
  const child =
    asked.parsed.kind === 'index'
      ? provenManifest(answer, chooseManifest(asked.parsed, parts.platform)?.digest)
      : undefined
  const needed = blobsOf((child ?? asked).parsed).map((descriptor) => descriptor.digest)
  return {
    ...(tag !== undefined && { tag }),
    manifests: [asked.manifest, ...(child === undefined ? [] : [child.manifest])],
    ...offersOf(needed, repository, answer.blobs, parts),
  }
}

function genuineTag(
  { repository, reference }: AskedOfContact,
  signed: SignedTag | undefined,
  { contacts }: ContactAnswerParts,
): SignedTag {
  if (signed === undefined || signed.record.repository !== repository || signed.record.tag !== reference)
    throw new SourceUnavailableError('a contact', 'it answered another question')
  if (!contacts.isGenuineTag(signed))
    throw new SourceUnavailableError('a contact', `what ${reference} means is not signed by the seeder`)
  return signed
}

/** @throws SourceUnavailableError when it is there and is not what it claims */
function provenManifest(
  { manifests }: Resolution,
  digest: Digest | undefined,
): { manifest: ResolvedManifest; parsed: ParsedManifest } | undefined {
  const found = manifests.find((manifest) => manifest.digest === digest)
  if (found === undefined) return undefined
  const { bytes } = found
  if (!hasDigest(bytes, found.digest))
    throw new SourceUnavailableError('a contact', `manifest ${digest} has other bytes`)
  try {
    // The digest does not cover the media type: it follows from the bytes, whatever was said.
    const parsed = readManifest(bytes)
    return { manifest: { digest: found.digest, mediaType: parsed.mediaType, bytes }, parsed }
  } catch (cause) {
    if (!(cause instanceof OciError)) throw cause
    throw new SourceUnavailableError('a contact', `${digest} is not a manifest`, { cause })
  }
}

function offersOf(
  digests: readonly Digest[],
  repository: string,
  blobs: readonly ResolvedBlob[],
  { contacts, contact }: ContactAnswerParts,
): { sources: readonly KnownBlob[]; whole: readonly Digest[] } {
  const missing = new Set(digests)
  const sources: KnownBlob[] = []
  const whole: Digest[] = []
  let falseSignatures = 0
  for (const blob of blobs) {
    if (falseSignatures >= FALSE_SIGNATURES_MAX) break
    const metainfo = metainfoIn(blob)
    if (metainfo === undefined || !missing.has(metainfo.digest)) continue
    const signature = Uint8Array.from(blob.signature!)
    const infoSha256 = createHash('sha256').update(blob.info).digest('hex')
    if (!contacts.isGenuineMetainfo(metainfo.digest, infoSha256, signature)) {
      falseSignatures++
      continue
    }
    missing.delete(metainfo.digest)
    const peers = [{ ...contact, role: 'agent' as const }]
    sources.push({ metainfo, infoHash: infoHashOf(metainfo), repository, signature, peers })
    if (blob.isPart !== true) whole.push(metainfo.digest)
  }
  return { sources, whole }
}

/** @returns undefined for what cannot be metainfo, or that nobody signed */
function metainfoIn({ info, signature }: ResolvedBlob): Metainfo | undefined {
  if (signature === undefined) return undefined
  try {
    // A copy: metainfo is kept for as long as the blob, and must not keep the whole answer.
    return decodeInfo(Uint8Array.from(info))
  } catch (error) {
    if (error instanceof MetainfoInvalidError) return undefined
    throw error
  }
}

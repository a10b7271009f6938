/**
 * What references mean: manifests and the sources of their blobs, from the seeder in one round trip, from this node's own
 * records, or from other agents while the seeder is away. A tag is believed for a short time without asking again, and
 * served stale when nobody can be asked; digests are for ever.
 */
import { type Digest, formatHostPort, type PeerAddress, ShoalError, tryParseDigest } from '@shoal/core'
import { PULL_LIMITS } from '@shoal/engine'
import {
  blobsOf,
  chooseManifest,
  type Descriptor,
  listedBlobs,
  type Manifest,
  type ParsedManifest,
  type Platform,
  requiredBlobs,
} from '@shoal/oci'
import type { Reference } from '@shoal/registry'
import { orAborted, readManifest } from '@shoal/service'
import { arrivalHashOf } from '@shoal/storage'
import type { Resolution, SignedTag } from '@shoal/wire'
import { LRUCache } from 'lru-cache'
import type { Logger } from 'pino'
import type { ArrivalNews } from './arrival-news.ts'
import type { ArrivingResolution } from './arriving-pulls.ts'
import type { ProvenAnswer } from './contact-answer.ts'
import { type Asked, ContactQuestions, formatPlatform } from './contact-questions.ts'
import type { Contacts } from './contacts.ts'
import { SourceUnavailableError, UnobtainableError } from './errors.ts'
import type { HttpSources } from './http-sources.ts'
import { hasDigest, type ImageRecords } from './image-records.ts'
import { type KnownBlob, knownBlobOf } from './known-blob.ts'
import { isDatedAhead, latestTag } from './latest-tag.ts'
import { type NextProof, nextProof } from './obtainable.ts'
import type { SeederClient } from './seeder-client.ts'
import type { SeederWatch } from './seeder-watch.ts'

export interface ImageDirectoryParts {
  readonly client: SeederClient
  /** Bytes of the origin. */
  readonly http: Pick<HttpSources, 'bytes'>
  readonly seeder: Pick<SeederWatch, 'ask' | 'confirm' | 'health' | 'problem'>
  readonly records: ImageRecords
  readonly contacts: Contacts
  readonly log: Logger
  readonly nowMs: () => number
  /** A client is about to want these blobs. */
  readonly onWanted: (sources: readonly KnownBlob[]) => void
  /** The seeder itself has said what these blobs' pieces are. */
  readonly onTold: (sources: readonly KnownBlob[]) => void
  readonly isHere: (digest: Digest) => boolean
  /** Every piece of it is here. */
  readonly isWhole: (digest: Digest) => boolean
  /** It is being fetched, from somebody who is connected. */
  readonly isFlowing: (digest: Digest) => boolean
  /** Whether there is room here for blobs that are not. */
  readonly canKeep: () => boolean
  /** A blob is on its way to the seeder; some of its pieces can be had. */
  readonly onArriving: (repository: string, arrival: ArrivingResolution) => void
  /** When to ask for such a blob again. */
  readonly arrivalNews: Pick<ArrivalNews, 'isTold' | 'next'>
  /** It does not come after all. */
  readonly onLost: (digest: Digest) => void
}

export interface ImageDirectoryInit {
  readonly seederUrl: string
  readonly peerId: string
  readonly platform: Platform
  readonly tagTtlMs: number
}

/** Sources are forgotten oldest first; the seeder is asked again where one is missing. */
const SOURCES_MAX = 2_048
/** The same of which repository has which blob, a hundred bytes each. */
const LINKS_MAX = 16_384
const TAGS_MAX = 4_096
/** A blob on its way whose pieces are not told of yet is asked for again after this, then after twice as long, and so on. */
const SWARM_WAIT_MS = 100
const SWARM_WAIT_MAX_MS = 10_000
/** How long a blob on its way is still believed to come after the seeder has last said so. */
const ARRIVAL_HOPE_MS = 20_000
/** Of one repository, to find out whether a blob is its. */
const MANIFESTS_READ_MAX = 256
/** Beside contacts, peers that were told of with the blobs. */
const PEERS_ASKED = 8
/** Blobs that are asked for one by one where nobody who was asked has the manifest. */
const BLOBS_ASKED_MAX = 16
/** That another agent said it has all of a blob is believed for so long. */
const OFFER_AGE_MAX_MS = 5_000
/** For the first byte of a blob from the origin. */
const ORIGIN_TIMEOUT_MS = 900

/** What a question came to: the manifest asked for, whose meaning has been checked. */
interface TagMeaning {
  readonly digest: Digest
  readonly askedAtMs: number
  readonly warning: string | undefined
}

interface Answer {
  readonly digest: Digest | undefined
  readonly sources: readonly KnownBlob[]
  readonly warning?: string
  /** Why the seeder could not say it, where that was another registry. */
  readonly upstreamProblem?: string | undefined
  /** What the seeder is still receiving itself. */
  readonly arriving: readonly ArrivingResolution[]
}

/** What the seeder has last said of a blob that it is receiving. */
interface Arriving {
  readonly length: number
  /** Whether agents are told of its pieces and its end. */
  readonly isTold: boolean
  readonly saidAtMs: number
}

/** The seeder is away, and no other agent knows: no reason to believe that there is no such thing. */
const NOBODY_CAN_SAY: Answer = { digest: undefined, sources: [], arriving: [] }

export class ImageDirectory {
  readonly #parts: ImageDirectoryParts
  readonly #init: ImageDirectoryInit
  readonly #sources = new LRUCache<Digest, KnownBlob>({ max: SOURCES_MAX })
  /** Repositories with blobs that they are known to have: bytes that are here are not everybody's. */
  readonly #links = new LRUCache<string, true>({ max: LINKS_MAX })
  readonly #tags = new LRUCache<string, TagMeaning>({ max: TAGS_MAX })
  readonly #underWay = new Map<string, Promise<Answer | undefined>>()
  /** When another agent last said that it has all of a blob. */
  readonly #offers = new LRUCache<Digest, number>({ max: SOURCES_MAX })
  readonly #questions: ContactQuestions
  /** Blobs that the seeder is still receiving. */
  readonly #arriving = new LRUCache<Digest, Arriving>({ max: SOURCES_MAX })
  /** Those whose end is waited for, with their repository. */
  readonly #awaited = new Map<string, Promise<KnownBlob | 'unknown' | undefined>>()

  constructor(parts: ImageDirectoryParts, init: ImageDirectoryInit) {
    this.#parts = parts
    this.#init = init
    this.#questions = new ContactQuestions(parts, init)
  }

  /**
   * @param purpose `pull` has the blobs fetched before the client asks for them
   * @returns undefined when the seeder says that there is no such thing
   * @throws UnobtainableError when nobody can say, or nobody can give what the image needs
   */
  async manifest(
    repository: string,
    reference: Reference,
    purpose: 'look' | 'pull',
  ): Promise<Manifest | undefined> {
    const digest =
      reference.kind === 'tag'
        ? await this.#digestOfTag(repository, reference.tag, purpose)
        : await this.#digestIfKnown(repository, reference.digest, purpose)
    if (digest === undefined) return undefined
    const manifest = await this.#parts.records.manifest(repository, digest)
    if (manifest !== undefined) await this.#requireImage(repository, manifest)
    if (manifest !== undefined && purpose === 'pull') await this.#want(repository, manifest)
    const { warning } = (reference.kind === 'tag' && this.#tags.peek(`${repository}:${reference.tag}`)) || {}
    return manifest === undefined || warning === undefined ? manifest : { ...manifest, warning }
  }

  /** Fetches an image that nobody has asked for yet. Never rejects: whoever wants it warm sees whether it is. */
  warm(repository: string, text: string): void {
    const digest = tryParseDigest(text)
    const reference: Reference =
      digest === undefined ? { kind: 'tag', tag: text } : { kind: 'digest', digest }
    this.#warm(repository, reference).catch((err: unknown) =>
      this.#parts.log.warn({ event: 'warming-failed', repository, reference: text, err }, 'warming failed'),
    )
  }

  /** Fetches a blob that is being pushed, of an image that nobody knows yet. */
  warmBlob(repository: string, digest: Digest): void {
    if (!this.#parts.isHere(digest)) this.#wantOnArrival(repository, digest)
  }

  /** Where the blob can be had, as far as that was said before. */
  knownSource(digest: Digest): KnownBlob | undefined {
    return this.#sources.peek(digest)
  }

  /** Whoever wants the blob next asks anew where it is, and hears at once when nobody can say. */
  forgetSource(digest: Digest): void {
    this.#sources.delete(digest)
  }

  /** Whether the repository is known to have the blob, without asking anybody. */
  hasBlob(repository: string, digest: Digest): boolean {
    return this.#links.has(linkOf(repository, digest))
  }

  /**
   * Whether a manifest that is kept here says that the repository has the blob: for when nobody can be asked, whatever other
   * repositories have brought the bytes to this node.
   */
  async remembers(repository: string, digest: Digest): Promise<boolean> {
    for await (const manifest of this.#parts.records.manifests(repository, MANIFESTS_READ_MAX)) {
      if (!blobsOf(parse(manifest)).some((blob) => blob.digest === digest)) continue
      this.#link(repository, digest)
      return true
    }
    return false
  }

  /** The length of a blob that the seeder is still receiving, as far as it has said; undefined for others. */
  arrivingLength(digest: Digest): number | undefined {
    return this.#arriving.peek(digest)?.length
  }

  /**
   * Where the blob can be had from; undefined when nobody can say.
   * @returns `arriving` while the seeder is still receiving it, `unknown` when it says that this repository has no such blob
   */
  async locate(repository: string, digest: Digest): Promise<KnownBlob | 'arriving' | 'unknown' | undefined> {
    const known = this.#sources.peek(digest)
    if (known !== undefined && this.hasBlob(repository, digest)) return known
    if (this.#arriving.has(digest) && this.hasBlob(repository, digest)) return 'arriving'
    return this.#sourceIn(await this.#ask({ repository, blob: digest }, 'pull'), digest)
  }

  /** The same, as soon as the seeder has the blob: whoever asks shares the waiting. */
  async source(
    repository: string,
    digest: Digest,
    signal?: AbortSignal,
  ): Promise<KnownBlob | 'unknown' | undefined> {
    signal?.throwIfAborted()
    const found = await this.locate(repository, digest)
    if (found !== 'arriving') return found
    const arrived = this.#arrivalOf(repository, digest)
    return signal === undefined ? arrived : orAborted(arrived, signal)
  }

  #arrivalOf(repository: string, digest: Digest): Promise<KnownBlob | 'unknown' | undefined> {
    const key = linkOf(repository, digest)
    let awaited = this.#awaited.get(key)
    if (awaited === undefined) {
      awaited = this.#awaitArrival(repository, digest).finally(() => this.#awaited.delete(key))
      this.#awaited.set(key, awaited)
      awaited.catch(() => {})
    }
    return awaited
  }

  async #awaitArrival(repository: string, digest: Digest): Promise<KnownBlob | 'unknown' | undefined> {
    const { arrivalNews, nowMs } = this.#parts
    let isHeard = true
    for (let swarmWaitMs = SWARM_WAIT_MS; ; swarmWaitMs = Math.min(2 * swarmWaitMs, SWARM_WAIT_MAX_MS)) {
      const arriving = this.#arriving.peek(digest)
      if (arriving === undefined) {
        const source = this.#sources.peek(digest)
        if (source === undefined) this.#parts.onLost(digest)
        return source
      }
      const infoHash = arrivalHashOf(digest, arriving.length)
      const { isTold } = arrivalNews
      if (isTold && !arriving.isTold) await arrivalNews.next(infoHash, swarmWaitMs)
      else if (isTold || !isHeard) await arrivalNews.next(infoHash)
      const wait = isTold ? {} : { wait: 'true' as const }
      const found = this.#sourceIn(await this.#ask({ repository, blob: digest, ...wait }, 'pull'), digest)
      isHeard = found === 'arriving'
      if (isHeard) continue
      const { saidAtMs } = arriving
      // The seeder is away; it may be back in time, and goes on then.
      if (found === undefined && Math.abs(nowMs() - saidAtMs) < ARRIVAL_HOPE_MS) continue
      if (found === undefined || found === 'unknown') this.#lost(digest)
      return found as Exclude<typeof found, 'arriving'>
    }
  }

  #sourceIn(answer: Answer | undefined, digest: Digest): KnownBlob | 'arriving' | 'unknown' | undefined {
    if (answer === undefined) return 'unknown'
    const source = answer.sources.find(({ metainfo }) => metainfo.digest === digest)
    return source ?? (answer.arriving.some((blob) => blob.digest === digest) ? 'arriving' : undefined)
  }

  /**
   * The blob's length, before anybody has a byte of it; undefined when nobody can say.
   * @returns `unknown` when the seeder says that this repository has no such blob
   */
  async length(repository: string, digest: Digest): Promise<number | 'unknown' | undefined> {
    const lengthOf = () => this.#sources.peek(digest)?.metainfo.length ?? this.#arriving.peek(digest)?.length
    if (this.hasBlob(repository, digest) && lengthOf() !== undefined) return lengthOf()
    const answer = await this.#ask({ repository, blob: digest }, 'pull')
    if (answer === undefined) return 'unknown'
    return this.hasBlob(repository, digest) ? lengthOf() : undefined
  }

  async #digestIfKnown(
    repository: string,
    digest: Digest,
    purpose: 'look' | 'pull',
  ): Promise<Digest | undefined> {
    if ((await this.#parts.records.manifest(repository, digest)) !== undefined) return digest
    return this.#digestIn(await this.#ask({ repository, reference: digest }, purpose), digest)
  }

  /** @throws UnobtainableError where nobody could say */
  #digestIn(answer: Answer | undefined, what: string): Digest | undefined {
    if (answer !== undefined && answer.digest === undefined)
      throw this.unobtainable(what, answer.upstreamProblem)
    return answer?.digest
  }

  async #digestOfTag(repository: string, tag: string, purpose: 'look' | 'pull'): Promise<Digest | undefined> {
    const key = `${repository}:${tag}`
    const known = this.#tags.peek(key)
    const ageMs = known === undefined ? 0 : this.#parts.nowMs() - known.askedAtMs
    // The node's clock may have been put back meanwhile.
    if (known !== undefined && ageMs >= 0 && ageMs < this.#init.tagTtlMs) return known.digest
    const answer = await this.#ask({ repository, reference: tag }, purpose)
    this.#tags.delete(key)
    const digest = this.#digestIn(answer, key)
    if (digest === undefined) return undefined
    this.#tags.set(key, { digest, warning: answer?.warning, askedAtMs: this.#parts.nowMs() })
    return digest
  }

  /** What whoever asks is told where nobody can say. */
  unobtainable(what: string, upstreamProblem?: string): UnobtainableError {
    const problem = upstreamProblem ?? this.#parts.seeder.problem
    return new UnobtainableError(
      what,
      problem ?? 'the seeder gave no answer in time, and no other agent has it',
    )
  }

  /**
   * Whether a client that is given the manifest will get what it asks for next.
   * @throws UnobtainableError
   */
  async #requireImage(repository: string, manifest: Manifest): Promise<void> {
    const parsed = parse(manifest)
    if (parsed.kind !== 'index') return this.#requireBlobs(repository, manifest.digest, neededBlobs(parsed))
    const chosen = chooseManifest(parsed, this.#init.platform)
    if (chosen === undefined) return
    let child = await this.#parts.records.manifest(repository, chosen.digest)
    if (child === undefined) {
      // The seeder sends it along: it is missing where another agent answered, or the seeder fetches it itself.
      if (await this.#parts.seeder.confirm()) return
      await this.#askContacts({ repository, reference: chosen.digest })
      child = await this.#parts.records.manifest(repository, chosen.digest)
      if (child === undefined) throw this.unobtainable(`${repository}@${chosen.digest}`)
    }
    await this.#requireBlobs(repository, child.digest, neededBlobs(parse(child)))
  }

  /**
   * The same of one blob.
   * @throws UnobtainableError
   */
  async requireBlob(repository: string, digest: Digest): Promise<void> {
    await this.#requireBlobs(repository, undefined, [digest])
  }

  async #requireBlobs(
    repository: string,
    reference: Digest | undefined,
    needed: readonly Digest[],
  ): Promise<void> {
    const { seeder, isWhole, isFlowing } = this.#parts
    const key = reference ?? needed[0] ?? repository
    const atOrigin = new Set<Digest>()
    let asksSeeder = true
    const wereAsked = { peers: false, origin: false }
    for (;;) {
      const proof: NextProof = nextProof({
        seeder: seeder.health.kind === 'silent' || !asksSeeder ? 'away' : 'unsure',
        canKeep: this.#parts.canKeep(),
        wereAsked,
        blobs: needed.map((digest) => ({
          digest,
          isWhole: isWhole(digest),
          isFlowing: isFlowing(digest),
          isOffered: (this.#parts.canKeep() && this.#isOffered(digest)) || atOrigin.has(digest),
          hasOriginUrl: this.#sources.peek(digest)?.originUrl !== undefined,
        })),
      })
      if (proof.kind === 'obtainable') return
      if (proof.kind === 'unobtainable') throw this.#missing(repository, key, proof.missing)
      if (proof.whom === 'seeder') {
        if (await seeder.confirm()) return
        asksSeeder = false
      } else if (proof.whom === 'peers') {
        wereAsked.peers = true
        await this.#askPeers(repository, reference, proof.about)
      } else {
        wereAsked.origin = true
        if (await this.#isOriginThere(proof.about)) for (const digest of proof.about) atOrigin.add(digest)
      }
    }
  }

  #missing(repository: string, what: string, missing: readonly Digest[]): UnobtainableError {
    const reason = this.#parts.seeder.problem ?? 'the seeder does not answer'
    this.#parts.log.warn(
      { event: 'image-unobtainable', repository, digest: what, missing: missing.slice(0, 4), reason },
      'nobody who can be reached has all of an image',
    )
    const blobs = missing.length === 1 ? missing[0] : `${missing[0]} and ${missing.length - 1} more blobs`
    return new UnobtainableError(what, `no other agent has ${blobs}, and ${reason}`)
  }

  /** Hands the sources of an image's blobs on; asks for those that are neither here nor known. */
  async #want(repository: string, manifest: Manifest): Promise<void> {
    const image = await this.#imageFor(repository, manifest)
    if (image !== undefined) await this.#wantBlobs(repository, image.digest, requiredBlobs(image.parsed))
  }

  /** Blobs that an index lists come to whoever has it warm; who pulls a build cache wants a few of them and asks for those. */
  async #warm(repository: string, reference: Reference): Promise<void> {
    const manifest = await this.manifest(repository, reference, 'pull')
    if (manifest === undefined) return
    await this.#wantBlobs(repository, manifest.digest, listedBlobs(parse(manifest)))
  }

  async #wantBlobs(repository: string, image: Digest, blobs: readonly Descriptor[]): Promise<void> {
    const missing = blobs.map(({ digest }) => digest).filter((digest) => !this.#parts.isHere(digest))
    const isKnown = (digest: Digest) => this.#sources.has(digest) || this.#arriving.has(digest)
    if (!missing.every(isKnown)) {
      await this.#ask({ repository, reference: image }, 'pull')
    }
    this.#parts.onWanted(missing.flatMap((digest) => this.#sources.peek(digest) ?? []))
    for (const digest of missing) if (this.#arriving.has(digest)) this.#wantOnArrival(repository, digest)
  }

  #lost(digest: Digest): void {
    if (this.#arriving.delete(digest)) this.#parts.onLost(digest)
  }

  #wantOnArrival(repository: string, digest: Digest): void {
    if (this.#awaited.has(linkOf(repository, digest))) return
    this.source(repository, digest).then(
      (source) => {
        if (source !== undefined && source !== 'unknown') this.#parts.onWanted([source])
      },
      (err: unknown) => this.#parts.log.warn({ event: 'arrival-lost', digest, err }, 'a blob did not arrive'),
    )
  }

  /** The image itself, or of an index the one that runs on this node, where its manifest came along. */
  async #imageFor(
    repository: string,
    manifest: Manifest,
  ): Promise<{ digest: Digest; parsed: ParsedManifest } | undefined> {
    const parsed = parse(manifest)
    if (parsed.kind !== 'index') return { digest: manifest.digest, parsed }
    const chosen = chooseManifest(parsed, this.#init.platform)
    if (chosen === undefined) return undefined
    const child = await this.#parts.records.manifest(repository, chosen.digest)
    return child === undefined ? undefined : { digest: child.digest, parsed: parse(child) }
  }

  /**
   * Many clients that ask the same at once are one question.
   * @returns undefined when the seeder says that there is no such thing
   */
  #ask(question: Asked, purpose: 'look' | 'pull'): Promise<Answer | undefined> {
    const key = JSON.stringify([question, purpose])
    let answer = this.#underWay.get(key)
    if (answer === undefined) {
      answer = this.#askSeederThenOthers(question, purpose).finally(() => this.#underWay.delete(key))
      this.#underWay.set(key, answer)
    }
    return answer
  }

  async #askSeederThenOthers(question: Asked, purpose: 'look' | 'pull'): Promise<Answer | undefined> {
    const { client, seeder, log } = this.#parts
    const { seederUrl, peerId, platform } = this.#init
    // Who only looks is not taken into the swarms.
    const asker = { platform: formatPlatform(platform), peerId: purpose === 'pull' ? peerId : '' }
    let upstreamProblem: string | undefined
    try {
      const resolution = await seeder.ask((signal) =>
        client.resolve(seederUrl, { ...question, ...asker, later: 'true' }, 'seeder', signal),
      )
      if (resolution === undefined) return undefined
      return await this.#keep(question, resolution)
    } catch (error) {
      if (!(error instanceof ShoalError)) throw error
      upstreamProblem = error instanceof SourceUnavailableError ? error.upstreamProblem : undefined
      if (upstreamProblem === undefined)
        log.warn({ event: 'seeder-unavailable', ...question, err: error }, 'seeder unavailable')
      else
        log.warn(
          { event: 'upstream-unavailable', ...question, reason: upstreamProblem },
          'another registry did not answer the seeder',
        )
    }
    return { ...(await this.#askContacts(question)), upstreamProblem }
  }

  /** Has agents say which of these blobs they have: those that are known as peers, and contacts. */
  async #askPeers(
    repository: string,
    reference: Digest | undefined,
    about: readonly Digest[],
  ): Promise<void> {
    const known = about.flatMap((digest) => this.#sources.peek(digest)?.peers ?? [])
    const peers = distinctAddresses(known.filter(({ role }) => role === 'agent')).slice(-PEERS_ASKED)
    const contacts = this.#parts.contacts.agents.slice(0, PULL_LIMITS.contactsAsked)
    const asked = distinctAddresses([...contacts, ...peers])
    const ask = async (question: Asked) => {
      await this.#keepProven(question, await this.#questions.ask(question, asked))
    }
    if (reference !== undefined) await ask({ repository, reference })
    const left = about.filter((digest) => !this.#isOffered(digest)).slice(0, BLOBS_ASKED_MAX)
    await Promise.all(left.map((blob) => ask({ repository, blob })))
  }

  #isOffered(digest: Digest): boolean {
    const offeredAtMs = this.#offers.peek(digest)
    // The node's clock may have been put back meanwhile.
    return offeredAtMs !== undefined && Math.abs(this.#parts.nowMs() - offeredAtMs) < OFFER_AGE_MAX_MS
  }

  /** Whether the origin gives the first byte of one of the blobs: all are in one bucket. */
  async #isOriginThere(about: readonly Digest[]): Promise<boolean> {
    const url = about.map((digest) => this.#sources.peek(digest)?.originUrl).find((one) => one !== undefined)
    if (url === undefined) return false
    try {
      const range = { start: 0, end: 1 }
      const signal = AbortSignal.timeout(ORIGIN_TIMEOUT_MS)
      for await (const _ of this.#parts.http.bytes(url, range, 'the origin', signal));
      return true
    } catch {
      return false
    }
  }

  /** What this node knows itself, and what other agents can prove: the latest genuine meaning of a tag wins. */
  async #askContacts(question: Asked): Promise<Answer> {
    const { contacts } = this.#parts
    const { repository, reference } = question
    const asked = contacts.agents.slice(0, PULL_LIMITS.contactsAsked)
    const answers = await this.#questions.ask(question, asked)
    if (reference === undefined || reference.includes(':')) {
      await this.#keepProven(question, answers)
      const digest = answers[0]?.manifests[0]?.digest
      return { digest, sources: answers.flatMap(({ sources }) => sources), arriving: [] }
    }
    const latest = await this.#latestTag(repository, reference, answers)
    if (latest === undefined) return NOBODY_CAN_SAY
    const { digest } = latest.record
    const agreeing = answers.filter(({ tag }) => tag?.record.digest === digest)
    await this.#keepProven(question, agreeing)
    return { digest, sources: agreeing.flatMap(({ sources }) => sources), arriving: [] }
  }

  /** Keeps the latest genuine meaning, this node's own or another agent's. */
  async #latestTag(
    repository: string,
    tag: string,
    answers: readonly ProvenAnswer[],
  ): Promise<SignedTag | undefined> {
    const { records, contacts, nowMs, log } = this.#parts
    const kept = await records.tag(repository, tag)
    const isOwn =
      kept?.record.repository === repository && kept.record.tag === tag && contacts.isGenuineTag(kept)
    const told = answers.flatMap((answer) => answer.tag ?? [])
    const latest = latestTag(isOwn ? [kept, ...told] : told, nowMs())
    // Kept by a version that did not look.
    if (kept !== undefined && !isOwn && contacts.hasKey) await records.forgetTag(repository, tag)
    if (latest === undefined) return undefined
    if (isDatedAhead(latest, nowMs())) {
      const { issuedAtMs } = latest.record
      log.warn(
        { event: 'tag-dated-ahead', repository, tag, issuedAtMs },
        'a tag is dated ahead of this clock',
      )
    }
    if (latest !== kept) await records.keepTag(latest)
    return latest
  }

  async #keepProven({ repository, reference }: Asked, answers: readonly ProvenAnswer[]): Promise<void> {
    const manifests = new Map(
      answers.flatMap((answer) => answer.manifests.map((each) => [each.digest, each])),
    )
    for (const manifest of manifests.values()) await this.#parts.records.keepManifest(repository, manifest)
    for (const digest of answers.flatMap(({ whole }) => whole)) {
      this.#offers.set(digest, this.#parts.nowMs())
    }
    for (const source of answers.flatMap(({ sources }) => sources)) {
      this.#addPeers(source)
      // An agent that has the bytes does not make them this repository's; the manifest does.
      if (reference !== undefined) this.#link(repository, source.metainfo.digest)
    }
  }

  /**
   * Keeps what the seeder says.
   * @throws SourceUnavailableError when it does not answer the question or is not what it claims
   */
  async #keep(question: Asked, resolution: Resolution): Promise<Answer> {
    const { records } = this.#parts
    const { repository, reference } = question
    for (const { digest, bytes } of resolution.manifests) {
      if (!hasDigest(bytes, digest))
        throw new SourceUnavailableError('the seeder', `manifest ${digest} has other bytes`)
    }
    const digest = resolution.manifests[0]?.digest
    if (reference !== undefined && !isAnswered(repository, reference, resolution))
      throw new SourceUnavailableError('the seeder', 'it answered another question')
    const sources = resolution.blobs.map((blob) => knownBlobOf(repository, blob))
    for (const manifest of resolution.manifests) await records.keepManifest(repository, manifest)
    // Whatever was known before, and whenever that was dated: this is what the seeder says now.
    if (reference !== undefined && resolution.tag !== undefined) await records.keepTag(resolution.tag)
    for (const source of sources) {
      this.#keepSource(source)
      this.#link(repository, source.metainfo.digest)
    }
    this.#parts.onTold(sources)
    const arriving = resolution.arriving ?? []
    for (const arrival of arriving) {
      const { digest, length, pieces } = arrival
      this.#arriving.set(digest, { length, isTold: pieces !== undefined, saidAtMs: this.#parts.nowMs() })
      this.#link(repository, digest)
      this.#parts.onArriving(repository, arrival)
      // Who has begun with it hears of its end, whether or not anybody reads it.
      if (pieces !== undefined) this.#wantOnArrival(repository, digest)
    }
    const { warning } = resolution
    return { digest, sources, arriving, ...(warning === undefined ? {} : { warning }) }
  }

  #link(repository: string, digest: Digest): void {
    this.#links.set(linkOf(repository, digest), true)
  }

  #keepSource(source: KnownBlob): void {
    const { digest } = source.metainfo
    const found = this.#sources.peek(digest)
    const known = found?.infoHash === source.infoHash ? found : undefined
    this.#arriving.delete(digest)
    const peers = [...(known?.peers ?? []), ...source.peers]
    this.#sources.set(digest, { ...known, ...source, peers: distinctPeers(peers) })
  }

  /** Of several agents that know the blob, all are peers; what the seeder has said beside stays. */
  #addPeers(source: KnownBlob): void {
    const known = this.#sources.peek(source.metainfo.digest)
    this.#keepSource(known === undefined ? source : { ...known, peers: source.peers })
  }
}

/** Whether it tells of the manifest, or the tag, that was asked for. */
function isAnswered(repository: string, reference: string, { tag, manifests }: Resolution): boolean {
  const first = manifests[0]?.digest
  const digest = tryParseDigest(reference)
  if (digest !== undefined) return first === digest
  const record = tag?.record
  return (
    first !== undefined &&
    record?.repository === repository &&
    record.tag === reference &&
    record.digest === first
  )
}

/** Whom a container runtime asks for the blobs of an image: each once. */
function neededBlobs(parsed: ParsedManifest): readonly Digest[] {
  return [...new Set(requiredBlobs(parsed).map(({ digest }) => digest))]
}

function linkOf(repository: string, digest: Digest): string {
  return `${repository} ${digest}`
}

function parse(manifest: Manifest): ParsedManifest {
  return readManifest(manifest.bytes, manifest.mediaType)
}

const SOURCE_PEERS_MAX = 64

function distinctPeers(peers: readonly PeerAddress[]): PeerAddress[] {
  return [...new Map(peers.map((peer) => [peer.peerId, peer])).values()].slice(-SOURCE_PEERS_MAX)
}

function distinctAddresses(peers: readonly PeerAddress[]): PeerAddress[] {
  return [...new Map(peers.map((peer) => [formatHostPort(peer), peer])).values()]
}

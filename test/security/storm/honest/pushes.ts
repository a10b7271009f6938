/** Somebody who pushes images all the time and moves tags, and remembers what every tag meant when. */
import { createHash, randomFillSync } from 'node:crypto'
import { decodeInfo, type Prng } from '@shoal/core'
import { decodeResolution, RESOLVE_PATH } from '@shoal/wire'
import { buildImage, type Image } from '../../../support/images.ts'
import { memoryBlob } from '../../../support/layers.ts'
import { pushImage } from '../../../support/push.ts'
import type { KnownBlob } from '../world.ts'

export interface PushedImage {
  readonly repository: string
  readonly tag: string
  readonly image: Image
  /** Of its only layer. */
  readonly bytes: Uint8Array
}

interface Meaning {
  readonly digest: string
  readonly fromMs: number
  /** When it was sure to be in force: a push that is under way may be seen already. */
  readonly sureFromMs: number
}

const TAGS = ['1', '2', '3']
const REPOSITORIES = ['team/app', 'team/tools']
/** Their bytes are held in memory. */
const IMAGES_KEPT = 40
const MEANINGS_KEPT = 400
const KIB = 1024

export class Pushes {
  readonly #seederUrl: string
  readonly #images: PushedImage[] = []
  readonly #meanings = new Map<string, Meaning[]>()
  readonly blobs: KnownBlob[] = []
  count = 0

  constructor(seederUrl: string) {
    this.#seederUrl = seederUrl
  }

  /** The latest are last. */
  get images(): readonly PushedImage[] {
    return this.#images
  }

  /**
   * @param url the seeder's, or that of an agent that passes pushes on
   * @throws RegistryAnswerError where it is not taken
   */
  async push(url: string, prng: Prng): Promise<PushedImage> {
    const number = this.count++
    const bytes = Buffer.allocUnsafe(sizeOf(prng))
    randomFillSync(bytes)
    const blob = memoryBlob(bytes)
    const image = buildImage({
      layers: [{ ...blob, diffId: blob.digest }],
      labels: { number: String(number) },
    })
    const repository = REPOSITORIES[prng.below(REPOSITORIES.length)]!
    const tag = TAGS[prng.below(TAGS.length)]!
    const meanings = this.#meanings.get(`${repository}:${tag}`) ?? []
    this.#meanings.set(`${repository}:${tag}`, meanings)
    const meaning = {
      digest: image.manifest.digest,
      fromMs: performance.now(),
      sureFromMs: Number.POSITIVE_INFINITY,
    }
    meanings.push(meaning)
    await pushImage(url, repository, tag, image)
    meaning.sureFromMs = performance.now()
    if (meanings.length > MEANINGS_KEPT) meanings.shift()
    const pushed = { repository, tag, image, bytes }
    this.#images.push(pushed)
    if (this.#images.length > IMAGES_KEPT) this.#images.shift()
    this.blobs.push(await knownBlob(this.#seederUrl, pushed))
    if (this.blobs.length > IMAGES_KEPT) this.blobs.shift()
    return pushed
  }

  /** `never` was it the tag's meaning; `old` is one that was replaced before `sinceMs`. */
  judge(repository: string, tag: string, digest: string, sinceMs: number): 'right' | 'old' | 'never' {
    const meanings = this.#meanings.get(`${repository}:${tag}`) ?? []
    const at = meanings.findLastIndex((meaning) => meaning.digest === digest)
    if (at < 0) return 'never'
    const replacedAtMs = meanings[at + 1]?.sureFromMs ?? Number.POSITIVE_INFINITY
    return replacedAtMs >= sinceMs ? 'right' : 'old'
  }
}

/** Most are small; some are of several pieces, a few of many. */
function sizeOf(prng: Prng): number {
  const share = prng.below(20)
  if (share === 0) return (2_000 + prng.below(4_000)) * KIB
  return (share < 8 ? 200 + prng.below(800) : 1 + prng.below(150)) * KIB
}

async function knownBlob(seederUrl: string, { repository, tag, image }: PushedImage): Promise<KnownBlob> {
  const digest = image.layers[0]!.digest
  const answer = await fetch(
    `${seederUrl}${RESOLVE_PATH}?${new URLSearchParams({ repository, blob: digest })}`,
  )
  const { blobs } = decodeResolution(new Uint8Array(await answer.arrayBuffer()))
  const { info } = blobs[0]!
  const infoHash = createHash('sha1').update(info).digest('hex')
  return { repository, tag, manifest: image.manifest.digest, digest, infoHash, metainfo: decodeInfo(info) }
}

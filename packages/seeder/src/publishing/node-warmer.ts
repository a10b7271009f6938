/**
 * Has nodes fetch an image before anybody pulls it there, and watches until they have it. A node is ready when it seeds every
 * blob of an image of one platform.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Digest } from '@shoal/core'
import { blobsOf, type Manifest } from '@shoal/oci'
import type { ImageStore } from '@shoal/registry'
import { readManifest, steadyMs } from '@shoal/service'
import type { ConnectedAgent, Tracker } from '@shoal/tracker'
import type { Logger } from 'pino'
import { SeederError } from '../errors.ts'
import type { Node } from './warm-selector.ts'

export interface NodeWarmerParts {
  readonly tracker: Pick<Tracker, 'agents' | 'warm' | 'isSeeding'>
  readonly images: Pick<ImageStore, 'metainfo'>
  readonly log: Logger
}

export interface WarmImage {
  readonly name: string
  /** Nodes learn what it means as well, and know it when the seeder is away. */
  readonly tag: string | undefined
  readonly digest: Digest
  readonly manifests: readonly Manifest[]
}

const LOOK_MS = 200
/** Nodes that have not become ready by then are told of. */
const WARM_MS_MAX = 15 * 60 * 1000

export class WarmTimeoutError extends SeederError {
  readonly code = 'SEEDER_WARM_TIMEOUT'
  constructor(names: readonly string[]) {
    super(
      `${names.length} nodes did not get the image in ${WARM_MS_MAX / 60_000} minutes: ${names.slice(0, 10).join(', ')}; see their logs`,
    )
  }
}

export class NodeWarmer {
  readonly #parts: NodeWarmerParts

  constructor(parts: NodeWarmerParts) {
    this.#parts = parts
  }

  /** Asks the nodes that are meant to fetch the image. */
  begin(image: WarmImage, selects: (node: Node) => boolean): readonly ConnectedAgent[] {
    const { tracker, log } = this.#parts
    const nodes = tracker.agents.filter(selects)
    tracker.warm(
      nodes.map(({ peerId }) => peerId),
      [image.digest, ...(image.tag === undefined ? [] : [image.tag])].map((reference) => ({
        repository: image.name,
        reference,
      })),
    )
    log.info(
      { event: 'warming', name: image.name, digest: image.digest, nodes: nodes.length },
      'warming nodes',
    )
    return nodes
  }

  /**
   * Resolves when every node that is meant and stays connected has the image.
   * @throws WarmTimeoutError
   */
  async warm(
    image: WarmImage,
    selects: (node: Node) => boolean,
    signal: AbortSignal,
    onProgress: (nodes: number, ready: number) => void,
  ): Promise<void> {
    const { tracker } = this.#parts
    const swarms = await this.#swarms(image)
    const nodes = this.begin(image, selects)
    // An index may name images that nobody has pushed: then there is nothing to wait for.
    const isReady = (peerId: string) =>
      swarms.length === 0 ||
      swarms.some((infoHashes) => infoHashes.every((infoHash) => tracker.isSeeding(infoHash, peerId)))
    const endMs = steadyMs() + WARM_MS_MAX
    for (;;) {
      const connected = new Set(tracker.agents.map(({ peerId }) => peerId))
      const missing = nodes.filter(({ peerId }) => connected.has(peerId) && !isReady(peerId))
      onProgress(nodes.length, nodes.filter(({ peerId }) => isReady(peerId)).length)
      if (missing.length === 0) return
      if (steadyMs() > endMs) throw new WarmTimeoutError(missing.map(({ name }) => name))
      await sleep(LOOK_MS, undefined, { signal })
    }
  }

  /** The swarms of each image: of an index, one set for each platform; those of a build cache are one set. */
  async #swarms({ manifests }: WarmImage): Promise<readonly (readonly string[])[]> {
    const sets = await Promise.all(
      manifests.map(async ({ bytes, mediaType }) => {
        const found = await Promise.all(
          blobsOf(readManifest(bytes, mediaType)).map(({ digest }) => this.#parts.images.metainfo(digest)),
        )
        return found.flatMap((blob) => (blob === undefined ? [] : [blob.infoHash]))
      }),
    )
    return sets.filter((infoHashes) => infoHashes.length > 0)
  }
}

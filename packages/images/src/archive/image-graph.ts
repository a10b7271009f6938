/**
 * Everything that must be in a registry for an image to be whole, in the order in which it can be sent: blobs, then
 * manifests from the leaves to the root, then what is attached to them. The caller gives the root its tag last.
 */

import type { Digest } from '@shoal/core'
import { blobsOf, childManifests, type Descriptor, platformText } from '@shoal/oci'
import type { BlobSource } from '../builder/blob-source.ts'
import type { ImageLocation, Referrer } from './archived-image.ts'
import { type Content, findBlob, type Wanted } from './content.ts'
import { ArchiveLimitError, ContentMissingError } from './errors.ts'
import { isManifest, readManifestDocument } from './manifest-document.ts'

export interface ImageGraph {
  /** Each once. */
  readonly blobs: readonly BlobSource[]
  /** Each once, none before what it names; without the root. */
  readonly manifests: readonly BlobSource[]
  readonly root: BlobSource
}

/** An index of indexes of indexes of images; nothing real is deeper than two. */
export const INDEX_DEPTH_MAX = 4
/** Blobs and manifests of one image. */
export const GRAPH_CONTENTS_MAX = 100_000

/** @throws ImageArchiveError when something is missing, damaged as far as lengths tell, or beyond a limit */
export async function imageGraph({ content, root, referrers }: ImageLocation): Promise<ImageGraph> {
  const walk = new Walk(content)
  await walk.visit(root, 0)
  await walk.visitReferrers(referrers)
  const rootSource = walk.manifests.get(root.digest)!
  walk.manifests.delete(root.digest)
  return { blobs: [...walk.blobs.values()], manifests: [...walk.manifests.values()], root: rootSource }
}

class Walk {
  readonly blobs = new Map<Digest, BlobSource>()
  readonly manifests = new Map<Digest, BlobSource>()

  readonly content: Content

  constructor(content: Content) {
    this.content = content
  }

  async visit(wanted: Wanted, indexDepth: number): Promise<void> {
    if (this.manifests.has(wanted.digest)) return
    const { parsed, source } = await readManifestDocument(this.content, wanted)
    if (parsed.kind === 'index' && indexDepth >= INDEX_DEPTH_MAX)
      throw new ArchiveLimitError(this.content.path, `its indexes lie deeper than ${INDEX_DEPTH_MAX}`)
    for (const blob of blobsOf(parsed)) await this.#addBlob(blob)
    for (const child of childManifests(parsed)) await this.#visitChild(child, indexDepth + 1)
    this.manifests.set(wanted.digest, source)
    this.#expectRoom()
  }

  /** Signatures may be attached to what is attached: until there is nothing more. */
  async visitReferrers(referrers: readonly Referrer[]): Promise<void> {
    let left = referrers
    for (;;) {
      const attached = left.filter(({ subject }) => this.manifests.has(subject))
      if (attached.length === 0) return
      for (const { descriptor } of attached) await this.visit(descriptor, 0)
      left = left.filter((referrer) => !attached.includes(referrer))
    }
  }

  async #visitChild(child: Descriptor, indexDepth: number): Promise<void> {
    if (!isManifest(child)) return this.#addBlob(child)
    if (!this.manifests.has(child.digest) && (await this.content.find(child.digest)) === undefined) {
      const hint =
        child.platform === undefined
          ? ''
          : ` for ${platformText(child.platform)}; --platform pushes only those that are there`
      throw new ContentMissingError(this.content.path, child.digest, hint)
    }
    await this.visit(child, indexDepth)
  }

  async #addBlob(blob: Wanted): Promise<void> {
    if (this.blobs.has(blob.digest)) return
    this.blobs.set(blob.digest, await findBlob(this.content, blob))
    this.#expectRoom()
  }

  #expectRoom(): void {
    if (this.blobs.size + this.manifests.size > GRAPH_CONTENTS_MAX)
      throw new ArchiveLimitError(
        this.content.path,
        `an image of it has more than ${GRAPH_CONTENTS_MAX} parts`,
      )
  }
}

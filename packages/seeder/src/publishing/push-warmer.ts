/**
 * Has nodes fetch what is being pushed, by the operator's rules: blobs from their first piece on, and the image when its
 * manifest is there, so that they know its tag as well.
 */
import type { Digest } from '@shoal/core'
import type { Reference, UploadWatcher } from '@shoal/registry'
import type { Tracker } from '@shoal/tracker'
import type { ArrivingBlobs } from '../arriving/arriving-blobs.ts'
import type { WarmRules } from './warm-rules.ts'

export interface PushWarmerParts {
  readonly tracker: Pick<Tracker, 'agents' | 'warm' | 'warmBlob'>
  readonly arriving: ArrivingBlobs
}

export class PushWarmer {
  readonly #parts: PushWarmerParts
  readonly #rules: WarmRules

  constructor(parts: PushWarmerParts, init: { readonly rules: WarmRules }) {
    this.#parts = parts
    this.#rules = init.rules
  }

  /** A blob of this length begins to arrive. */
  async watch(repository: string, digest: Digest, length: number): Promise<UploadWatcher | undefined> {
    const { tracker, arriving } = this.#parts
    const peerIds = this.#agentsFor(repository)
    if (peerIds.length === 0) return undefined
    const blob = await arriving.begin(repository, digest, length).catch(() => undefined)
    if (blob === undefined) return undefined
    tracker.warmBlob(peerIds, repository, digest)
    // The push goes on where there is no room for the copy that nodes are warmed from: they fetch the blob when it is whole.
    let isLost = false
    const append = async (chunk: Uint8Array): Promise<void> => {
      if (isLost) return
      await blob.append(chunk).catch(() => {
        isLost = true
        blob.end(false)
      })
    }
    return { append, end: (isStored) => blob.end(isStored && !isLost) }
  }

  /** Its manifest is there. */
  pushed(repository: string, reference: Reference, digest: Digest): void {
    const peerIds = this.#agentsFor(repository)
    if (peerIds.length === 0) return
    const references = reference.kind === 'tag' ? [digest, reference.tag] : [digest]
    this.#parts.tracker.warm(
      peerIds,
      references.map((text) => ({ repository, reference: text })),
    )
  }

  #agentsFor(repository: string): readonly string[] {
    const selects = this.#rules(repository)
    return selects === undefined ? [] : this.#parts.tracker.agents.filter(selects).map(({ peerId }) => peerId)
  }
}

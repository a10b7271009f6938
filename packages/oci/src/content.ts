/** What a registry says of what it has: blobs, manifests, tags. */
import type { Digest } from '@shoal/core'

export interface BlobStat {
  readonly digest: Digest
  readonly length: number
  /** It is still on its way here: its first byte may be long in coming, and the header does not wait for it. */
  readonly isArriving?: boolean
}

export interface ManifestStat extends BlobStat {
  readonly mediaType: string
}

export interface Manifest extends ManifestStat {
  readonly bytes: Uint8Array
  /** Something the client should know about this answer, such as that it may be out of date; printable ASCII. */
  readonly warning?: string
}

export interface TagsPage {
  readonly tags: readonly string[]
  /** More tags follow the last one given. */
  readonly more: boolean
}

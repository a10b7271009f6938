/** What the agent knows of a blob that it may have to fetch, from a resolution. */
import { decodeInfo, type ImportShare, type InfoHash, type Metainfo, type PeerAddress } from '@shoal/core'
import { infoHashOf } from '@shoal/storage'
import type { ResolvedBlob } from '@shoal/wire'

export interface BlobSource {
  readonly metainfo: Metainfo
  readonly infoHash: InfoHash
  /** A repository in which the seeder serves the blob. */
  readonly repository: string
  readonly peers: readonly PeerAddress[]
  /** What may be asked of peers in other zones, if the tracker said anything; an agent in its place cannot know. */
  readonly imports?: ImportShare | undefined
  /** The seeder itself said so, and not another agent in its place: then right pieces make up the right blob. */
  readonly isFromSeeder: boolean
  /** The whole blob, where it was short enough to come along. */
  readonly inline?: Uint8Array
  /** GET it without credentials, for a while: a secret, never logged or passed on. */
  readonly originUrl?: string
}

/** @throws MetainfoInvalidError */
export function blobSourceOf(
  repository: string,
  resolved: ResolvedBlob,
  from: 'seeder' | 'contact',
): BlobSource {
  const metainfo = decodeInfo(resolved.info)
  return {
    metainfo,
    infoHash: infoHashOf(metainfo),
    repository,
    peers: resolved.peers,
    imports: from === 'seeder' ? resolved.imports : undefined,
    isFromSeeder: from === 'seeder',
    ...(resolved.inline !== undefined && { inline: resolved.inline }),
    ...(resolved.originUrl !== undefined && { originUrl: resolved.originUrl }),
  }
}

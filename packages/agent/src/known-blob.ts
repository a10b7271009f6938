/**
 * What the agent knows of a blob that it may have to fetch. The metainfo is the seeder's word, whoever passed it on: the
 * seeder said it itself, or signed it.
 */
import { type Digest, decodeInfo, type InfoHash, type Metainfo, type PeerAddress } from '@shoal/core'
import type { ImportShare } from '@shoal/engine'
import { infoHashOf } from '@shoal/storage'
import type { ResolvedBlob } from '@shoal/wire'

export interface KnownBlob {
  readonly metainfo: Metainfo
  readonly infoHash: InfoHash
  /** Of the metainfo; a seeder of an earlier version gives none. */
  readonly signature?: Uint8Array
  /** A repository in which the seeder serves the blob. */
  readonly repository: string
  readonly peers: readonly PeerAddress[]
  /** What may be asked of peers in other zones, if the tracker said anything; an agent in its place cannot know. */
  readonly imports?: ImportShare | undefined
  /** The whole blob, where it was short enough to come along. */
  readonly inline?: Uint8Array
  /** GET it without credentials, for a while: a secret, never logged or passed on. Only the seeder says where. */
  readonly originUrl?: string
}

/**
 * @param resolved by the seeder itself
 * @throws MetainfoInvalidError
 */
export function knownBlobOf(repository: string, resolved: ResolvedBlob): KnownBlob {
  const metainfo = decodeInfo(resolved.info)
  return {
    metainfo,
    infoHash: infoHashOf(metainfo),
    repository,
    peers: resolved.peers,
    imports: resolved.imports,
    ...(resolved.signature !== undefined && { signature: resolved.signature }),
    ...(resolved.inline !== undefined && { inline: resolved.inline }),
    ...(resolved.originUrl !== undefined && { originUrl: resolved.originUrl }),
  }
}

/** Where the seeder's registry serves a blob. */
export function seederBlobUrl(seederUrl: string, repository: string, digest: Digest): URL {
  return new URL(`/v2/${repository}/blobs/${digest}`, seederUrl)
}

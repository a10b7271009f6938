/**
 * Which manifests of a repository nobody reaches from a tag. Pure.
 *
 * A tag reaches its manifest, and an index what it lists. What is attached to a manifest (signatures, attestations) is kept
 * and goes with it, unless it has a tag of its own; attached to what is not there, it stands for itself. What is young stays,
 * with everything that it reaches: a push by digest may be about to be given a tag.
 */
import type { Digest } from '@shoal/core'

export interface SurveyedManifest {
  readonly digest: Digest
  /** Whatever the document lists, manifests or not. */
  readonly children: readonly Digest[]
  readonly subject?: Digest
  /** When it was last pushed, or looked for by somebody who pushes. */
  readonly leasedAtMs: number
}

export function untaggedOf(
  manifests: readonly SurveyedManifest[],
  tagged: ReadonlySet<Digest>,
  leasedBeforeMs: number,
): readonly Digest[] {
  const byDigest = new Map(manifests.map((manifest) => [manifest.digest, manifest]))
  const attached = Map.groupBy(
    manifests.filter(({ subject }) => subject !== undefined),
    ({ subject }) => subject!,
  )
  const kept = new Set<Digest>()
  const open = manifests
    .filter(({ digest, leasedAtMs }) => tagged.has(digest) || leasedAtMs >= leasedBeforeMs)
    .map(({ digest }) => digest)
  for (let digest = open.pop(); digest !== undefined; digest = open.pop()) {
    const manifest = byDigest.get(digest)
    if (manifest === undefined || kept.has(digest)) continue
    kept.add(digest)
    open.push(...manifest.children, ...(attached.get(digest) ?? []).map((referrer) => referrer.digest))
  }
  return manifests.map(({ digest }) => digest).filter((digest) => !kept.has(digest))
}

/** Which manifest of an index runs on a machine. Pure. OCI image specification, "Image Index", `platform`. */
import type { Descriptor, Platform } from './descriptor.ts'
import type { ImageIndex } from './manifest.ts'

/** What is meant when nothing is said, as containerd normalises it. */
const DEFAULT_VARIANT: Readonly<Record<string, string>> = { arm64: 'v8', arm: 'v7' }

/**
 * The first manifest for the platform: one of the same variant, else (where no variant is asked for) any of the
 * architecture. Attestations and other entries of an `unknown` platform never match.
 */
export function chooseManifest(
  index: Pick<ImageIndex, 'manifests'>,
  wanted: Platform,
): Descriptor | undefined {
  const sameMachine = index.manifests.filter(
    ({ platform }) => platform?.os === wanted.os && platform.architecture === wanted.architecture,
  )
  const exact = sameMachine.find(({ platform }) => variantOf(platform!) === variantOf(wanted))
  return exact ?? (wanted.variant === undefined ? sameMachine[0] : undefined)
}

function variantOf({ architecture, variant }: Platform): string {
  return variant ?? DEFAULT_VARIANT[architecture] ?? ''
}

/** Node's names for machines, in OCI's words. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' }

/** @param nodeName as `process.arch` has it */
export function architectureOf(nodeName: string): string {
  return ARCHITECTURES[nodeName] ?? nodeName
}

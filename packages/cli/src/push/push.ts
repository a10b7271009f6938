/** Pushes an image from the file system to a registry: opened, understood, checked for being whole, then sent. */
import { chooseImage, imageGraph, onlyPlatforms, openArchive } from '@shoal/images'
import { formatImageReference, type Platform } from '@shoal/oci'
import {
  openConnections,
  type PushedContent,
  type PushTarget,
  pushContent,
  pushLogin,
  RegistryUnreachableError,
} from '@shoal/registry-client'
import { isTransportFailure, transportReason } from '@shoal/service'
import type { Destination } from './destination.ts'
import { showPush } from './progress.ts'

export interface PushRequest {
  readonly path: string
  readonly destination: Destination
  /** Which of several, in the archive's words. */
  readonly image: string | undefined
  /** All when there are none. */
  readonly platforms: readonly Platform[]
}

/** What `--json` prints. */
export interface PushReport {
  readonly reference: string
  readonly digest: string
  /** Of blobs; what was skipped was in the repository already. */
  readonly pushedBytes: number
  readonly skippedBytes: number
  /** In the order in which they were pushed, the tagged one last. */
  readonly manifests: readonly { mediaType: string; digest: string; size: number }[]
}

/** @throws ImageArchiveError · RegistryClientError, or the signal's reason */
export async function runPush(
  request: PushRequest,
  stream: NodeJS.WriteStream,
  signal: AbortSignal,
): Promise<PushReport> {
  const { path, destination, image, platforms } = request
  const { host, registryUrl, repository, tag } = destination
  const authorization = await pushLogin(host)
  await using archive = await openArchive(path, signal)
  const location = await chooseImage(path, archive.images, image).locate()
  const graph = await imageGraph(platforms.length === 0 ? location : await onlyPlatforms(location, platforms))
  const bytes = { sent: 0, skipped: 0 }
  const progress = showPush(stream)
  const client = openConnections()
  const onBytes: PushTarget['onBytes'] = (more, blob, how) => {
    bytes[how] += more
    progress.add(more, blob, how)
  }
  try {
    await send({ client, registryUrl, repository, signal, authorization, onBytes }, tag, graph)
  } finally {
    progress.stop()
    await client.close()
  }
  const { digest } = graph.root
  return {
    reference: formatImageReference({ host, repository, tag, digest }),
    digest,
    pushedBytes: bytes.sent,
    skippedBytes: bytes.skipped,
    manifests: [...graph.manifests, graph.root].map((manifest) => ({
      mediaType: manifest.mediaType,
      digest: manifest.digest,
      size: manifest.sizeBytes,
    })),
  }
}

async function send(target: PushTarget, tag: string, content: PushedContent): Promise<void> {
  try {
    await pushContent(target, tag, content)
  } catch (error) {
    target.signal.throwIfAborted()
    if (!isTransportFailure(error)) throw error
    throw new RegistryUnreachableError(target.registryUrl, transportReason(error), { cause: error })
  }
}

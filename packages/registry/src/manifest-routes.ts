/** `/v2/<name>/manifests/<reference>`. OCI distribution specification, "Pulling manifests" and "Pushing manifests". */
import type { Digest } from '@shoal/core'
import { mediaTypeOfHeader, OciError } from '@shoal/oci'
import type { Manifest } from './backend.ts'
import { type Exchange, etagOf, isKnownToClient, pushOf, referenceOf } from './exchange.ts'
import { collectBody } from './request-body.ts'

export async function headManifest(
  exchange: Exchange,
  repository: string,
  referenceText: string,
): Promise<void> {
  const manifest = await findManifest(exchange, repository, referenceText, 'look')
  if (answerNotModified(exchange, manifest.digest)) return
  exchange.reply.header('content-length', manifest.length).send()
}

/** Ranges are ignored here: a manifest is small, and containerd 2.1 asks for `bytes=0-` and takes the whole. */
export async function getManifest(
  exchange: Exchange,
  repository: string,
  referenceText: string,
): Promise<void> {
  const manifest = await findManifest(exchange, repository, referenceText, 'pull')
  if (answerNotModified(exchange, manifest.digest)) return
  exchange.reply.header('content-length', manifest.length).send(Buffer.from(manifest.bytes))
}

export async function putManifest(
  exchange: Exchange,
  repository: string,
  referenceText: string,
): Promise<void> {
  const push = pushOf(exchange)
  const reference = referenceOf(referenceText)
  if (reference === undefined) {
    throw new OciError('TAG_INVALID', 'neither a tag nor a digest', {
      detail: { reference: referenceText.slice(0, 160) },
    })
  }
  const { raw, headers } = exchange.request
  const bytes = await collectBody(raw, exchange.limits.manifestBytesMax, exchange.limits.idleTimeoutMs)
  const mediaType = mediaTypeOfHeader(headers['content-type']) ?? ''
  const stored = await push.putManifest(repository, reference, mediaType, bytes)
  exchange.reply
    .code(201)
    .headers({
      location: `/v2/${repository}/manifests/${stored.digest}`,
      'docker-content-digest': stored.digest,
    })
    .send()
}

async function findManifest(
  { backend, reply, signal }: Exchange,
  repository: string,
  referenceText: string,
  purpose: 'look' | 'pull',
): Promise<Manifest> {
  const reference = referenceOf(referenceText)
  const manifest = reference && (await backend.manifest(repository, reference, purpose, signal))
  if (manifest === undefined) {
    if (!(await backend.hasRepository(repository))) {
      throw new OciError('NAME_UNKNOWN', 'repository name not known to registry', {
        detail: { name: repository },
      })
    }
    throw new OciError('MANIFEST_UNKNOWN', 'manifest unknown', {
      detail: { reference: referenceText.slice(0, 160) },
    })
  }
  reply.headers({
    'content-type': manifest.mediaType,
    'docker-content-digest': manifest.digest,
    etag: etagOf(manifest.digest),
  })
  return manifest
}

function answerNotModified({ request, reply }: Exchange, digest: Digest): boolean {
  if (!isKnownToClient(request, digest)) return false
  reply.code(304).send()
  return true
}

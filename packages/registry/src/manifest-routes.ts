/** `/v2/<name>/manifests/<reference>`. OCI distribution specification, "Pulling manifests" and "Pushing manifests". */
import type { Digest } from '@shoal/core'
import type { Manifest } from '@shoal/oci'
import { isTag, mediaTypeOfHeader, OciError } from '@shoal/oci'
import { announcedBytes, inPlace } from '@shoal/service'
import { bodyTooLong, collectBody, RequestBody } from './request-body.ts'
import { etagOf, isKnownToClient, pushOf, type RouteContext, referenceOf, removeOf } from './route-context.ts'

/** Tags that one PUT may give, beside the reference in its path. */
const TAGS_PER_PUT_MAX = 100

export async function headManifest(
  context: RouteContext,
  repository: string,
  referenceText: string,
): Promise<void> {
  const manifest = await findManifest(context, repository, referenceText, 'look')
  if (answerNotModified(context, manifest.digest)) return
  context.reply.header('content-length', manifest.length).send()
}

/** Ranges are ignored here: a manifest is small, and containerd 2.1 asks for `bytes=0-` and takes the whole. */
export async function getManifest(
  context: RouteContext,
  repository: string,
  referenceText: string,
): Promise<void> {
  const manifest = await findManifest(context, repository, referenceText, 'pull')
  if (answerNotModified(context, manifest.digest)) return
  context.reply.header('content-length', manifest.length).send(Buffer.from(manifest.bytes))
}

export async function putManifest(
  context: RouteContext,
  repository: string,
  referenceText: string,
): Promise<void> {
  const push = pushOf(context)
  const reference = referenceOf(referenceText)
  if (reference === undefined) {
    throw new OciError('TAG_INVALID', 'neither a tag nor a digest', {
      detail: { reference: referenceText.slice(0, 160) },
    })
  }
  const tags = reference.kind === 'digest' ? tagsOf(context.query) : []
  const { raw, headers } = context.request
  const { limits, places, signal } = context
  if ((announcedBytes(raw) ?? 0) > limits.manifestBytesMax) throw bodyTooLong(limits.manifestBytesMax)
  const mediaType = mediaTypeOfHeader(headers['content-type']) ?? ''
  const body = new RequestBody(raw, limits.idleTimeoutMs)
  const stored = await inPlace(places.manifests, body, signal, async () => {
    const bytes = await collectBody(body, limits.manifestBytesMax)
    return push.putManifest(repository, reference, mediaType, bytes, tags)
  })
  context.reply
    .code(201)
    .headers({
      location: `/v2/${repository}/manifests/${stored.digest}`,
      'docker-content-digest': stored.digest,
      ...(stored.subject === undefined ? {} : { 'oci-subject': stored.subject }),
      ...(tags.length === 0 ? {} : { 'oci-tag': [...tags] }),
    })
    .send()
}

export async function deleteManifest(
  context: RouteContext,
  repository: string,
  referenceText: string,
): Promise<void> {
  const remove = removeOf(context)
  const reference = referenceOf(referenceText)
  if (reference === undefined || !(await remove.removeManifest(repository, reference)))
    throw await notFound(context, repository, referenceText)
  context.reply.code(202).send()
}

/** The development head of the specification, "Pushing Manifests": a manifest pushed by digest may be given tags. */
function tagsOf(query: URLSearchParams): readonly string[] {
  const tags = [...new Set(query.getAll('tag'))]
  const wrong = tags.find((tag) => !isTag(tag))
  if (wrong !== undefined)
    throw new OciError('TAG_INVALID', 'not a tag', { detail: { tag: wrong.slice(0, 160) } })
  if (tags.length > TAGS_PER_PUT_MAX)
    throw new OciError('TAG_INVALID', `more than ${TAGS_PER_PUT_MAX} tags at once`, { status: 414 })
  return tags
}

async function findManifest(
  context: RouteContext,
  repository: string,
  referenceText: string,
  purpose: 'look' | 'pull',
): Promise<Manifest> {
  const { backend, reply, signal } = context
  const reference = referenceOf(referenceText)
  const manifest = reference && (await backend.manifest(repository, reference, purpose, signal))
  if (manifest === undefined) throw await notFound(context, repository, referenceText)
  if (manifest.warning !== undefined) reply.header('warning', warningOf(manifest.warning))
  reply.headers({
    'content-type': manifest.mediaType,
    'docker-content-digest': manifest.digest,
    etag: etagOf(manifest.digest),
  })
  return manifest
}

function answerNotModified({ request, reply }: RouteContext, digest: Digest): boolean {
  if (!isKnownToClient(request, digest)) return false
  reply.code(304).send()
  return true
}

async function notFound(
  { backend }: RouteContext,
  repository: string,
  referenceText: string,
): Promise<OciError> {
  if (await backend.hasRepository(repository)) {
    return new OciError('MANIFEST_UNKNOWN', 'manifest unknown', {
      detail: { reference: referenceText.slice(0, 160) },
    })
  }
  return new OciError('NAME_UNKNOWN', 'repository name not known to registry', {
    detail: { name: repository },
  })
}

/** OCI distribution specification, "Warnings": code 299, agent `-`. */
function warningOf(text: string): string {
  return `299 - "${text.replace(/[^ !#-[\]-~]/g, '?').slice(0, 256)}"`
}

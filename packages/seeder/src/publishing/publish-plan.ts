/** From where to where an image goes, from the names that somebody typed. Pure. */
import type { Digest } from '@shoal/core'
import {
  canonicalHost,
  DOCTOR_REPOSITORY,
  mirroredName,
  parseImageReference,
  ReferenceInvalidError,
} from '@shoal/oci'
import { PublishError } from './errors.ts'

export interface PublishPlan {
  /** The repository here. */
  readonly name: string
  readonly tag: string | undefined
  readonly digest: Digest | undefined
  /** Where it comes from; absent when it must be here already. */
  readonly source: { readonly host: string; readonly repository: string } | undefined
}

/**
 * @param ownHosts names by which clients know this seeder
 * @throws PublishError
 */
export function planPublish(
  reference: string,
  from: string | undefined,
  ownHosts: readonly string[],
): PublishPlan {
  const target = parsed(reference)
  const { tag, digest } = target
  const reach = { tag: tag ?? (digest === undefined ? 'latest' : undefined), digest }
  const host = target.host === undefined ? undefined : canonicalHost(target.host)
  const isOwn = host === undefined || ownHosts.includes(host)
  const name = isOwn ? target.repository : mirroredName(host, target.repository)
  if (name === undefined)
    throw new PublishError('PUBLISH_REFERENCE_INVALID', `${reference} cannot be kept under any name here`)
  if (from !== undefined) {
    if (name === DOCTOR_REPOSITORY)
      throw new PublishError('PUBLISH_REFERENCE_INVALID', `${name} is the seeder’s own; choose another name`)
    const source = parsed(from)
    if (source.host === undefined || source.tag !== undefined || source.digest !== undefined) {
      throw new PublishError(
        'PUBLISH_REFERENCE_INVALID',
        `from must be registry/repository without a tag; ${JSON.stringify(from)} was given`,
      )
    }
    return { name, ...reach, source: { host: canonicalHost(source.host), repository: source.repository } }
  }
  if (isOwn) return { name, ...reach, source: undefined }
  return { name, ...reach, source: { host: host!, repository: name.slice(name.indexOf('/') + 1) } }
}

function parsed(text: string) {
  try {
    return parseImageReference(text)
  } catch (cause) {
    if (!(cause instanceof ReferenceInvalidError)) throw cause
    throw new PublishError('PUBLISH_REFERENCE_INVALID', cause.message, { cause })
  }
}

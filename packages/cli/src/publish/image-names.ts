/** What `shoal publish` is told to publish, and where from, as people type it. Pure. */
import {
  formatImageReference,
  isRepositoryName,
  looksLikeHost,
  parseImageReference,
  ReferenceInvalidError,
} from '@shoal/oci'

const DEFAULT_TAG = 'latest'

/** @throws ReferenceInvalidError */
export function parsePublished(text: string): string {
  const reference = parseImageReference(text)
  const isWhole = reference.tag !== undefined || reference.digest !== undefined
  return formatImageReference(isWhole ? reference : { ...reference, tag: DEFAULT_TAG })
}

/**
 * `registry/repository`.
 * @throws ReferenceInvalidError
 */
export function parseSource(text: string): string {
  const slash = text.indexOf('/')
  if (!looksLikeHost(text.slice(0, Math.max(0, slash))))
    throw new ReferenceInvalidError(text, 'it does not say which registry, as in docker.io/library/alpine')
  if (!isRepositoryName(text.slice(slash + 1)))
    throw new ReferenceInvalidError(
      text,
      'a repository without tag and digest is expected after the registry',
    )
  return text
}

/** The image and what it is now; a digest that was asked for is not said twice. */
export function withDigest(reference: string, digest: string): string {
  return `${reference.split('@', 1)[0]}@${digest}`
}

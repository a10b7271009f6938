/**
 * Names of repositories and tags, and the references that people type. Pure.
 * OCI distribution specification, "Pulling manifests": the grammars of `<name>` and `<reference>`. The host in front is
 * recognised as every client does it: it has a dot or a port or an upper-case letter, or is `localhost`.
 */
import { type Digest, ShoalError, tryParseDigest } from '@shoal/core'

/** Host and name together must fit 255 characters in several clients; the name alone is held to it here. */
const REPOSITORY_NAME_LENGTH_MAX = 255
const TAG_LENGTH_MAX = 128
/** A host of 255, a port, a name, a tag and a sha512 digest, with the signs between them. */
const REFERENCE_LENGTH_MAX = 255 + 6 + 1 + REPOSITORY_NAME_LENGTH_MAX + 1 + TAG_LENGTH_MAX + 1 + 135
const HOST_LENGTH_MAX = 255

// Between two alphanumeric runs stands exactly one separator, so no text can be matched in two ways: linear time.
const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const REPOSITORY_NAME = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`)
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const HOST = /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:.]{2,45}\])(?::([0-9]{1,5}))?$/

export class ReferenceInvalidError extends ShoalError {
  readonly code = 'REFERENCE_INVALID'
  readonly given: string

  constructor(given: string, reason: string) {
    super(
      `not a reference: ${JSON.stringify(given.slice(0, 200))}: ${reason}; expected [host[:port]/]name[:tag][@digest]`,
    )
    this.given = given
  }
}

/** An image as a person names it. */
export interface ImageReference {
  /** With the port where there is one; absent when the text begins with the name. */
  readonly host?: string
  readonly repository: string
  readonly tag?: string
  readonly digest?: Digest
}

export function isRepositoryName(text: string): boolean {
  return text.length <= REPOSITORY_NAME_LENGTH_MAX && REPOSITORY_NAME.test(text)
}

export function isTag(text: string): boolean {
  return TAG.test(text)
}

/** Whether the first segment of a reference is a host rather than the beginning of a name. */
export function looksLikeHost(segment: string): boolean {
  if (segment.length > HOST_LENGTH_MAX + 6) return false
  if (segment !== 'localhost' && !/[.:A-Z]/.test(segment)) return false
  const match = HOST.exec(segment)
  if (match === null || segment.includes('..')) return false
  return match[1] === undefined || (Number(match[1]) >= 1 && Number(match[1]) <= 65_535)
}

/** @throws ReferenceInvalidError */
export function parseImageReference(text: string): ImageReference {
  if (text.length > REFERENCE_LENGTH_MAX) throw new ReferenceInvalidError(text, 'it is too long')
  const { rest, digest } = splitDigest(text)
  const slash = rest.indexOf('/')
  const first = slash === -1 ? '' : rest.slice(0, slash)
  const host = looksLikeHost(first) ? first : undefined
  const path = host === undefined ? rest : rest.slice(slash + 1)
  const colon = path.lastIndexOf(':')
  const tag = colon === -1 ? undefined : path.slice(colon + 1)
  const repository = colon === -1 ? path : path.slice(0, colon)
  if (!isRepositoryName(repository))
    throw new ReferenceInvalidError(text, 'the name is not a repository name')
  if (tag !== undefined && !isTag(tag)) throw new ReferenceInvalidError(text, 'the tag is not one')
  return {
    repository,
    ...(host === undefined ? {} : { host }),
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  }
}

/** The inverse of {@link parseImageReference}. */
export function formatImageReference(reference: ImageReference): string {
  const host = reference.host === undefined ? '' : `${reference.host}/`
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`
  const digest = reference.digest === undefined ? '' : `@${reference.digest}`
  return `${host}${reference.repository}${tag}${digest}`
}

function splitDigest(text: string): { rest: string; digest?: Digest } {
  const at = text.indexOf('@')
  if (at === -1) return { rest: text }
  const digest = tryParseDigest(text.slice(at + 1))
  if (digest === undefined) throw new ReferenceInvalidError(text, 'what follows the @ is not a digest')
  return { rest: text.slice(0, at), digest }
}

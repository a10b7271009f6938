/**
 * Which endpoint a URL names. Pure.
 * OCI distribution specification, "Endpoints".
 *
 * Repository names contain slashes and may contain the words that endpoints are made of (`a/manifests/blobs` is a name),
 * so a path is read from its end, segment by segment, and each segment is decoded on its own: an encoded slash never
 * becomes a separator. What is left in front must be a repository name by the grammar, which has no room for `..`, empty
 * segments, NUL or `_uploads`.
 */
import { isRepositoryName, OciError } from '@shoal/oci'
import { withoutLogin } from '@shoal/service'

export type RegistryPath =
  | { readonly kind: 'base' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'tags'; readonly repository: string }
  | { readonly kind: 'manifest'; readonly repository: string; readonly reference: string }
  | { readonly kind: 'referrers'; readonly repository: string; readonly digest: string }
  | { readonly kind: 'blob'; readonly repository: string; readonly digest: string }
  | { readonly kind: 'uploads'; readonly repository: string }
  | { readonly kind: 'upload'; readonly repository: string; readonly id: string }
  | { readonly kind: 'unknown' }

/**
 * @param path the part of the URL after `/v2`, as it was sent: not decoded, without the query
 * @throws OciError NAME_INVALID
 */
export function parseRegistryPath(path: string): RegistryPath {
  if (path === '' || path === '/') return { kind: 'base' }
  if (path === '/_catalog') return { kind: 'catalog' }
  const segments = path.slice(1).split('/').map(decodeSegment)
  const [beforeLast, last] = [segments.at(-2), segments.at(-1)!]
  if (beforeLast === 'manifests') {
    return { kind: 'manifest', repository: repositoryOf(segments, 2), reference: last }
  }
  if (beforeLast === 'referrers') {
    return { kind: 'referrers', repository: repositoryOf(segments, 2), digest: last }
  }
  if (beforeLast === 'tags' && last === 'list') return { kind: 'tags', repository: repositoryOf(segments, 2) }
  if (segments.at(-3) === 'blobs' && beforeLast === 'uploads') {
    const repository = repositoryOf(segments, 3)
    return last === '' ? { kind: 'uploads', repository } : { kind: 'upload', repository, id: last }
  }
  if (beforeLast === 'blobs') {
    const repository = repositoryOf(segments, 2)
    return last === 'uploads' ? { kind: 'uploads', repository } : { kind: 'blob', repository, digest: last }
  }
  return { kind: 'unknown' }
}

function repositoryOf(segments: readonly string[], endpointSegments: number): string {
  const components = segments.slice(0, -endpointSegments)
  const repository = components.join('/')
  // A slash inside a component was encoded; joined, it would pass for a separator.
  const isEncoded = components.some((component) => component.includes('/'))
  if (isEncoded || !isRepositoryName(repository)) throw nameInvalid(repository)
  return repository
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    throw nameInvalid(segment)
  }
}

function nameInvalid(name: string): OciError {
  return new OciError('NAME_INVALID', 'invalid repository name', {
    detail: { name: withoutLogin(name.slice(0, 256)) },
  })
}

/**
 * Which repository a client of a mirror means. Pure.
 *
 * containerd names the registry that it would have asked in `?ns=`; podman, CRI-O and BuildKit put it in front of the
 * repository, and a mirror's own path may come before or after `/v2/`: `/docker.io/v2/library/nginx/…` and
 * `/v2/docker.io/library/nginx/…` are the same. All of them become the name under which the repository is kept.
 */
import { canonicalHost, looksLikeHost, mirroredName, OciError, splitMirroredName } from '@shoal/oci'
import { withoutLogin } from '@shoal/service'
import type { RegistryPath } from './path.ts'

/**
 * Brings a mirror's path behind `/v2/`, and a port into a form that repository names allow.
 * @param url as it was sent, with its query
 */
export function rewriteMirrorUrl(url: string): string {
  const match = /^(?:\/([^/?]+))?\/v2(?:\/([^/?]+))?(\/[^?]*)?(\?.*)?$/.exec(url)
  if (match === null) return url
  const [, before, first = '', rest = '', query = ''] = match
  const host = decoded(before ?? first)
  if (host === undefined || !looksLikeHost(host)) return url
  const segment = host.replace(/:(?=[0-9]+$)/, '_')
  if (before === undefined) return segment === host ? url : `/v2/${segment}${rest}${query}`
  // The base of a mirror is the base of the registry.
  return first === '' ? `/v2/${query}` : `/v2/${segment.toLowerCase()}/${first}${rest}${query}`
}

/**
 * @param namespace the `ns` of the query, or null
 * @throws OciError NAME_UNKNOWN, which sends the client on to the next registry
 */
export function inNamespace(path: RegistryPath, namespace: string | null): RegistryPath {
  if (namespace === null || namespace === '' || !('repository' in path)) return path
  // Said twice, in the path and in `ns`, it is still one registry.
  const named = splitMirroredName(path.repository)
  if (named !== undefined && named.host === canonicalHost(namespace)) return path
  const repository = mirroredName(namespace, path.repository)
  if (repository === undefined) {
    throw new OciError('NAME_UNKNOWN', 'ns is not the host of a registry', {
      detail: { ns: withoutLogin(namespace.slice(0, 256)) },
    })
  }
  return { ...path, repository }
}

/** @param ownHosts names of the registry that is asked, or that it speaks for */
export function withoutOwnHost(path: RegistryPath, ownHosts: readonly string[]): RegistryPath {
  if (ownHosts.length === 0 || !('repository' in path)) return path
  const named = splitMirroredName(path.repository)
  const isOwn = named !== undefined && ownHosts.includes(named.host)
  return isOwn ? { ...path, repository: named.repository } : path
}

function decoded(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}

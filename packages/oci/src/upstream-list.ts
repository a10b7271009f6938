/**
 * The registries that an operator lets Shoal mirror, as they are written in a setting: `docker.io, quay.io,
 * registry.corp:5000=http://10.0.0.5:5000`. Pure.
 */
import { ShoalError } from '@shoal/core'
import { canonicalHost } from './mirror-name.ts'
import { isRepositoryName, looksLikeHost } from './reference.ts'

export interface UpstreamEntry {
  /** As it stands in references. */
  readonly host: string
  /** Where it really is, when that does not follow from its name; plain http only so. */
  readonly url?: string
}

/** What is asked again and again whether something was pushed: a repository of a mirrored registry, and which of its tags. */
export interface WatchEntry {
  readonly host: string
  readonly repository: string
  /** A tag, or with `*` and `?` a pattern of them. */
  readonly tags: string
}

export class UpstreamListInvalidError extends ShoalError {
  readonly code = 'UPSTREAM_LIST_INVALID'
}

/** @throws UpstreamListInvalidError */
export function parseUpstreamList(text: string): readonly UpstreamEntry[] {
  return itemsOf(text).map((item) => {
    const [host = '', url] = splitOnce(item, '=')
    if (!looksLikeHost(host))
      throw new UpstreamListInvalidError(`${JSON.stringify(host)} is no registry host`)
    if (url === undefined) return { host: canonicalHost(host) }
    if (!/^https?:\/\/[^\s/?#@]+(?:\/[^\s?#]*)?$/.test(url))
      throw new UpstreamListInvalidError(`the URL of ${host} is not http:// or https:// with a host`)
    return { host: canonicalHost(host), url }
  })
}

/** Names by which clients know a registry. @throws UpstreamListInvalidError */
export function parseHostList(text: string): readonly string[] {
  return itemsOf(text).map((host) => {
    if (!looksLikeHost(host)) throw new UpstreamListInvalidError(`${JSON.stringify(host)} is no host`)
    return canonicalHost(host)
  })
}

/**
 * Token servers that may see the credentials of a registry on another domain: `nvcr.io=authn.nvidia.com`.
 * @throws UpstreamListInvalidError
 */
export function parseRealmHosts(text: string): ReadonlyMap<string, readonly string[]> {
  const realmsByHost = new Map<string, readonly string[]>()
  for (const item of itemsOf(text)) {
    const [head = '', realm = ''] = splitOnce(item, '=')
    if (!looksLikeHost(head) || !looksLikeHost(realm) || realm.includes(':'))
      throw new UpstreamListInvalidError(`${JSON.stringify(item)} is not registry=host of its token server`)
    const host = canonicalHost(head)
    realmsByHost.set(host, [...(realmsByHost.get(host) ?? []), realm.toLowerCase()])
  }
  return realmsByHost
}

/** @throws UpstreamListInvalidError */
export function parseWatchList(text: string): readonly WatchEntry[] {
  return itemsOf(text).map((item) => {
    const [head = '', rest = ''] = splitOnce(item, '/')
    const colon = rest.lastIndexOf(':')
    const repository = colon === -1 ? rest : rest.slice(0, colon)
    const tags = colon === -1 ? '*' : rest.slice(colon + 1)
    if (!looksLikeHost(head) || !isRepositoryName(repository) || !/^[A-Za-z0-9_.*?-]{1,128}$/.test(tags))
      throw new UpstreamListInvalidError(`${JSON.stringify(item)} is not host/name:tags`)
    return { host: canonicalHost(head), repository, tags }
  })
}

function itemsOf(text: string): readonly string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

function splitOnce(text: string, separator: string): readonly [string, string | undefined] {
  const at = text.indexOf(separator)
  return at === -1 ? [text, undefined] : [text.slice(0, at).trim(), text.slice(at + 1).trim()]
}

/**
 * Where a registry is, from the name that references carry. Pure.
 * A registry is asked over https unless the operator has written `http://` out.
 */
import { assert } from '@shoal/core'
import { canonicalHost, isRepositoryName, looksLikeHost } from '@shoal/oci'
import { UpstreamAddressInvalidError } from './errors.ts'

export interface UpstreamAddress {
  /** As it stands in references: `docker.io`, `quay.io`, `registry.corp:5000`. */
  readonly host: string
  /** `https://registry-1.docker.io`; may have a path, has no slash at its end. */
  readonly url: string
}

export const DOCKER_HUB = 'docker.io'
/**
 * @param url where the registry really is, when that does not follow from its name; plain http only here
 * @throws UpstreamAddressInvalidError
 */
export function upstreamAddress(host: string, url?: string): UpstreamAddress {
  if (!looksLikeHost(host)) {
    const shown = JSON.stringify(host.slice(0, 200))
    throw new UpstreamAddressInvalidError(
      shown,
      'not a registry’s host; expected a name with a dot or a port',
    )
  }
  const name = canonicalHost(host)
  if (url !== undefined) return { host: name, url: baseUrl(name, url) }
  return { host: name, url: name === DOCKER_HUB ? 'https://registry-1.docker.io' : `https://${name}` }
}

/** Docker Hub's official images are typed without the `library/` that they are kept under. */
export function repositoryAt({ host }: UpstreamAddress, repository: string): string {
  assert(isRepositoryName(repository), 'a repository’s name was checked where it came in')
  return host === DOCKER_HUB && !repository.includes('/') ? `library/${repository}` : repository
}

function baseUrl(host: string, text: string): string {
  const invalid = (what: string) => new UpstreamAddressInvalidError(host, `its URL ${what}`)
  if (!URL.canParse(text)) throw invalid('cannot be read; expected https://host[:port][/path]')
  const url = new URL(text)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw invalid('is neither https nor http')
  if (url.username !== '' || url.password !== '') {
    throw invalid('carries a user or a password; configure those as credentials')
  }
  if (url.search !== '' || url.hash !== '') throw invalid('has a query or a fragment; leave them out')
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`
}

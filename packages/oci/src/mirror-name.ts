/**
 * Under which name a repository of another registry is kept: `docker.io/library/nginx`, `registry.corp_5000/team/app`. Pure.
 * The host comes first, as in references; its port behind a `_`, since repository names have no `:`.
 */
import { isRepositoryName, looksLikeHost } from './reference.ts'

const DOCKER_HUB = 'docker.io'
/** Docker Hub has gone by all of these; clients and configuration files still use them. */
const DOCKER_HUB_ALIASES: readonly string[] = [
  DOCKER_HUB,
  'index.docker.io',
  'registry-1.docker.io',
  'registry.hub.docker.com',
]

export interface MirroredRepository {
  /** With the port where there is one. */
  readonly host: string
  readonly repository: string
}

/** The one name of a registry that has several. */
export function canonicalHost(host: string): string {
  const lower = host.toLowerCase()
  return DOCKER_HUB_ALIASES.includes(lower) ? DOCKER_HUB : lower
}

/** @returns undefined when it cannot be kept under any name: no host, or not the name of a repository */
export function mirroredName(host: string, repository: string): string | undefined {
  if (!looksLikeHost(host)) return undefined
  const name = canonicalHost(host)
  // Docker Hub's official images are typed without the `library/` that they are kept under.
  const path = name === DOCKER_HUB && !repository.includes('/') ? `library/${repository}` : repository
  const mirrored = `${name.replace(/:(?=[0-9]+$)/, '_')}/${path}`
  return isRepositoryName(mirrored) ? mirrored : undefined
}

/**
 * The inverse of {@link mirroredName}, for a name whose first segment may be a host: whether it is one of a registry that is
 * mirrored is for the caller to know.
 */
export function splitMirroredName(name: string): MirroredRepository | undefined {
  const slash = name.indexOf('/')
  if (slash === -1) return undefined
  const host = canonicalHost(name.slice(0, slash).replace(/_(?=[0-9]{1,5}$)/, ':'))
  const repository = name.slice(slash + 1)
  if (!looksLikeHost(host)) return undefined
  const mirrored = mirroredName(host, repository)
  return mirrored === undefined ? undefined : { host, repository: mirrored.slice(mirrored.indexOf('/') + 1) }
}

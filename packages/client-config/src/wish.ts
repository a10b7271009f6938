/** What the clients of a node should do: ask this agent first, for these registries. Pure. */

import { ShoalError } from '@shoal/core'
import { canonicalHost, looksLikeHost, mirroredName, parseUpstreamList, type UpstreamEntry } from '@shoal/oci'
import { ClientWishError } from './errors.ts'

export const RUNTIMES = ['containerd', 'crio', 'podman', 'docker'] as const
export type Runtime = (typeof RUNTIMES)[number]

export const AGENT_DEFAULT = '127.0.0.1:5001'
export const REGISTRIES_DEFAULT = 'docker.io'
const REGISTRIES_MAX = 500
const LIST_LENGTH_MAX = 64 * 1024
const DOCKER_HUB = 'docker.io'
const DOCKER_HUB_URL = 'https://registry-1.docker.io'

export interface Registry {
  /** As it stands in references, with the port where there is one. */
  readonly host: string
  /** Where it really is, when that does not follow from its name. */
  readonly url?: string
}

export interface Wish {
  /** `127.0.0.1:5001` */
  readonly agent: string
  readonly registries: readonly Registry[]
  /** Registries without an entry of their own as well. */
  readonly everyRegistry: boolean
}

/** @throws ClientWishError */
export function parseWish(agent: string, registries: string): Wish {
  if (registries.length > LIST_LENGTH_MAX)
    throw new ClientWishError(`--registries is longer than ${LIST_LENGTH_MAX} characters`)
  const items = registries
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
  const everyRegistry = items.includes('*')
  const named = items.filter((item) => item !== '*').map(parseRegistry)
  if (!everyRegistry && named.length === 0) throw new ClientWishError('--registries names none')
  if (named.length > REGISTRIES_MAX)
    throw new ClientWishError(`--registries names more than ${REGISTRIES_MAX}`)
  return { agent: parseAgent(agent), registries: withoutRepeats(named), everyRegistry }
}

/** The same wish, in the words of `--registries`. */
export function registriesText({ registries, everyRegistry }: Wish): string {
  const named = registries.map(({ host, url }) => (url === undefined ? host : `${host}=${url}`))
  return [...(everyRegistry ? ['*'] : []), ...named].join(',')
}

/** Where a client finds the registry itself. */
export function registryUrl({ host, url }: Registry): string {
  return url ?? (host === DOCKER_HUB ? DOCKER_HUB_URL : `https://${host}`)
}

/** What stands before a repository's name at the agent: `registry.corp_5000`. */
export function mirrorPath({ host }: Registry): string {
  const name = mirroredName(host, 'a/b')!
  return name.slice(0, name.indexOf('/'))
}

export function isDockerHub({ host }: Registry): boolean {
  return host === DOCKER_HUB
}

function parseAgent(text: string): string {
  if (text.length <= 261 && looksLikeHost(text) && !text.startsWith('[') && /:[0-9]+$/.test(text)) return text
  throw new ClientWishError(
    `--agent ${JSON.stringify(text.slice(0, 100))} is not HOST:PORT, such as ${AGENT_DEFAULT}`,
  )
}

function parseRegistry(item: string): Registry {
  const entry = parseUpstream(item)
  // What is kept under no name cannot be pulled through Shoal: an IPv6 address, a host of 250 characters.
  if (mirroredName(entry.host, 'a/b') === undefined || entry.host !== canonicalHost(entry.host))
    throw new ClientWishError(
      `--registries: ${JSON.stringify(entry.host)} is no registry that can be mirrored`,
    )
  if (entry.url === undefined) return { host: entry.host }
  // Nothing that would have to be written differently in the one or the other client's language.
  if (!URL.canParse(entry.url) || !/^[a-z]+:\/\/[A-Za-z0-9.:-]+(?:\/[A-Za-z0-9._~/-]*)?$/.test(entry.url))
    throw new ClientWishError(`--registries: the URL of ${entry.host} is not one that every client reads`)
  return { host: entry.host, url: entry.url.replace(/\/+$/, '') }
}

function parseUpstream(item: string): UpstreamEntry {
  try {
    return parseUpstreamList(item)[0]!
  } catch (error) {
    if (error instanceof ShoalError) throw new ClientWishError(`--registries: ${error.message}`)
    throw error
  }
}

function withoutRepeats(registries: readonly Registry[]): readonly Registry[] {
  const byHost = new Map<string, Registry>()
  for (const registry of registries) {
    const before = byHost.get(registry.host)
    if (before !== undefined && before.url !== registry.url)
      throw new ClientWishError(`--registries names ${registry.host} twice, with different URLs`)
    byHost.set(registry.host, registry)
  }
  return [...byHost.values()]
}

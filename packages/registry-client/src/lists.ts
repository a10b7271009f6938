/** Reads the lists that registries give: tags and referrers, and what leads to the next page of either. Pure. */

import type { TagsPage } from '@shoal/oci'
import { type Descriptor, isTag, type OciError } from '@shoal/oci'
import { readManifest } from '@shoal/service'
import type { UpstreamAnswer } from './connections.ts'
import { UpstreamInvalidError } from './errors.ts'
import { parseJsonObject } from './json-object.ts'

export interface UpstreamTags extends TagsPage {
  /** Leads to the tags that follow; absent where only the last tag can. */
  readonly next?: string
}

const QUERY_CHARACTERS_MAX = 4_096

/**
 * @param page what was asked for
 * @param next the query of the page that the registry names
 * @throws UpstreamInvalidError
 */
export function readTags(
  upstream: string,
  bytes: Uint8Array,
  page: { readonly tagsMax: number; readonly after?: string },
  next: string | undefined,
): UpstreamTags {
  const listed = parseJsonObject(bytes)?.tags
  // Some registries write null for an empty list.
  if (!Array.isArray(listed ?? [])) throw new UpstreamInvalidError(upstream, 'its list of tags is none')
  const tags = ((listed ?? []) as unknown[]).filter(
    (tag) => typeof tag === 'string' && isTag(tag),
  ) as string[]
  const { tagsMax, after } = page
  // Distribution 2 knows no pages and sends all tags each time, in no order: the pages are made here.
  if (next === undefined && (tags.length > tagsMax || (after !== undefined && tags.includes(after)))) {
    const rest = tags.toSorted().filter((tag) => after === undefined || tag > after)
    return { tags: rest.slice(0, tagsMax), more: rest.length > tagsMax }
  }
  return next === undefined ? { tags, more: false } : { tags, more: true, next }
}

/** @throws UpstreamInvalidError */
export function readReferrers(upstream: string, bytes: Uint8Array): readonly Descriptor[] {
  try {
    const manifest = readManifest(bytes)
    if (manifest.kind === 'index') return manifest.manifests
  } catch (cause) {
    const { message } = cause as OciError
    throw new UpstreamInvalidError(upstream, `its list of referrers cannot be used: ${message}`, { cause })
  }
  throw new UpstreamInvalidError(upstream, 'its list of referrers is not an index')
}

/**
 * The query of the `Link` to the next page (RFC 8288). Only the query: the path stays the one that was asked, so that a
 * registry cannot lead elsewhere with it.
 */
export function nextPage(answer: UpstreamAnswer): string | undefined {
  for (const field of answer.headers('link')) {
    const match = /^[ \t]*<([^<>]{1,8192})>[ \t]*;[^,]*\brel="?next"?(?:[ \t]*[;,]|[ \t]*$)/i.exec(field)
    if (match === null || !URL.canParse(match[1]!, answer.url.href)) continue
    const query = new URL(match[1]!, answer.url.href).search.slice(1)
    if (query !== '' && query.length <= QUERY_CHARACTERS_MAX) return query
  }
  return undefined
}

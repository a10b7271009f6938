/** `/v2/<name>/tags/list`. OCI distribution specification, "Listing tags". */
import { isTag, OciError } from '@shoal/oci'
import type { Exchange } from './exchange.ts'

export async function listTags(
  { backend, limits, query, reply }: Exchange,
  repository: string,
): Promise<void> {
  const tagsMax = Math.min(tagsMaxOf(query.get('n')) ?? limits.tagsMax, limits.tagsMax)
  const last = query.get('last')
  if (last !== null && last !== '' && !isTag(last)) {
    throw new OciError('TAG_INVALID', 'last is not a tag', { detail: { last: last.slice(0, 160) } })
  }
  const page = await backend.tags(repository, { tagsMax, ...(last ? { after: last } : {}) })
  if (page === undefined) {
    throw new OciError('NAME_UNKNOWN', 'repository name not known to registry', {
      detail: { name: repository },
    })
  }
  const lastGiven = page.tags.at(-1)
  if (page.more && lastGiven !== undefined) {
    reply.header(
      'link',
      `</v2/${repository}/tags/list?n=${tagsMax}&last=${encodeURIComponent(lastGiven)}>; rel="next"`,
    )
  }
  reply.type('application/json; charset=utf-8').send(JSON.stringify({ name: repository, tags: page.tags }))
}

function tagsMaxOf(text: string | null): number | undefined {
  if (text === null) return undefined
  // Any whole number is a number of tags; how many are given is bounded by the limit.
  if (/^[0-9]{1,20}$/.test(text)) return Number(text)
  throw new OciError('PAGINATION_NUMBER_INVALID', 'n is not a whole number', {
    detail: { n: text.slice(0, 32) },
  })
}

/** `/v2/<name>/tags/list`. OCI distribution specification, "Listing tags". */
import { isTag, OciError } from '@shoal/oci'
import { pageSizeOf, type RouteContext } from './route-context.ts'

export async function listTags(
  { backend, limits, query, reply }: RouteContext,
  repository: string,
): Promise<void> {
  const tagsMax = Math.min(pageSizeOf(query.get('n')) ?? limits.tagsMax, limits.tagsMax)
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

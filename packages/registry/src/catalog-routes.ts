/**
 * `/v2/_catalog`: the names of the repositories. Not in the OCI specification; `crane catalog`, `oras repo ls` and `regctl repo
 * ls` ask for it as Docker's registry gives it (Distribution, "Listing Repositories").
 */
import { isRepositoryName, OciError } from '@shoal/oci'
import { pageSizeOf, type RouteContext } from './route-context.ts'

/** In one answer, whatever the client asks for; a `Link` leads to the rest. */
export const REPOSITORIES_PER_PAGE_MAX = 1_000

export async function listRepositories({ backend, query, reply }: RouteContext): Promise<void> {
  if (backend.repositories === undefined)
    throw new OciError('UNSUPPORTED', 'this registry does not list its repositories; ask the seeder', {
      status: 404,
    })
  const countMax = Math.min(
    pageSizeOf(query.get('n')) ?? REPOSITORIES_PER_PAGE_MAX,
    REPOSITORIES_PER_PAGE_MAX,
  )
  const last = query.get('last')
  if (last !== null && last !== '' && !isRepositoryName(last))
    throw new OciError('NAME_INVALID', 'last is not the name of a repository', {
      detail: { last: last.slice(0, 256) },
    })
  const page = await backend.repositories({ countMax, ...(last ? { after: last } : {}) })
  if (page.next !== undefined)
    reply.header('link', `</v2/_catalog?n=${countMax}&last=${encodeURIComponent(page.next)}>; rel="next"`)
  reply.type('application/json; charset=utf-8').send(JSON.stringify({ repositories: page.repositories }))
}

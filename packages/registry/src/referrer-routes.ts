/** `/v2/<name>/referrers/<digest>`. OCI distribution specification, "Listing Referrers". */
import { MEDIA_TYPES, OciError, referrersIndex } from '@shoal/oci'
import { Gate } from '@shoal/service'
import { digestOf, type RouteContext } from './route-context.ts'

const ARTIFACT_TYPE_LENGTH_MAX = 255
/** A long page takes some 20 ms to be written down: one in each turn of the loop, so that others are answered in between. */
const encoding = new Gate(1)
/** What a page's `next` looks like. */
const AFTER = /^[A-Za-z0-9:_-]{1,256}$/

export async function listReferrers(
  { backend, query, reply, signal }: RouteContext,
  repository: string,
  digestText: string,
): Promise<void> {
  const subject = digestOf(digestText)
  const artifactType = query.get('artifactType') ?? ''
  const after = query.get('last') ?? ''
  if (artifactType.length > ARTIFACT_TYPE_LENGTH_MAX || (after !== '' && !AFTER.test(after)))
    throw new OciError('UNSUPPORTED', 'a parameter of the query is not one', { status: 400 })
  const page = await backend.referrers(
    repository,
    subject,
    { ...(artifactType === '' ? {} : { artifactType }), ...(after === '' ? {} : { after }) },
    signal,
  )
  if (artifactType !== '') reply.header('oci-filters-applied', 'artifactType')
  if (page.next !== undefined) {
    const parameters = new URLSearchParams({
      ...(artifactType === '' ? {} : { artifactType }),
      last: page.next,
    })
    reply.header('link', `</v2/${repository}/referrers/${subject}?${parameters}>; rel="next"`)
  }
  // As bytes: to text fastify would add `charset=utf-8`, and a client that compares the whole type, as oras-go does, then
  // takes this for a registry without the endpoint.
  const document = await encoding.run(async () => {
    await new Promise((resolve) => setImmediate(resolve))
    return Buffer.from(referrersIndex(page.referrers))
  })
  reply.type(MEDIA_TYPES.ociIndex).send(document)
}

/**
 * JFrog Artifactory's predefined webhook of the Docker domain. Pure.
 * jfrog.com, "Domain: docker": the facts at the top, or under `data` beside `domain`, by version. Deletes and promotions are
 * passed over: what is promoted was pushed before.
 *
 * The repository is named as the repository-path method of Artifactory does, `<repo_key>/<image_name>`. The digest is the
 * SHA-256 of the manifest file that the event is about.
 */
import { tryParseDigest } from '@shoal/core'
import { type Delivery, Payload } from './payload.ts'
import { createPushEvent, fingerprint, hostOfUrl, type PushEvent } from './push-event.ts'

const FORMAT = 'artifactory'
const MANIFEST_FILES = ['manifest.json', 'list.manifest.json']

/** @throws TriggerInvalidError */
export function parseArtifactory(body: unknown, { receivedAtMs }: Delivery): PushEvent[] {
  const event = Payload.of(FORMAT, body)
  const domain = event.textIfAny('domain')
  if ((domain !== undefined && domain !== 'docker') || event.text('event_type') !== 'pushed') return []
  const data = event.objectIfAny('data') ?? event
  const file = data.textIfAny('name')
  if (file !== undefined && !MANIFEST_FILES.includes(file)) return []
  const repository = `${data.text('repo_key')}/${data.text('image_name')}`
  const said = data.text('tag')
  // Manifests of an index are pushed by digest, and lie in folders named after it.
  const isDigest = tryParseDigest(said.replace('__', ':')) !== undefined
  const tag = isDigest ? undefined : said
  const sha256 = data.textIfAny('sha256')
  const digest = sha256 === undefined ? (isDigest ? said.replace('__', ':') : undefined) : `sha256:${sha256}`
  return [
    createPushEvent(
      {
        source: FORMAT,
        // Neither an id nor a time: a tag that is pushed back to an older image within a day must not pass for a repetition.
        id: fingerprint(repository, tag, digest, receivedAtMs),
        registryHost: hostOfUrl(event.textIfAny('jpd_origin')),
        repository,
        tag,
        digest,
      },
      data.where,
    ),
  ]
}

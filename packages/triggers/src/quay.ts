/**
 * Quay's "Push to Repository" notification, quay.io and on premises. Pure.
 * docs.redhat.com, Red Hat Quay, "Repository Notifications": names the tags that were updated, not what they are now; so
 * the digests must be asked for. Builds, scans and expiries have no `updated_tags` and are passed over.
 */
import { type Delivery, Payload } from './payload.ts'
import { createPushEvent, fingerprint, hostIfUsable, type PushEvent } from './push-event.ts'

const FORMAT = 'quay'

/** @throws TriggerInvalidError */
export function parseQuay(body: unknown, { receivedAtMs }: Delivery): PushEvent[] {
  const payload = Payload.of(FORMAT, body)
  const isOtherNotification = ['build_id', 'vulnerability', 'expiring_tags', 'performer'].some((name) =>
    payload.has(name),
  )
  if (!payload.has('updated_tags') && isOtherNotification) return []
  const repository = payload.text('repository')
  const registryHost = hostIfUsable(payload.textIfAny('docker_url')?.split('/', 1)[0])
  return [...new Set(readTags(payload))].map((tag) =>
    createPushEvent(
      {
        source: FORMAT,
        // Two pushes of one tag look alike, and a second push must not be taken for a repetition of the first; a repetition
        // taken for a push costs one question to the registry.
        id: fingerprint(registryHost, repository, tag, receivedAtMs),
        registryHost,
        repository,
        tag,
      },
      'updated_tags',
    ),
  )
}

/** A list, or in old versions an object from tags to image ids, which are no digests. */
function readTags(payload: Payload): readonly string[] {
  const value = payload.value('updated_tags')
  if (Array.isArray(value)) return payload.texts('updated_tags')
  const tags = payload.object('updated_tags')
  return tags.names()
}

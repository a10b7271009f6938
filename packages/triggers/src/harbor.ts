/**
 * Harbor's webhooks, in its own JSON ("Default") and as CloudEvents. Pure.
 * goharbor.io, "Configure Webhook Notifications". Pulls, deletes, scans, quotas, replications and retentions come to the
 * same address when the policy says so, and are passed over.
 */
import { tryParseDigest } from '@shoal/core'
import { type CloudEvent, isCloudEvent, readCloudEvents } from './cloud-event.ts'
import { type Delivery, Payload } from './payload.ts'
import { createPushEvent, fingerprint, hostIfUsable, type PushEvent, timeOfSeconds } from './push-event.ts'

const FORMAT = 'harbor'
const HARBOR_TYPE = 'PUSH_ARTIFACT'
export const HARBOR_CLOUD_EVENT_TYPE = 'harbor.artifact.pushed'

/** @throws TriggerInvalidError */
export function parseHarbor(body: unknown, delivery: Delivery): PushEvent[] {
  if (isCloudEvent(body, delivery.headers))
    return readCloudEvents(FORMAT, body, delivery).flatMap(parseHarborCloudEvent)
  const payload = Payload.of(FORMAT, body)
  if (payload.text('type') !== HARBOR_TYPE) return []
  const occurredAtMs = timeOfSeconds(payload.value('occur_at'))
  // Harbor gives its own form no id. The second of the push tells two pushes of one digest apart.
  const deliveryId = `${HARBOR_TYPE} ${occurredAtMs ?? delivery.receivedAtMs}`
  return parseData(payload.object('event_data'), deliveryId, occurredAtMs)
}

/** @throws TriggerInvalidError */
export function parseHarborCloudEvent(event: CloudEvent): PushEvent[] {
  if (event.type !== HARBOR_CLOUD_EVENT_TYPE) return []
  return parseData(Payload.of(FORMAT, event.data, event.where), event.id, event.occurredAtMs)
}

function parseData(data: Payload, deliveryId: string, occurredAtMs: number | undefined): PushEvent[] {
  const repository = data.object('repository')
  const name =
    repository.textIfAny('repo_full_name') ?? `${repository.text('namespace')}/${repository.text('name')}`
  return data.objects('resources').map((resource) => {
    const said = resource.textIfAny('tag')
    // What was pushed without a tag has its digest in the tag's place.
    const tag = said === undefined || tryParseDigest(said) !== undefined ? undefined : said
    const digest = resource.textIfAny('digest') ?? (tag === undefined ? said : undefined)
    return createPushEvent(
      {
        source: FORMAT,
        id: fingerprint(deliveryId, name, tag, digest),
        registryHost: hostIfUsable(resource.textIfAny('resource_url')?.split('/', 1)[0]),
        repository: name,
        tag,
        digest,
        occurredAtMs,
      },
      resource.where,
    )
  })
}

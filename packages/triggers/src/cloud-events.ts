/**
 * Pushes told as CloudEvents 1.0, by anything that can send them. Pure.
 *
 * | type | data |
 * | --- | --- |
 * | `dev.shoal.push` | `{ "repository", "tag"?, "digest"?, "registry"? }`, at least one of tag and digest |
 * | `harbor.artifact.pushed` | Harbor's own |
 *
 * Events of other types are passed over: a broker may send more than we asked for.
 */
import { type CloudEvent, readCloudEvents } from './cloud-event.ts'
import { HARBOR_CLOUD_EVENT_TYPE, parseHarborCloudEvent } from './harbor.ts'
import { type Delivery, Payload } from './payload.ts'
import { createPushEvent, type PushEvent } from './push-event.ts'

const FORMAT = 'cloudevents'
export const SHOAL_PUSH_TYPE = 'dev.shoal.push'

/** @throws TriggerInvalidError */
export function parseCloudEvents(body: unknown, delivery: Delivery): PushEvent[] {
  return readCloudEvents(FORMAT, body, delivery).flatMap((event) => {
    if (event.type === SHOAL_PUSH_TYPE) return [parseShoalPush(event)]
    if (event.type === HARBOR_CLOUD_EVENT_TYPE) return parseHarborCloudEvent(event)
    return []
  })
}

function parseShoalPush({ id, occurredAtMs, data, where }: CloudEvent): PushEvent {
  const push = Payload.of(FORMAT, data, where)
  return createPushEvent(
    {
      source: FORMAT,
      id,
      registryHost: push.textIfAny('registry'),
      repository: push.text('repository'),
      tag: push.textIfAny('tag'),
      digest: push.textIfAny('digest'),
      occurredAtMs,
    },
    where,
  )
}

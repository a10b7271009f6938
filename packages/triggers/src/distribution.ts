/**
 * Notifications of CNCF Distribution, the `registry` image, and of what is built upon it (GitLab). Pure.
 * distribution.github.io, "Notifications": an envelope of events, for manifests and blobs, pushes, pulls, mounts and
 * deletes. Sent one after the other, again until they are taken, in no promised order.
 */
import { manifestKindOf } from '@shoal/oci'
import { type Delivery, Payload } from './payload.ts'
import { createPushEvent, hostIfUsable, hostOfUrl, type PushEvent, timeOfText } from './push-event.ts'

const FORMAT = 'distribution'

/** @throws TriggerInvalidError */
export function parseDistribution(body: unknown, _delivery: Delivery): PushEvent[] {
  return Payload.of(FORMAT, body).objects('events').flatMap(parseEvent)
}

function parseEvent(event: Payload): PushEvent[] {
  if (event.text('action') !== 'push') return []
  const target = event.object('target')
  const tag = target.textIfAny('tag')
  // Blobs are pushed as well, as octet streams; they mean nothing before their manifest is there.
  if (tag === undefined && manifestKindOf(target.text('mediaType')) === undefined) return []
  return [
    createPushEvent(
      {
        source: FORMAT,
        id: event.text('id'),
        registryHost:
          hostOfUrl(target.textIfAny('url')) ?? hostIfUsable(event.objectIfAny('request')?.textIfAny('host')),
        repository: target.text('repository'),
        tag,
        digest: target.textIfAny('digest'),
        occurredAtMs: timeOfText(event.textIfAny('timestamp')),
      },
      event.where,
    ),
  ]
}

/**
 * Docker Hub's repository webhook. Pure.
 * docs.docker.com, "Webhooks": only pushes are sent, with neither digest nor signature. The `callback_url` is not called:
 * a payload does not choose whom we talk to.
 */
import { type Delivery, Payload } from './payload.ts'
import { createPushEvent, fingerprint, type PushEvent, timeOfSeconds } from './push-event.ts'

const FORMAT = 'dockerhub'
const REGISTRY_HOST = 'docker.io'

/** @throws TriggerInvalidError */
export function parseDockerHub(body: unknown, { receivedAtMs }: Delivery): PushEvent[] {
  const payload = Payload.of(FORMAT, body)
  const push = payload.object('push_data')
  const tag = push.text('tag')
  const name = payload.object('repository').text('repo_name')
  // Official images are called by their last segment alone.
  const repository = name.includes('/') ? name : `library/${name}`
  const occurredAtMs = timeOfSeconds(push.value('pushed_at'))
  return [
    createPushEvent({
      source: FORMAT,
      id: fingerprint(repository, tag, occurredAtMs ?? receivedAtMs),
      registryHost: REGISTRY_HOST,
      repository,
      tag,
      occurredAtMs,
    }),
  ]
}

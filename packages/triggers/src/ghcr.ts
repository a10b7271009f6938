/**
 * GitHub's `registry_package` and `package` events, for images on ghcr.io. Pure.
 * docs.github.com, "Webhook events and payloads". Packages of other kinds (npm, Maven, …) and other actions are passed over,
 * and so is the ping that GitHub greets a new webhook with. The webhook's content type must be JSON.
 */
import { tryParseDigest } from '@shoal/core'
import { type Delivery, headerOf, Payload } from './payload.ts'
import { createPushEvent, fingerprint, type PushEvent, timeOfText } from './push-event.ts'

const FORMAT = 'ghcr'
const REGISTRY_HOST = 'ghcr.io'
const EVENTS: readonly string[] = ['registry_package', 'package']

/** @throws TriggerInvalidError */
export function parseGhcr(body: unknown, { headers, receivedAtMs }: Delivery): PushEvent[] {
  const payload = Payload.of(FORMAT, body)
  const event = headerOf(headers, 'x-github-event') ?? EVENTS.find((name) => payload.has(name))
  if (event === undefined)
    throw payload.invalid('registry_package', 'is missing, and there is no X-GitHub-Event')
  if (!EVENTS.includes(event) || payload.text('action') !== 'published') return []
  const subject = payload.object(event)
  if (subject.text('package_type').toLowerCase() !== 'container') return []
  const version = subject.object('package_version')
  const tagged = version.objectIfAny('container_metadata')?.objectIfAny('tag')
  const tag = tagged?.textIfAny('name')
  const digest = tagged?.textIfAny('digest') ?? digestIn(version.textIfAny('version'))
  // Accounts are written as their owners like it, references in lower case.
  const repository = `${subject.text('namespace')}/${subject.text('name')}`.toLowerCase()
  return [
    createPushEvent(
      {
        source: FORMAT,
        id: headerOf(headers, 'x-github-delivery') || fingerprint(repository, tag, digest, receivedAtMs),
        registryHost: REGISTRY_HOST,
        repository,
        tag,
        digest,
        occurredAtMs: timeOfText(subject.textIfAny('updated_at')),
      },
      event,
    ),
  ]
}

/** The version of a container package is its digest; anything else there says nothing about an image. */
function digestIn(version: string | undefined): string | undefined {
  return version === undefined ? undefined : tryParseDigest(version)
}

/**
 * Which format a delivery has, and its events. Pure. What the sender was configured to say in `?format=` wins; then what its
 * headers say; then the shape of the body, by a field that no other format has.
 */
import { parseArtifactory } from './artifactory.ts'
import { isCloudEvent } from './cloud-event.ts'
import { parseCloudEvents } from './cloud-events.ts'
import { parseDistribution } from './distribution.ts'
import { parseDockerHub } from './docker-hub.ts'
import { parseEcr } from './ecr.ts'
import { TriggerInvalidError } from './errors.ts'
import { parseGhcr } from './ghcr.ts'
import { parseHarbor } from './harbor.ts'
import { type Delivery, headerOf, mediaTypeOf } from './payload.ts'
import { type PushEvent, TRIGGER_FORMATS, type TriggerFormat } from './push-event.ts'
import { parseQuay } from './quay.ts'

const PARSERS: Record<TriggerFormat, (body: unknown, delivery: Delivery) => PushEvent[]> = {
  distribution: parseDistribution,
  harbor: parseHarbor,
  quay: parseQuay,
  ecr: parseEcr,
  artifactory: parseArtifactory,
  dockerhub: parseDockerHub,
  ghcr: parseGhcr,
  cloudevents: parseCloudEvents,
}

const DISTRIBUTION_EVENTS = /^application\/vnd\.docker\.distribution\.events\.v[12]\+json$/

/** Fields of the body that give a format away, the surest first. */
const TELLTALES: readonly (readonly [field: string, format: TriggerFormat])[] = [
  ['detail-type', 'ecr'],
  ['push_data', 'dockerhub'],
  ['event_data', 'harbor'],
  ['registry_package', 'ghcr'],
  ['updated_tags', 'quay'],
  ['docker_url', 'quay'],
  ['repo_key', 'artifactory'],
  ['jpd_origin', 'artifactory'],
  ['events', 'distribution'],
]

/**
 * @param asked the `?format=` of the request
 * @throws TriggerInvalidError
 */
export function detectFormat(body: unknown, headers: Delivery['headers'], asked?: string): TriggerFormat {
  if (asked !== undefined) {
    const format = TRIGGER_FORMATS.find((known) => known === asked)
    if (format === undefined)
      throw new TriggerInvalidError('unknown', '?format=', `is none of ${TRIGGER_FORMATS.join(', ')}`)
    return format
  }
  const format =
    formatOfHeaders(headers) ?? (isCloudEvent(body, headers) ? 'cloudevents' : formatOfShape(body))
  if (format !== undefined) return format
  throw new TriggerInvalidError(
    'unknown',
    'the body',
    `tells no format; say ?format= and one of ${TRIGGER_FORMATS.join(', ')}`,
  )
}

/** @throws TriggerInvalidError */
export function parseTrigger(format: TriggerFormat, body: unknown, delivery: Delivery): PushEvent[] {
  return PARSERS[format](body, delivery)
}

function formatOfHeaders(headers: Delivery['headers']): TriggerFormat | undefined {
  if (headerOf(headers, 'x-github-event') !== undefined) return 'ghcr'
  if (headerOf(headers, 'x-jfrog-event-auth') !== undefined) return 'artifactory'
  return DISTRIBUTION_EVENTS.test(mediaTypeOf(headers)) ? 'distribution' : undefined
}

function formatOfShape(body: unknown): TriggerFormat | undefined {
  if (typeof body !== 'object' || body === null) return undefined
  if (Object.hasOwn(body, 'domain') && Object.hasOwn(body, 'event_type')) return 'artifactory'
  return TELLTALES.find(([field]) => Object.hasOwn(body, field))?.[1]
}

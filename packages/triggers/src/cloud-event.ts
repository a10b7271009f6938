/**
 * The envelope of CloudEvents 1.0 in its three forms. Pure.
 * CloudEvents, "JSON Event Format" and "HTTP Protocol Binding": structured (one JSON object), batched (a list of them) and
 * binary (attributes as `ce-*` headers, the body is the data).
 */
import { TriggerInvalidError } from './errors.ts'
import { DELIVERY_EVENTS_MAX, type Delivery, headerOf, mediaTypeOf, Payload, tooMany } from './payload.ts'
import { timeOfText } from './push-event.ts'

const STRUCTURED = 'application/cloudevents+json'
const BATCHED = 'application/cloudevents-batch+json'
/** Two of them and a space fit into the id of an event. */
const ATTRIBUTE_LENGTH_MAX = 511

export interface CloudEvent {
  readonly type: string
  /** Source and id together are what tells events apart; a URI has no space, so the text is read in one way only. */
  readonly id: string
  readonly occurredAtMs: number | undefined
  readonly data: unknown
  /** The place in the delivery, for messages. */
  readonly where: string
}

/** Whether headers or shape say that this is one. */
export function isCloudEvent(body: unknown, headers: Delivery['headers']): boolean {
  const mediaType = mediaTypeOf(headers)
  if (mediaType === STRUCTURED || mediaType === BATCHED) return true
  if (headerOf(headers, 'ce-specversion') !== undefined) return true
  return typeof body === 'object' && body !== null && Object.hasOwn(body, 'specversion')
}

/** @throws TriggerInvalidError */
export function readCloudEvents(format: string, body: unknown, { headers }: Delivery): CloudEvent[] {
  const mediaType = mediaTypeOf(headers)
  if (mediaType === BATCHED) return readBatch(format, body)
  if (mediaType !== STRUCTURED && headerOf(headers, 'ce-specversion') !== undefined)
    return [readAttributes(readHeaders(format, headers), body, 'the body')]
  return [readStructured(Payload.of(format, body))]
}

function readBatch(format: string, body: unknown): CloudEvent[] {
  if (!Array.isArray(body))
    throw new TriggerInvalidError(format, 'the body', 'is not a list, and its type says batch')
  if (body.length > DELIVERY_EVENTS_MAX) throw tooMany(format, 'the body', body.length)
  return body.map((item, index) => readStructured(Payload.of(format, item, `[${index}]`)))
}

function readStructured(event: Payload): CloudEvent {
  if (event.has('data_base64')) throw event.invalid('data_base64', 'is not read: send the data as JSON')
  return readAttributes(event, event.value('data'), event.place('data'))
}

function readAttributes(attributes: Payload, data: unknown, where: string): CloudEvent {
  if (!/^1\.\d{1,3}$/.test(attributes.text('specversion')))
    throw attributes.invalid('specversion', 'is not 1.0')
  const [id, source, type] = ['id', 'source', 'type'].map((name) => {
    const text = attributes.text(name)
    if (text.length > ATTRIBUTE_LENGTH_MAX) throw attributes.invalid(name, 'is too long')
    return text
  }) as [string, string, string]
  return {
    type,
    id: `${source} ${id}`,
    occurredAtMs: timeOfText(attributes.textIfAny('time')),
    data,
    where,
  }
}

function readHeaders(format: string, headers: Delivery['headers']): Payload {
  const attributes = ['specversion', 'id', 'source', 'type', 'time'].map((name) => [
    name,
    decodeAttribute(headerOf(headers, `ce-${name}`)),
  ])
  return Payload.of(format, Object.fromEntries(attributes), 'the ce- headers')
}

/** What is not printable ASCII is percent-encoded in headers; a percent sign that encodes nothing stays what it is. */
function decodeAttribute(text: string | undefined): string | undefined {
  if (text === undefined || !text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/**
 * Amazon ECR's "ECR Image Action", as EventBridge sends it to an API destination. Pure.
 * docs.aws.amazon.com, "Amazon ECR events and EventBridge": best effort. Deletes and failures are passed over, and so are
 * the scans and replications that a wide rule lets through.
 */
import { type Delivery, Payload } from './payload.ts'
import { createPushEvent, hostIfUsable, type PushEvent, timeOfText } from './push-event.ts'

const FORMAT = 'ecr'

/** @throws TriggerInvalidError */
export function parseEcr(body: unknown, _delivery: Delivery): PushEvent[] {
  const event = Payload.of(FORMAT, body)
  if (event.text('detail-type') !== 'ECR Image Action') return []
  const detail = event.object('detail')
  if (detail.text('action-type') !== 'PUSH' || detail.text('result') !== 'SUCCESS') return []
  return [
    createPushEvent(
      {
        source: FORMAT,
        id: event.text('id'),
        registryHost: hostOf(event.textIfAny('account'), event.textIfAny('region')),
        repository: detail.text('repository-name'),
        tag: detail.textIfAny('image-tag'),
        digest: detail.textIfAny('image-digest'),
        occurredAtMs: timeOfText(event.textIfAny('time')),
      },
      'detail',
    ),
  ]
}

/** A private registry is known by its account and region; China's regions have a domain of their own. */
function hostOf(account: string | undefined, region: string | undefined): string | undefined {
  if (account === undefined || region === undefined) return undefined
  if (!/^\d{12}$/.test(account) || !/^[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}$/.test(region)) return undefined
  const domain = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com'
  return hostIfUsable(`${account}.dkr.ecr.${region}.${domain}`)
}

/**
 * Whether an image that could not be published is tried again, and when. Pure.
 * What its registry says may change, and what a person can mend is mended while the event waits (credentials, a setting);
 * a document that cannot be used stays what it is, and whoever repairs it pushes another.
 */
import { OciError } from '@shoal/oci'
import { UpstreamBusyError } from '@shoal/registry-client'
import type { FailureVerdict } from '@shoal/triggers'
import { PublishError } from './errors.ts'
import { WarmSelectorInvalidError } from './warm-selector.ts'

const FINAL: ReadonlySet<string> = new Set([
  'PUBLISH_REFERENCE_INVALID',
  'PUBLISH_PLATFORM_UNKNOWN',
  'PUBLISH_TOO_DEEP',
  'PUBLISH_TOO_LARGE',
] satisfies PublishError['code'][])

export function judgeFailure(error: unknown): FailureVerdict {
  if (error instanceof UpstreamBusyError) return { kind: 'try-again', notBeforeMs: error.retryAtMs }
  const isFinal =
    (error instanceof PublishError && FINAL.has(error.code)) ||
    (error instanceof OciError && error.code === 'MANIFEST_INVALID') ||
    error instanceof WarmSelectorInvalidError
  return { kind: isFinal ? 'give-up' : 'try-again' }
}

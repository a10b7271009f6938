/** Goal: what can come right is tried again, when it was said to; what cannot is not tried without end. Method: one error each. */
import { OciError } from '@shoal/oci'
import { UpstreamBusyError, UpstreamDeniedError, UpstreamUnavailableError } from '@shoal/registry-client'
import { expect, it } from 'vitest'
import { PublishError } from './errors.ts'
import { judgeFailure } from './judge-failure.ts'
import { parseWarmSelector } from './warm-selector.ts'

it.each([
  new OciError('MANIFEST_INVALID', 'manifest invalid: layers[0] has no valid digest'),
  new PublishError('PUBLISH_TOO_DEEP', 'deep'),
  new PublishError('PUBLISH_REFERENCE_INVALID', 'no reference'),
])('is given up: %s', (error) => expect(judgeFailure(error)).toEqual({ kind: 'give-up' }))

it.each([
  // Webhooks have been seen to come before the image can be read.
  new PublishError('PUBLISH_IMAGE_UNKNOWN', 'not there yet'),
  new PublishError('PUBLISH_BLOB_MISSING', 'not there yet'),
  new PublishError('PUBLISH_REGISTRY_UNKNOWN', 'not configured yet'),
  new UpstreamDeniedError('r.test', 'credentials rotate'),
  new UpstreamUnavailableError('r.test', 'away'),
  new Error('anything'),
])('is tried again: %s', (error) => expect(judgeFailure(error)).toEqual({ kind: 'try-again' }))

it('a registry that is busy is left alone until the time that it names', () => {
  const verdict = judgeFailure(new UpstreamBusyError('r.test', 5_000))
  expect(verdict).toEqual({ kind: 'try-again', notBeforeMs: 5_000 })
})

it('nodes that nobody can mean are given up', () => {
  expect.assertions(1)
  try {
    parseWarmSelector('rack=1')
  } catch (error) {
    expect(judgeFailure(error)).toEqual({ kind: 'give-up' })
  }
})

/** Goal: a log line tells what was asked and no secret. Method: URLs as they were seen. */
import { expect, test } from 'vitest'
import { loggableUrl } from './loggable-url.ts'

test.each([
  ['/v2/', '/v2/'],
  ['/v2/team/app/tags/list?n=5&last=a', '/v2/team/app/tags/list?n=5&last=a'],
  ['/v2/a/manifests/1?ns=registry.corp%3A5000', '/v2/a/manifests/1?ns=registry.corp%3A5000'],
  ['/api/v1/events?format=quay&secret=s3', '/api/v1/events?format=quay&secret=…'],
  ['/api/v1/events?SECRET=s3', '/api/v1/events?SECRET=…'],
  ['/api/v1/events?%73ecret=s3', '/api/v1/events?…=…'],
  ['/api/v1/events?s3', '/api/v1/events?…'],
  ['/x?X-Amz-Signature=s3', '/x?…=…'],
  ['/v2/a/manifests/1?ns=me:s3@registry.corp', '/v2/a/manifests/1?ns=…@registry.corp'],
  ['/v2/a/manifests/1?ns=me%3As3%40registry.corp', '/v2/a/manifests/1?ns=…@registry.corp'],
  ['/v2/me:s3@registry.corp/a/manifests/1', '/v2/…@registry.corp/a/manifests/1'],
])('%s', (url, expected) => {
  expect(loggableUrl(url)).toBe(expected)
})

test('a long one is cut', () => {
  expect(loggableUrl(`/v2/${'a'.repeat(10_000)}`)).toHaveLength(2_048)
})

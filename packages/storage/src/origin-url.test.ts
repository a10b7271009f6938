import { describe, expect, it } from 'vitest'
import { OriginInvalidError } from './errors.ts'
import { parseOrigin } from './origin-url.ts'

describe('parseOrigin', () => {
  it.each(['/var/lib/shoal', './origin', 'origin'])('takes %s as a folder', (folder) => {
    expect(parseOrigin(folder)).toEqual({ kind: 'filesystem', folder })
  })

  it('takes a bucket, with what is needed to reach it', () => {
    expect(parseOrigin('s3://images')).toEqual({
      kind: 's3',
      bucket: 'images',
      prefix: '',
      forcePathStyle: false,
    })
    expect(
      parseOrigin('s3://images/a/b/?endpoint=http://127.0.0.1:9000&region=eu-1&forcePathStyle=true'),
    ).toEqual({
      kind: 's3',
      bucket: 'images',
      prefix: 'a/b',
      endpoint: 'http://127.0.0.1:9000',
      region: 'eu-1',
      forcePathStyle: true,
    })
  })

  it.each([
    ['', 'it is empty'],
    ['gs://bucket', 'only s3:// URLs are known'],
    ['s3://', 'no proper name'],
    ['s3://B@d/', 'no proper name'],
    ['s3://images/a//b', 'odd characters'],
    ['s3://images?endpont=http://x', 'endpont is none of endpoint, region, forcePathStyle'],
    ['s3://images?endpoint=localhost:9000', 'no http or https URL'],
    ['s3://images?forcePathStyle=yes', 'true or false, not "yes"'],
  ])('refuses %j', (given, reason) => {
    expect(() => parseOrigin(given)).toThrow(OriginInvalidError)
    expect(() => parseOrigin(given)).toThrow(reason)
  })

  it('repeats no secret that was put into the URL', () => {
    expect(() => parseOrigin('s3://key:secret@images/')).toThrow(/credentials do not belong here/)
    expect(() => parseOrigin('s3://key:secret@images/')).not.toThrow(/secret@/)
  })
})

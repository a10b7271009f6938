/** Goal: an error's body and status are what clients of any registry expect. */
import { expect, test } from 'vitest'
import { OCI_ERROR_STATUS, OciError, type OciErrorCode } from './errors.ts'

test('the body is a list of code, message and detail', () => {
  const error = new OciError('BLOB_UNKNOWN', 'blob unknown to registry', { detail: { digest: 'd' } })
  expect(error.status).toBe(404)
  expect(error.body()).toEqual({
    errors: [{ code: 'BLOB_UNKNOWN', message: 'blob unknown to registry', detail: { digest: 'd' } }],
  })
})

test('several errors share one answer; the first decides the status', () => {
  const other = new OciError('BLOB_UNKNOWN', 'b')
  const error = new OciError('MANIFEST_INVALID', 'a', { status: 413, others: [other] })
  expect(error.status).toBe(413)
  expect(error.body().errors.map(({ code }) => code)).toEqual(['MANIFEST_INVALID', 'BLOB_UNKNOWN'])
})

test('every code of the specification has a client’s or server’s status', () => {
  const codes = Object.keys(OCI_ERROR_STATUS) as OciErrorCode[]
  expect(codes.length).toBeGreaterThanOrEqual(14)
  for (const code of codes) expect(OCI_ERROR_STATUS[code]).toBeGreaterThanOrEqual(400)
})

/**
 * What an answer of S3, or the want of one, says about what was asked: done, refused for good, or unclear. Pure.
 *
 * S3 mixes the two kinds in its statuses: a `RequestTimeout` is a 400 and passes, an `AccessDenied` is a 403 and stays.
 */
import { S3ServiceException } from '@aws-sdk/client-s3'

/** Metadata of an object: by it is known, where the answer to a write was lost, whether it was that one that was done. */
export const WRITE_ID = 'shoal-write'

/** Statuses below 500 that ask for another try, or that mean something to who asked. */
const PASSING_STATUSES = new Set([404, 408, 409, 412, 416, 425, 429])
/** Errors that are told with other statuses and pass by themselves. */
const PASSING_CODES = /^(RequestTimeout|SlowDown|Throttl|TooManyRequests|RequestThrottled|OperationAborted)/
/** No room: in the store itself, or in what the bucket may hold. */
const FULL_CODES = /^(QuotaExceeded|XMinioStorageFull|XMinioAdminBucketQuotaExceeded|InsufficientStorage)/

export function statusOf(error: unknown): number | undefined {
  return error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined
}

/** Whether the same request was sent before: then its effect may be what caused this answer. */
export function wasSentBefore(error: unknown): boolean {
  return error instanceof S3ServiceException && (error.$metadata.attempts ?? 1) > 1
}

export function isFull(error: unknown): boolean {
  return error instanceof S3ServiceException && (statusOf(error) === 507 || FULL_CODES.test(error.name))
}

/** The store's word where it refuses for good: `AccessDenied`. */
export function refusalOf(error: unknown): string | undefined {
  if (!(error instanceof S3ServiceException)) return undefined
  if (error.name === 'NoSuchBucket') return error.name
  const status = statusOf(error) ?? 500
  const isFinal = status === 501 || (status >= 400 && status < 500 && !PASSING_STATUSES.has(status))
  if (!isFinal || PASSING_CODES.test(error.name)) return undefined
  // An answer to HEAD has no body that could name it.
  return /^[A-Za-z][A-Za-z0-9.]{0,80}$/.test(error.name) ? error.name : `status ${status}`
}

/** Whether what was asked may have been done all the same: the answer was lost, or tells of a failure halfway. */
export function isUnclear(error: unknown): boolean {
  const status = statusOf(error)
  return status === undefined || status === 408 || status >= 500 || /^RequestTimeout/.test(nameOf(error))
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : ''
}

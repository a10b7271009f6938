/**
 * Turns whatever was thrown inside `/v2/` into an OCI error. The one place where other packages' errors become codes.
 * What is not expected becomes a 500 that says nothing about the machine; the log has the cause.
 */
import { DigestInvalidError, ShoalError } from '@shoal/core'
import { OciError } from '@shoal/oci'
import { StorageFullError, StorageRefusedError, StorageUnavailableError } from '@shoal/storage'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** The client went away, or stopped sending, before its request was complete. */
export class RequestCutError extends ShoalError {
  readonly code = 'REQUEST_CUT'
  readonly receivedBytes: number

  constructor(receivedBytes: number, options?: ErrorOptions) {
    super(`the request ended after ${receivedBytes} bytes of its body, before it was complete`, options)
    this.receivedBytes = receivedBytes
  }
}

/** The client stays, and takes nothing of its answer. */
export class ClientStalledError extends ShoalError {
  readonly code = 'CLIENT_STALLED'
  constructor(idleMs: number) {
    super(`the client took nothing for ${idleMs} ms`)
  }
}

/** The backend gave more or fewer bytes than the answer announced. */
export class BodyLengthError extends ShoalError {
  readonly code = 'BODY_LENGTH'
  readonly announcedBytes: number
  readonly sentBytes: number

  constructor(announcedBytes: number, sentBytes: number) {
    super(`the backend gave ${sentBytes} of ${announcedBytes} bytes; the connection is cut`)
    this.announcedBytes = announcedBytes
    this.sentBytes = sentBytes
  }
}

function toOciError(error: unknown): OciError {
  if (error instanceof OciError) return error
  if (error instanceof DigestInvalidError) {
    return new OciError('DIGEST_INVALID', error.message, { cause: error })
  }
  if (error instanceof RequestCutError)
    return new OciError('BLOB_UPLOAD_INVALID', error.message, { cause: error })
  if (error instanceof StorageUnavailableError) {
    return new OciError('UNAVAILABLE', 'the store cannot be reached now; try again', { cause: error })
  }
  // Not `UNAVAILABLE`, and no 503: clients would try again, and it would be the same again.
  if (error instanceof StorageRefusedError) {
    const what = `the registry’s own store refuses this (${error.refusal}); trying again does not help, whoever runs the registry must mend it`
    return new OciError('UNKNOWN', what, { cause: error, detail: { store: error.refusal } })
  }
  if (error instanceof StorageFullError) {
    const what = 'the registry’s own store is full; trying again does not help before somebody makes room'
    return new OciError('UNKNOWN', what, { status: 507, cause: error })
  }
  const status = statusOf(error)
  if (status !== undefined && status < 500) {
    return new OciError('UNSUPPORTED', 'the request cannot be served', { status, cause: error })
  }
  return new OciError('UNKNOWN', 'internal error', { cause: error })
}

export function sendOciError(request: FastifyRequest, reply: FastifyReply, thrown: unknown): FastifyReply {
  const error = toOciError(thrown)
  if (error.status >= 500)
    request.log.error({ event: 'request-failed', err: thrown, code: error.code }, 'registry request failed')
  else
    request.log.debug(
      { event: 'request-refused', code: error.code, detail: error.detail },
      'registry request refused',
    )
  return reply.code(error.status).type('application/json; charset=utf-8').send(JSON.stringify(error.body()))
}

/** fastify's own refusals (a URL that cannot be decoded, a Content-Type that is none) carry their status. */
function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('statusCode' in error)) return undefined
  const { statusCode } = error
  return typeof statusCode === 'number' && statusCode >= 400 ? statusCode : undefined
}

/**
 * What a registry answers when it refuses. Pure.
 * OCI distribution specification, "Error Codes"; the codes below the line are those that registries and clients
 * have in common beyond it.
 */
import { ShoalError } from '@shoal/core'

/** Every code with the HTTP status that it is answered with unless the error says otherwise. */
export const OCI_ERROR_STATUS = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DIGEST_INVALID: 400,
  // 400 as registry:2 and Docker Hub answer; clients read 404 on a manifest PUT as "no such repository".
  MANIFEST_BLOB_UNKNOWN: 400,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  SIZE_INVALID: 400,
  UNAUTHORIZED: 401,
  DENIED: 403,
  UNSUPPORTED: 405,
  TOOMANYREQUESTS: 429,
  // ---
  TAG_INVALID: 400,
  RANGE_INVALID: 416,
  PAGINATION_NUMBER_INVALID: 400,
  UNAVAILABLE: 503,
  UNKNOWN: 500,
} as const

export type OciErrorCode = keyof typeof OCI_ERROR_STATUS

/** The JSON body of every refusal. */
export interface OciErrorBody {
  readonly errors: readonly { readonly code: string; readonly message: string; readonly detail?: unknown }[]
}

export interface OciErrorInit extends ErrorOptions {
  /** Where the code's own status does not fit, such as 413 for a manifest that is too long. */
  readonly status?: number
  /** Any JSON: what exactly was wrong. No secrets, nothing about the machine. */
  readonly detail?: unknown
  /** Reported beside this one in the same answer, such as every blob that is missing. */
  readonly others?: readonly OciError[]
}

export class OciError extends ShoalError {
  readonly status: number
  readonly detail: unknown
  readonly others: readonly OciError[]

  override readonly code: OciErrorCode

  constructor(code: OciErrorCode, message: string, init: OciErrorInit = {}) {
    super(message, 'cause' in init ? { cause: init.cause } : undefined)
    this.code = code
    this.status = init.status ?? OCI_ERROR_STATUS[code]
    this.detail = init.detail
    this.others = init.others ?? []
  }

  /** The body to answer with. */
  body(): OciErrorBody {
    return { errors: [this, ...this.others].map(entry) }
  }
}

function entry(error: OciError): OciErrorBody['errors'][number] {
  return {
    code: error.code,
    message: error.message,
    ...(error.detail === undefined ? {} : { detail: error.detail }),
  }
}

/**
 * What a recorded pull is: requests as a client sends them, how much of each answer it reads, what it does with the
 * connection then, and what it needs of the answer. Data only; `replay.ts` plays it.
 */
import { type Manifest, mediaTypes } from '../../support/images.ts'
import type { Subject } from './subject.ts'

export type Header = readonly [name: string, value: string]

/** Bytes `start` up to and without `end`. */
export interface Span {
  readonly start: number
  readonly end: number
}

export interface ExpectedAnswer {
  readonly status: number
  /** In lower case; a text must be the whole value. */
  readonly headers?: Readonly<Record<string, string | RegExp>>
  /** The whole body, also where less of it is read; for a HEAD, the one that a GET would have. */
  readonly body?: Uint8Array
  /** `multipart/byteranges`: these parts of `body`, in this order. */
  readonly parts?: readonly Span[]
}

export interface RecordedRequest {
  readonly method: 'GET' | 'HEAD'
  /** With the query. */
  readonly path: string
  /** In their order, beside `Host`; a name may come several times. */
  readonly headers: readonly Header[]
  /** Bytes of the body that the client takes; all unless told. With `nothing` it leaves without waiting for an answer. */
  readonly reads?: number | 'nothing'
  /** What the client does then: it keeps the connection for the next request unless told. */
  readonly afterwards?: 'close'
  readonly expect: ExpectedAnswer
}

export interface Recording {
  readonly client: string
  /** One step after the other; the requests of a step at the same time, each on a connection of its own. */
  readonly steps: readonly (readonly RecordedRequest[])[]
}

export type Recorder = (subject: Subject) => Recording

/** The parts of a request that a client says the same way every time. */
export interface Manner {
  readonly headers: readonly Header[]
  readonly query?: string
  readonly afterwards?: 'close'
}

type Asked = Pick<RecordedRequest, 'reads' | 'afterwards'> & { readonly headers?: readonly Header[] }

export function request(
  manner: Manner,
  method: 'GET' | 'HEAD',
  path: string,
  expect: ExpectedAnswer,
  { headers = [], ...rest }: Asked = {},
): RecordedRequest {
  const { query = '', afterwards } = manner
  return {
    method,
    path: `${path}${query}`,
    headers: [...manner.headers, ...headers],
    ...(afterwards && { afterwards }),
    ...rest,
    expect,
  }
}

/** What every client needs of a manifest: its own type and not another, its digest, its length. */
export function wholeManifest({ mediaType, digest, bytes }: Manifest): ExpectedAnswer {
  return { status: 200, headers: { 'content-type': mediaType, 'docker-content-digest': digest }, body: bytes }
}

export function wholeBlob(body: Uint8Array): ExpectedAnswer {
  return { status: 200, body }
}

/** A 206 that tells exactly what it is. */
export function blobFrom(blob: Uint8Array, start: number): ExpectedAnswer {
  const contentRange = `bytes ${start}-${blob.length - 1}/${blob.length}`
  return { status: 206, headers: { 'content-range': contentRange }, body: blob.subarray(start) }
}

export const notFound: ExpectedAnswer = { status: 404, headers: { 'content-type': /^application\/json/ } }

/** The base of the API, without a challenge. */
export const alive: ExpectedAnswer = {
  status: 200,
  headers: { 'docker-distribution-api-version': 'registry/2.0' },
}

export const range = (start: number): Header => ['Range', `bytes=${start}-`]

export const INDEX_AND_MANIFEST_TYPES = [
  mediaTypes.docker.manifest,
  mediaTypes.docker.index,
  mediaTypes.oci.manifest,
  mediaTypes.oci.index,
] as const

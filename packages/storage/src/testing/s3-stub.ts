/**
 * A small S3 on loopback, in memory: as strict as the strictest that Shoal is for (R2's rule of equal parts, conditions on every
 * write), unless a test says what it gets wrong. Signatures are not looked at.
 */
import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { S3ObjectStore } from '../s3-object-store.ts'

interface StubObject {
  readonly bytes: Buffer
  readonly etag: string
  readonly metadata: Readonly<Record<string, string>>
}

interface StubUpload {
  readonly key: string
  readonly metadata: Readonly<Record<string, string>>
  readonly parts: Map<number, Buffer>
}

export interface StubRequest {
  readonly method: string
  readonly key: string
  /** `UploadPart`, `CompleteMultipartUpload` …, as S3 calls it. */
  readonly operation: string
  readonly headers: IncomingMessage['headers']
}

/** What becomes of a request, where a test wants something else than its answer. */
export type StubFault =
  | { readonly kind: 'refuse'; readonly status: number; readonly code: string }
  /** It is done, and nobody hears of it. */
  | { readonly kind: 'lose-answer' }
  /** It is done after this, and answered then. */
  | { readonly kind: 'wait'; readonly until: Promise<unknown> }

const MIB = 1024 * 1024

const CREDENTIALS = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']

export class S3Stub {
  readonly objects = new Map<string, StubObject>()
  readonly uploads = new Map<string, StubUpload>()
  readonly requests: StubRequest[] = []
  fault: (request: StubRequest) => StubFault | undefined = () => undefined
  /** Answers to listings, where a test has some. */
  listing: () => Answer | undefined = () => undefined
  honours = { ifNoneMatch: true, ifMatch: true }
  /** Of the parts of an upload but the last. */
  partBytesMin = 5 * MIB
  readonly #server = createServer((request, response) => {
    this.#serve(request, response).catch(() => request.socket.destroy())
  })

  /** Variables that are not set after it. */
  readonly #set = new Set<string>()

  async start(): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
    for (const name of this.#set) delete process.env[name]
  }

  /** Not started. */
  store(): S3ObjectStore {
    // The SDK's default chain of credentials begins with these.
    for (const name of CREDENTIALS) {
      if (process.env[name] !== undefined) continue
      process.env[name] = 'stub'
      this.#set.add(name)
    }
    return new S3ObjectStore({
      bucket: 'bucket',
      prefix: 'some/prefix',
      endpoint: this.endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
    })
  }

  count(operation: string): number {
    return this.requests.filter((request) => request.operation === operation).length
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://stub')
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const method = request.method ?? 'GET'
    const key = decodeURIComponent(url.pathname).split('/').slice(2).join('/')
    const operation = operationOf(method, key, url.searchParams, request.headers)
    const seen = { method, key, operation, headers: request.headers }
    this.requests.push(seen)
    const fault = this.fault(seen)
    if (fault?.kind === 'refuse') return refuse(response, fault.status, fault.code)
    if (fault?.kind === 'wait') await fault.until
    const answer = this.#answer(seen, url.searchParams, Buffer.concat(chunks))
    if (fault?.kind === 'lose-answer') {
      response.socket?.destroy()
      return
    }
    if ('code' in answer) return refuse(response, answer.status, answer.code)
    response.writeHead(answer.status ?? 200, answer.headers)
    response.end(method === 'HEAD' ? undefined : answer.body)
  }

  #answer(request: StubRequest, query: URLSearchParams, body: Buffer): Answer {
    const { key, operation, headers } = request
    const upload = this.uploads.get(query.get('uploadId') ?? '')
    switch (operation) {
      case 'PutObject':
        return this.#blockedBy(key, headers) ?? stored(this.#put(key, body, metadataOf(headers)))
      case 'GetObject':
      case 'HeadObject':
        return this.#get(key, headers.range)
      case 'DeleteObject': {
        const blocked = headers['if-match'] !== undefined && this.#blockedBy(key, headers)
        if (blocked) return blocked
        this.objects.delete(key)
        return { status: 204, headers: {} }
      }
      case 'ListObjectsV2':
        return this.listing() ?? this.#list(query)
      case 'ListMultipartUploads':
        return xml(
          `<ListMultipartUploadsResult>${[...this.uploads].map(([id, { key }]) => `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>${new Date().toISOString()}</Initiated></Upload>`).join('')}</ListMultipartUploadsResult>`,
        )
      case 'CreateMultipartUpload': {
        const id = randomUUID()
        this.uploads.set(id, { key, metadata: metadataOf(headers), parts: new Map() })
        return xml(
          `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
        )
      }
    }
    if (upload === undefined) return { status: 404, code: 'NoSuchUpload' }
    const part = Number(query.get('partNumber'))
    switch (operation) {
      case 'UploadPart':
        if (part > 10_000) return { status: 400, code: 'InvalidArgument' }
        upload.parts.set(part, body)
        return stored(body)
      case 'UploadPartCopy': {
        const source = decodeURIComponent(String(headers['x-amz-copy-source'])).replace(/^\/?bucket\//, '')
        const [, start, end] = /bytes=(\d+)-(\d+)/.exec(String(headers['x-amz-copy-source-range'])) ?? []
        const bytes = this.objects.get(source)?.bytes.subarray(Number(start), Number(end) + 1)
        if (bytes === undefined) return { status: 404, code: 'NoSuchKey' }
        upload.parts.set(part, Buffer.from(bytes))
        return xml(`<CopyPartResult><ETag>${tagOf(bytes)}</ETag></CopyPartResult>`)
      }
      case 'ListParts':
        return xml(
          `<ListPartsResult>${[...upload.parts].map(([number, bytes]) => `<Part><PartNumber>${number}</PartNumber><ETag>${tagOf(bytes)}</ETag></Part>`).join('')}</ListPartsResult>`,
        )
      case 'AbortMultipartUpload':
        this.uploads.delete(query.get('uploadId')!)
        return { status: 204, headers: {} }
      case 'CompleteMultipartUpload':
        return this.#complete(query.get('uploadId')!, upload, body.toString())
    }
    return { status: 501, code: 'NotImplemented' }
  }

  #complete(id: string, { key, parts, metadata }: StubUpload, body: string): Answer {
    const numbers = [...body.matchAll(/<PartNumber>(\d+)<\/PartNumber>/g)].map(([, n]) => Number(n))
    const chosen = numbers.map((number) => parts.get(number))
    if (chosen.some((bytes) => bytes === undefined)) return { status: 400, code: 'InvalidPart' }
    const lengths = chosen.map((bytes) => bytes!.length)
    const first = lengths[0] ?? 0
    const last = lengths.pop() ?? 0
    if (lengths.some((length) => length !== first) || last > first)
      return { status: 400, code: 'InvalidPart' }
    if (lengths.some((length) => length < this.partBytesMin)) return { status: 400, code: 'EntityTooSmall' }
    this.#put(key, Buffer.concat(chosen as Buffer[]), metadata)
    this.uploads.delete(id)
    return xml(`<CompleteMultipartUploadResult><Key>${key}</Key></CompleteMultipartUploadResult>`)
  }

  #put(key: string, bytes: Buffer, metadata: Readonly<Record<string, string>>): Buffer {
    this.objects.set(key, { bytes, etag: tagOf(bytes), metadata })
    return bytes
  }

  #blockedBy(key: string, headers: IncomingMessage['headers']): Answer | undefined {
    const there = this.objects.get(key)
    if (this.honours.ifNoneMatch && headers['if-none-match'] === '*' && there !== undefined)
      return { status: 412, code: 'PreconditionFailed' }
    const wanted = headers['if-match']
    if (!this.honours.ifMatch || wanted === undefined || there?.etag === wanted) return undefined
    return there === undefined
      ? { status: 404, code: 'NoSuchKey' }
      : { status: 412, code: 'PreconditionFailed' }
  }

  #get(key: string, range: string | undefined): Answer {
    const object = this.objects.get(key)
    if (object === undefined) return { status: 404, code: 'NoSuchKey' }
    const { bytes, etag, metadata } = object
    const headers: Record<string, string> = { etag, 'last-modified': new Date().toUTCString() }
    for (const [name, value] of Object.entries(metadata)) headers[`x-amz-meta-${name}`] = value
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? []
    if (from === undefined)
      return { headers: { ...headers, 'content-length': String(bytes.length) }, body: bytes }
    const body = bytes.subarray(Number(from), Number(to) + 1)
    if (body.length === 0) return { status: 416, code: 'InvalidRange' }
    const span = `bytes ${from}-${Number(from) + body.length - 1}/${bytes.length}`
    headers['content-length'] = String(body.length)
    return { status: 206, headers: { ...headers, 'content-range': span }, body }
  }

  #list(query: URLSearchParams): Answer {
    const after = query.get('continuation-token') ?? query.get('start-after') ?? ''
    const prefix = query.get('prefix') ?? ''
    const keysMax = Number(query.get('max-keys') ?? 1000)
    const found = [...this.objects.keys()].filter((key) => key.startsWith(prefix) && key > after).toSorted()
    const page = found.slice(0, keysMax)
    const isTruncated = found.length > page.length
    return xml(
      `<ListBucketResult><IsTruncated>${isTruncated}</IsTruncated>${isTruncated ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : ''}${page.map((key) => `<Contents><Key>${key}</Key><Size>${this.objects.get(key)?.bytes.length}</Size></Contents>`).join('')}</ListBucketResult>`,
    )
  }
}

type Answer =
  | { readonly status: number; readonly code: string }
  | { readonly status?: number; readonly headers: Record<string, string>; readonly body?: Buffer | string }

function operationOf(
  method: string,
  key: string,
  query: URLSearchParams,
  headers: IncomingMessage['headers'],
): string {
  if (method === 'POST') return query.has('uploads') ? 'CreateMultipartUpload' : 'CompleteMultipartUpload'
  if (method === 'DELETE') return query.has('uploadId') ? 'AbortMultipartUpload' : 'DeleteObject'
  if (method === 'HEAD') return 'HeadObject'
  if (method === 'PUT') {
    if (!query.has('uploadId')) return 'PutObject'
    return headers['x-amz-copy-source'] === undefined ? 'UploadPart' : 'UploadPartCopy'
  }
  if (query.has('uploadId')) return 'ListParts'
  if (query.has('uploads')) return 'ListMultipartUploads'
  return key === '' ? 'ListObjectsV2' : 'GetObject'
}

function metadataOf(headers: IncomingMessage['headers']): Record<string, string> {
  const entries = Object.entries(headers).filter(([name]) => name.startsWith('x-amz-meta-'))
  return Object.fromEntries(entries.map(([name, value]) => [name.slice('x-amz-meta-'.length), String(value)]))
}

function tagOf(bytes: Uint8Array): string {
  return `"${createHash('md5').update(bytes).digest('hex')}"`
}

function stored(bytes: Buffer): Answer {
  return { headers: { etag: tagOf(bytes) } }
}

function xml(body: string): Answer {
  return { headers: { 'content-type': 'application/xml' }, body: `<?xml version="1.0"?>${body}` }
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'content-type': 'application/xml' })
  response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`)
}

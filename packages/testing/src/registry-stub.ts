/**
 * A registry in memory, small enough to be seen through: what the command line's clients are tested against. Takes pushes
 * in one PUT, gives manifests and blobs, and can be told to spoil what it gives.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface RegistryStub extends AsyncDisposable {
  readonly url: string
  /** `METHOD path` in order of arrival, and the Accept header of each. */
  readonly requests: { readonly line: string; readonly accept: string | undefined }[]
  readonly blobs: Map<string, Buffer>
  readonly manifests: Map<string, { mediaType: string; bytes: Buffer; digest?: string }>
  /** Most requests for blobs that were being answered at one time. */
  blobsAtOnceMax: number
  /** Changes what is given for a blob. */
  spoil: (bytes: Buffer) => Buffer
  /** Whether a manifest that is pushed by its digest can be given a tag with it, and whether that is said. */
  tagParameter: 'told' | 'silent' | 'unknown'
  /** Finds every other digest of a manifest wrong, as Distribution 2.8 does. */
  isSha256Alone: boolean
}

export async function startRegistryStub(): Promise<RegistryStub> {
  const server = createServer((request, response) => {
    answer(stub, request, response).catch((error) => response.writeHead(500).end(String(error)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stub: RegistryStub = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    blobs: new Map(),
    manifests: new Map(),
    blobsAtOnceMax: 0,
    spoil: (bytes) => bytes,
    tagParameter: 'told',
    isSha256Alone: false,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return stub
}

let blobsAtOnce = 0

async function answer(stub: RegistryStub, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? '', stub.url)
  stub.requests.push({ line: `${request.method} ${pathname}`, accept: request.headers.accept })
  const [, kind, reference = ''] = /\/(manifests|blobs)\/(.+)$/.exec(pathname) ?? []
  const body = await bodyOf(request)
  const refuse = () => response.writeHead(404).end('{"errors":[]}')
  if (kind === 'manifests' && request.method === 'PUT') {
    const algorithm = /^(sha\d+):/.exec(reference)?.[1]
    const digest = digestOf(body, stub.isSha256Alone ? 'sha256' : algorithm)
    if (algorithm !== undefined && reference !== digest)
      return void response.writeHead(400).end('{"errors":[{"code":"DIGEST_INVALID"}]}\n')
    const tags = stub.tagParameter === 'unknown' ? [] : searchParams.getAll('tag')
    const stored = { mediaType: request.headers['content-type'] ?? '', bytes: body, digest }
    for (const name of [reference, digest, ...tags]) stub.manifests.set(name, stored)
    const told = stub.tagParameter === 'told' && tags.length > 0 ? { 'oci-tag': tags } : {}
    response.writeHead(201, { 'docker-content-digest': digest, ...told }).end()
  } else if (kind === 'manifests') {
    const stored = stub.manifests.get(reference)
    if (stored === undefined) return void refuse()
    const digest = stored.digest ?? digestOf(stored.bytes)
    const headers = { 'content-type': stored.mediaType, 'docker-content-digest': digest }
    response.writeHead(200, headers).end(request.method === 'HEAD' ? undefined : stored.bytes)
  } else if (request.method === 'POST') {
    response.writeHead(202, { location: '/v2/upload?state=1' }).end()
  } else if (request.method === 'PUT') {
    const digest = searchParams.get('digest') ?? ''
    if (digest !== digestOf(body, digest.split(':')[0]) || searchParams.get('state') !== '1')
      return void response.writeHead(400).end('{}')
    stub.blobs.set(digest, body)
    response.writeHead(201).end()
  } else {
    const blob = stub.blobs.get(reference)
    if (blob === undefined) return void refuse()
    if (request.method === 'HEAD') return void response.writeHead(200).end()
    blobsAtOnce++
    stub.blobsAtOnceMax = Math.max(stub.blobsAtOnceMax, blobsAtOnce)
    response.on('close', () => {
      blobsAtOnce--
    })
    // Long enough for whoever asks for several at once to have done so, connections included.
    setTimeout(() => response.writeHead(200).end(stub.spoil(blob)), 30)
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function digestOf(bytes: Buffer, algorithm = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
}

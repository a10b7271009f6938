/**
 * Another registry, with an image for every name `library/x<number>`, that misbehaves in most of its answers: it resets, stops
 * in the middle, says wrong lengths, ranges, statuses and digests, is slow, or is right.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createPrng, type Prng } from '@shoal/core'
import { pause } from '../attacker.ts'
import { damaged, oneOf, randomBytes } from '../random-messages.ts'

export interface Upstream extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly host: string
  readonly answered: number
  /** What `1` means in `library/x<number>`. */
  manifestDigestOf(number: number): string
}

interface Content {
  readonly type: string
  readonly bytes: Buffer
  readonly digest: string
}

const LAYER_BYTES = 150_000
const STATUSES = [200, 204, 206, 301, 304, 307, 400, 401, 403, 404, 416, 418, 429, 500, 502, 503]

export async function startUpstream(seed: number, signal: AbortSignal): Promise<Upstream> {
  const prng = createPrng(seed)
  let answered = 0
  const server = createServer(async (request, response) => {
    answered++
    response.on('error', () => {})
    request.resume()
    const [, number, kind, reference = ''] =
      /^\/v2\/library\/x(\d+)\/(manifests|blobs)\/([^/?]+)/.exec(request.url ?? '') ?? []
    if (kind === undefined) return void response.writeHead(request.url === '/v2/' ? 200 : 404).end('{}')
    const image = imageOf(seed, Number(number))
    const content = kind === 'blobs' ? image.blobs.find(({ digest }) => digest === reference) : image.manifest
    if (content === undefined) return void response.writeHead(404).end('{}')
    await misbehave(response, content, request.headers.range, prng, signal)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    get answered() {
      return answered
    },
    manifestDigestOf: (number) => imageOf(seed, number).manifest.digest,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function misbehave(
  response: ServerResponse,
  content: Content,
  range: string | undefined,
  prng: Prng,
  signal: AbortSignal,
): Promise<void> {
  const [, from = '0', to] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? []
  const part = content.bytes.subarray(Number(from), to ? Number(to) + 1 : undefined)
  const isPart = range !== undefined
  const head = {
    'content-type': content.type,
    'docker-content-digest': content.digest,
    'content-length': part.length,
    ...(isPart && {
      'content-range': `bytes ${from}-${Number(from) + part.length - 1}/${content.bytes.length}`,
    }),
  }
  const status = isPart ? 206 : 200
  const cut = (bytes: Uint8Array) => {
    response.write(bytes.subarray(0, prng.below(bytes.length + 1)))
    response.socket?.resetAndDestroy()
  }
  switch (prng.below(16)) {
    case 0:
      return void response.socket?.resetAndDestroy()
    case 1:
      response.writeHead(status, head)
      return cut(part)
    case 2:
      // More is promised than comes, and then the other way round.
      response.writeHead(status, { ...head, 'content-length': part.length + 1_000 })
      return void response.end(part)
    case 3:
      response.socket?.write(
        `HTTP/1.1 200 OK\r\nContent-Length: ${Math.max(0, part.length - 100)}\r\nDocker-Content-Digest: ${content.digest}\r\n\r\n`,
      )
      response.socket?.write(part)
      return void response.socket?.end()
    case 4: {
      const headers = oneOf(
        [
          {},
          { location: 'http://127.0.0.1:1/x' },
          { location: '::::' },
          { 'www-authenticate': 'Bearer realm="http://127.0.0.1:1/",service="x"' },
          { 'www-authenticate': 'Bearer realm=,,="' },
          { 'retry-after': '-1' },
          { 'retry-after': '99999999999' },
        ],
        prng,
      )
      response.writeHead(oneOf(STATUSES, prng), headers)
      return void response.end()
    }
    case 5:
      await pause(1_000 + prng.below(4_000), signal)
      if (response.destroyed) return
      response.writeHead(status, head)
      return void response.end(part)
    case 6:
      response.writeHead(status, head)
      return void response.end(damaged(part, prng))
    case 7:
      response.writeHead(status, {
        ...head,
        'docker-content-digest': 'sha256:x',
        'content-range': 'bytes 9-2/*',
      })
      return void response.end(part)
    case 8:
      return void response.socket?.end(randomBytes(200, prng))
    case 9:
      // A range where none was asked for, and the whole where one was.
      response.writeHead(isPart ? 200 : 206, { 'content-type': content.type })
      return void response.end(content.bytes)
    default:
      response.writeHead(status, head)
      return void response.end(part)
  }
}

const images = new Map<string, { manifest: Content; blobs: readonly Content[] }>()

function imageOf(seed: number, number: number): { manifest: Content; blobs: readonly Content[] } {
  const key = `${seed}/${number}`
  const known = images.get(key)
  if (known !== undefined) return known
  const layer = contentOf('application/octet-stream', noiseOf(key))
  const config = contentOf(
    'application/octet-stream',
    Buffer.from(
      JSON.stringify({
        architecture: 'amd64',
        os: 'linux',
        key,
        rootfs: { type: 'layers', diff_ids: [layer.digest] },
      }),
    ),
  )
  const type = 'application/vnd.oci.image.manifest.v1+json'
  const manifest = contentOf(
    type,
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: type,
        config: {
          mediaType: 'application/vnd.oci.image.config.v1+json',
          digest: config.digest,
          size: config.bytes.length,
        },
        layers: [
          {
            mediaType: 'application/vnd.oci.image.layer.v1.tar',
            digest: layer.digest,
            size: layer.bytes.length,
          },
        ],
      }),
    ),
  )
  const image = { manifest, blobs: [layer, config] }
  images.set(key, image)
  if (images.size > 50) images.delete(images.keys().next().value!)
  return image
}

function contentOf(type: string, bytes: Buffer): Content {
  return { type, bytes, digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}` }
}

function noiseOf(key: string): Buffer {
  const parts = Array.from({ length: Math.ceil(LAYER_BYTES / 64) }, (_, n) =>
    createHash('sha512').update(`${key}/${n}`).digest(),
  )
  return Buffer.concat(parts)
}

/**
 * Goal: what is pushed is pulled, the way containerd does it, and nothing wrong passes for right.
 * Method: both clients against a registry in memory that records requests and can spoil its answers.
 */
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buildImage, buildLayer, fillerFile, type Image } from '@shoal/images'
import { type RegistryStub, startRegistryStub } from '@shoal/testing/registry-stub'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openConnections } from './call.ts'
import {
  PulledDigestError,
  PulledSizeError,
  PushedDigestError,
  PushedSizeError,
  RegistryAnswerError,
} from './errors.ts'
import { pullImage } from './pull.ts'
import { pushImage } from './push.ts'

let stub: RegistryStub
let image: Image
const client = openConnections()
const bytes = { pushed: 0, pulled: 0 }
const target = () => ({
  client,
  registryUrl: stub.url,
  repository: 'demo/app',
  signal: AbortSignal.timeout(20_000),
})
const count = (of: 'pushed' | 'pulled') => (more: number) => {
  bytes[of] += more
}
const push = () => pushImage({ ...target(), onBytes: count('pushed') }, '1', image)
const pull = (tag = '1') => pullImage({ ...target(), onBytes: count('pulled') }, tag)

beforeEach(async () => {
  stub = await startRegistryStub()
  Object.assign(bytes, { pushed: 0, pulled: 0 })
  const sizes = [10, 2 * 1024 ** 2, 300_000, 5, 1_000_000]
  const layers = sizes.map((sizeBytes, i) => buildLayer([fillerFile('/a', { seed: `${i}`, sizeBytes })]))
  image = buildImage({
    layers: await Promise.all(layers),
    architecture: 'amd64',
    entrypoint: [],
    env: [],
    user: '',
  })
})
afterEach(() => stub[Symbol.asyncDispose]())

describe('a push', () => {
  test('stores every blob and the manifest, the manifest last', async () => {
    await push()
    expect([...stub.blobs.keys()].sort()).toEqual(
      [image.config, ...image.layers].map(({ digest }) => digest).sort(),
    )
    expect(stub.requests.at(-1)?.line).toBe('PUT /v2/demo/app/manifests/1')
    expect(stub.manifests.has(image.manifest.digest)).toBe(true)
    expect(bytes.pushed).toBe(image.contentBytes)
  })

  test('sends nothing that is there already', async () => {
    await push()
    const before = stub.requests.length
    await push()
    const again = stub.requests.slice(before).map(({ line }) => line.split(' ')[0])
    expect(again.filter((method) => method === 'HEAD')).toHaveLength(image.layers.length + 1)
    expect(again.filter((method) => method === 'PUT')).toHaveLength(1)
    expect(bytes.pushed).toBe(2 * image.contentBytes)
  })

  test('ends the other blobs when one of them fails, and says why', async () => {
    const reason = new Error('unreadable')
    let isEnded = false
    const broken = {
      ...image.layers[0]!,
      async *open(): AsyncGenerator<Uint8Array> {
        yield* []
        throw reason
      },
    }
    const endless = {
      ...image.layers[1]!,
      sizeBytes: 1024 ** 4,
      async *open() {
        try {
          for (;;) yield new Uint8Array(65_536)
        } finally {
          isEnded = true
        }
      },
    }
    image = { ...image, layers: [endless, broken] }
    await expect(push()).rejects.toBe(reason)
    expect(isEnded).toBe(true)
    expect(stub.manifests.size).toBe(0)
  })

  test('fails with what the registry said', async () => {
    const layers = [
      { ...image.layers[0]!, open: image.layers[3]!.open, sizeBytes: image.layers[3]!.sizeBytes },
    ]
    image = { ...image, layers }
    await expect(push()).rejects.toThrow(RegistryAnswerError)
    expect(stub.manifests.size).toBe(0)
  })
})

describe('what goes wrong with a push is told by its own name', () => {
  test('a registry that stored something else', async () => {
    await using registry = await serve((request, response) => {
      const headers = { location: '/upload', 'docker-content-digest': `sha256:${'0'.repeat(64)}` }
      const status = { HEAD: 200, POST: 202 }[request.method!] ?? 201
      request.resume().on('end', () => response.writeHead(status, headers).end())
    })
    const to = { ...target(), registryUrl: registry.url, onBytes: count('pushed') }
    await expect(pushImage(to, '1', image)).rejects.toThrow(PushedDigestError)
  })

  test.each([
    ['shorter', -1],
    ['longer', 1],
  ])('a layer that is %s than it was', async (_what, difference) => {
    const { sizeBytes } = image.layers[0]!
    const layers = [{ ...image.layers[0]!, sizeBytes: sizeBytes - difference }]
    image = { ...image, layers }
    await expect(push()).rejects.toThrow(PushedSizeError)
    expect(stub.blobs.has(layers[0]!.digest)).toBe(false)
  })
})

describe('credentials', () => {
  test('are shown to the registry, and not to where it sends an upload', async () => {
    const seen: string[] = []
    await using elsewhere = await serve((request, response) => {
      seen.push(`elsewhere ${request.method} ${request.headers.authorization}`)
      request.resume().on('end', () => response.writeHead(201).end())
    })
    await using registry = await serve((request, response) => {
      seen.push(`registry ${request.method} ${request.headers.authorization}`)
      const status = { HEAD: 404, POST: 202 }[request.method!] ?? 201
      request
        .resume()
        .on('end', () => response.writeHead(status, { location: `${elsewhere.url}/upload` }).end())
    })
    const layers = image.layers.slice(0, 1)
    await pushImage(
      { ...target(), registryUrl: registry.url, authorization: 'Basic YTpi', onBytes: count('pushed') },
      '1',
      { ...image, layers },
    )
    expect([...new Set(seen)].sort()).toEqual([
      'elsewhere PUT undefined',
      'registry HEAD Basic YTpi',
      'registry POST Basic YTpi',
      'registry PUT Basic YTpi',
    ])
  })
})

describe('a pull', () => {
  test('asks as containerd does: HEAD of the tag, GET by digest, then three blobs at a time', async () => {
    await push()
    const before = stub.requests.length
    const pulled = await pull()
    const [head, get, ...blobs] = stub.requests.slice(before)
    expect(head?.line).toBe('HEAD /v2/demo/app/manifests/1')
    expect(head?.accept).toMatch(/docker\.distribution\.manifest\.v2\+json.*oci\.image\.index.*\*\/\*$/)
    expect(get).toEqual({
      line: `GET /v2/demo/app/manifests/${image.manifest.digest}`,
      accept: `${image.manifest.mediaType}, */*`,
    })
    expect(blobs).toHaveLength(image.layers.length + 1)
    expect(stub.blobsAtOnceMax).toBe(3)
    expect(pulled).toEqual({ digest: image.manifest.digest, contentBytes: image.contentBytes })
    expect(bytes.pulled).toBe(image.contentBytes)
  })

  test('fails on a byte that is not what it was', async () => {
    await push()
    stub.spoil = (blob) => Buffer.concat([blob.subarray(1), Buffer.from([blob[0]! ^ 1])])
    await expect(pull()).rejects.toThrow(PulledDigestError)
  })

  test.each([
    ['short', (blob: Buffer) => blob.subarray(1)],
    ['long', (blob: Buffer) => Buffer.concat([blob, Buffer.alloc(1)])],
  ])('fails on a body that is too %s', async (_what, spoil) => {
    await push()
    stub.spoil = spoil
    await expect(pull()).rejects.toThrow(PulledSizeError)
  })

  test('fails on a manifest that is another one', async () => {
    await push()
    const stored = stub.manifests.get(image.manifest.digest)!
    stub.manifests.set(image.manifest.digest, {
      ...stored,
      bytes: Buffer.concat([stored.bytes, Buffer.from(' ')]),
    })
    await expect(pull()).rejects.toThrow(PulledDigestError)
  })

  test('fails on a tag that is not there', async () => {
    await expect(pull('2')).rejects.toThrow(/HEAD .*manifests\/2 was answered with 404/)
  })
})

async function serve(listener: RequestListener): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

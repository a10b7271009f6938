/**
 * Goal: what clients ask when they pull, answered over a real socket with exact headers.
 * Method: one image in memory; requests as containerd, Docker, podman and kaniko send them.
 */
import { patternBytes } from '@shoal/testing/content'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { rawExchange } from './testing/raw-http.ts'
import { codeOf, pushBlob, pushImage, type RegistryServer, startRegistry } from './testing/registry-server.ts'

let registry: RegistryServer
let image: Awaited<ReturnType<typeof pushImage>>
let blob: string
const content = patternBytes(1_000_000)

beforeAll(async () => {
  registry = await startRegistry()
  image = await pushImage(registry.url, 'library/app', 'v1', 'layer one', 'layer two', '')
  blob = `${registry.url}/v2/library/app/blobs/${await pushBlob(registry.url, 'library/app', content)}`
})
afterAll(() => registry.close())

const get = (url: string, headers: Record<string, string> = {}, method = 'GET') =>
  fetch(url, { method, headers })
const bytesOf = async (answer: Response) => new Uint8Array(await answer.arrayBuffer())

test('the base answers without a challenge', async () => {
  for (const path of ['/v2/', '/v2']) {
    const answer = await get(registry.url + path)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('docker-distribution-api-version')).toBe('registry/2.0')
    expect(answer.headers.has('www-authenticate')).toBe(false)
  }
})

describe('a blob', () => {
  test('HEAD tells the length and never opens the blob', async () => {
    const readsBefore = registry.objects.calls.chunk ?? 0
    const answer = await get(blob, { range: 'bytes=0-' }, 'HEAD')
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-length')).toBe('1000000')
    expect(answer.headers.get('content-type')).toBe('application/octet-stream')
    expect(blob.endsWith(answer.headers.get('docker-content-digest')!)).toBe(true)
    expect(answer.headers.get('accept-ranges')).toBe('bytes')
    expect(registry.objects.calls.chunk ?? 0).toBeLessThanOrEqual(readsBefore + 1)
  })

  test('GET gives it whole, uncompressed even for a client that would take it compressed', async () => {
    const answer = await get(blob, { 'accept-encoding': 'zstd,gzip,deflate' })
    expect(answer.status).toBe(200)
    expect(answer.headers.has('content-encoding')).toBe(false)
    expect(answer.headers.get('content-length')).toBe('1000000')
    expect(await bytesOf(answer)).toEqual(content)
  })

  test.each([
    ['bytes=0-', 0, 1_000_000],
    ['bytes=400000-', 400_000, 1_000_000],
    ['bytes=0-0', 0, 1],
    ['bytes=65530-65540', 65_530, 65_541],
    ['bytes=-5', 999_995, 1_000_000],
    ['bytes=999999-5000000', 999_999, 1_000_000],
  ])('%s is answered with 206 and reaches its end', async (range, start, end) => {
    const answer = await get(blob, { range })
    expect(answer.status).toBe(206)
    expect(answer.headers.get('content-range')).toBe(`bytes ${start}-${end - 1}/1000000`)
    expect(answer.headers.get('content-length')).toBe(String(end - start))
    expect(await bytesOf(answer)).toEqual(content.subarray(start, end))
  })

  test('a range beyond the end is 416 and tells the length', async () => {
    const answer = await get(blob, { range: 'bytes=1000000-' })
    expect(answer.status).toBe(416)
    expect(answer.headers.get('content-range')).toBe('bytes */1000000')
    expect(await codeOf(answer)).toBe('RANGE_INVALID')
  })

  test('several ranges come as parts, each with its place', async () => {
    const answer = await get(blob, { range: 'bytes=0-9, 500000-500004,-3' })
    expect(answer.status).toBe(206)
    const boundary = /^multipart\/byteranges; boundary=(\w+)$/.exec(answer.headers.get('content-type')!)![1]
    const body = Buffer.from(await bytesOf(answer))
    expect(body.length).toBe(Number(answer.headers.get('content-length')))
    const parts = body.toString('latin1').split(`\r\n--${boundary}`)
    expect(parts.shift()).toBe('')
    expect(parts.pop()).toBe('--\r\n')
    const spans = [[0, 10] as const, [500_000, 500_005] as const, [999_997, 1_000_000] as const]
    expect(parts).toHaveLength(spans.length)
    for (const [index, [start, end]] of spans.entries()) {
      const [head, bytes] = parts[index]!.split('\r\n\r\n')
      expect(head).toContain('Content-Type: application/octet-stream')
      expect(head).toContain(`Content-Range: bytes ${start}-${end - 1}/1000000`)
      expect(Buffer.from(bytes!, 'latin1')).toEqual(Buffer.from(content.subarray(start, end)))
    }
  })

  test('malformed ranges, ones for another entity and more than the whole are answered with the whole', async () => {
    for (const headers of [
      { range: 'bytes=0-,0-,0-' },
      { range: 'lines=1-2' },
      { range: 'bytes=0-1', 'if-range': '"x"' },
    ]) {
      const answer = await get(blob, headers)
      expect(answer.status).toBe(200)
      expect((await bytesOf(answer)).length).toBe(1_000_000)
    }
  })

  test('If-None-Match with the ETag saves the body', async () => {
    const etag = (await get(blob, {}, 'HEAD')).headers.get('etag')!
    for (const value of [etag, `"x", W/${etag}`, '*']) {
      const answer = await get(blob, { 'if-none-match': value })
      expect(answer.status).toBe(304)
      expect((await bytesOf(answer)).length).toBe(0)
    }
    expect((await get(blob, { 'if-none-match': '"x"' }, 'HEAD')).status).toBe(200)
  })

  test('an empty layer, also by range', async () => {
    const url = `${registry.url}/v2/library/app/blobs/${image.layerDigests[2]}`
    for (const headers of [{}, { range: 'bytes=0-' }]) {
      const answer = await get(url, headers)
      expect(answer.status).toBe(200)
      expect(answer.headers.get('content-length')).toBe('0')
      expect((await bytesOf(answer)).length).toBe(0)
    }
    expect((await get(url, {}, 'HEAD')).headers.get('content-length')).toBe('0')
  })

  test('its digest grants nothing in another repository', async () => {
    await pushBlob(registry.url, 'other/app', 'something else')
    const answer = await get(blob.replace('library/app', 'other/app'))
    expect(answer.status).toBe(404)
    expect(await codeOf(answer)).toBe('BLOB_UNKNOWN')
  })

  test('a HEAD of what is not there has no body and keeps the connection usable', async () => {
    const missing = `${blob.slice(0, -4)}ffff`
    const request = `HEAD ${new URL(missing).pathname} HTTP/1.1\r\nHost: x\r\n\r\n`
    const answer = await rawExchange(
      registry.port,
      request + request.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'),
    )
    expect(answer.match(/HTTP\/1\.1 404/g)).toHaveLength(2)
    expect(answer).not.toContain('errors')
  })
})

describe('a manifest', () => {
  test('by tag and by digest, GET and HEAD, with its own type', async () => {
    for (const reference of ['v1', image.digest]) {
      const url = `${registry.url}/v2/library/app/manifests/${reference}`
      for (const method of ['GET', 'HEAD']) {
        const answer = await get(url, { accept: 'application/vnd.oci.image.manifest.v1+json, */*' }, method)
        expect(answer.status).toBe(200)
        expect(answer.headers.get('content-type')).toBe('application/vnd.oci.image.manifest.v1+json')
        expect(answer.headers.get('docker-content-digest')).toBe(image.digest)
        expect(answer.headers.get('content-length')).toBe(String(image.manifest.length))
        expect(await answer.text()).toBe(method === 'GET' ? image.manifest : '')
      }
    }
  })

  test('containerd’s bytes=0- is tolerated, and its ns says whose repository is meant', async () => {
    const { manifest } = await pushImage(registry.url, 'docker.io/library/app', 'v1', 'of the hub')
    const hub = await get(`${registry.url}/v2/library/app/manifests/v1?ns=docker.io`)
    expect(await hub.text()).toBe(manifest)
    expect((await get(`${registry.url}/v2/library/app/manifests/v1?ns=169.254.169.254`)).status).toBe(404)
    const url = `${registry.url}/v2/library/app/manifests/v1?ns=`
    const answer = await get(url, { range: 'bytes=0-' })
    expect(answer.status).toBe(200)
    expect(await answer.text()).toBe(image.manifest)
  })

  test('If-None-Match', async () => {
    const url = `${registry.url}/v2/library/app/manifests/v1`
    expect((await get(url, { 'if-none-match': `"${image.digest}"` })).status).toBe(304)
  })

  test('an unknown tag, digest and repository are told apart', async () => {
    const code = async (path: string) => {
      const answer = await get(`${registry.url}/v2/${path}`)
      expect(answer.status).toBe(404)
      return codeOf(answer)
    }
    expect(await code('library/app/manifests/nope')).toBe('MANIFEST_UNKNOWN')
    expect(await code('library/app/manifests/.nope')).toBe('MANIFEST_UNKNOWN')
    expect(await code(`library/app/manifests/sha256:${'0'.repeat(64)}`)).toBe('MANIFEST_UNKNOWN')
    expect(await code('library/nope/manifests/v1')).toBe('NAME_UNKNOWN')
    expect(await code('library/nope/tags/list')).toBe('NAME_UNKNOWN')
    expect(await code('library/manifests/v1')).toBe('NAME_UNKNOWN')
  })
})

describe('tags', () => {
  const tags = Array.from({ length: 25 }, (_, index) => `t${String(index).padStart(2, '0')}`)
  beforeAll(async () => {
    for (const tag of tags) await pushImage(registry.url, 'many', tag)
  })
  const list = (query: string) => get(`${registry.url}/v2/many/tags/list${query}`)

  test('all, in order', async () => {
    const answer = await list('')
    expect(await answer.json()).toEqual({ name: 'many', tags })
    expect(answer.headers.has('link')).toBe(false)
  })

  test('page by page along the links', async () => {
    const seen: string[] = []
    let path: string | undefined = '/v2/many/tags/list?n=10'
    const sizes: number[] = []
    while (path !== undefined) {
      const answer: Response = await get(registry.url + path)
      const page = ((await answer.json()) as { tags: string[] }).tags
      sizes.push(page.length)
      seen.push(...page)
      path = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1]
    }
    expect(sizes).toEqual([10, 10, 5])
    expect(seen).toEqual(tags)
  })

  test('last is exclusive and need not exist; a full last page has no link', async () => {
    expect(((await (await list('?last=t22')).json()) as { tags: string[] }).tags).toEqual(['t23', 't24'])
    expect(((await (await list('?last=t22x')).json()) as { tags: string[] }).tags).toEqual(['t23', 't24'])
    expect((await list('?n=2&last=t22')).headers.has('link')).toBe(false)
    expect(await (await list('?n=0')).json()).toEqual({ name: 'many', tags: [] })
    expect(await (await list('?last=zzz')).json()).toEqual({ name: 'many', tags: [] })
  })

  test('a number of tags that is none is refused, a huge one is bounded', async () => {
    for (const n of ['-1', 'x', '1.5', '', '1e3', '9'.repeat(30)]) {
      const answer = await list(`?n=${n}`)
      expect(answer.status).toBe(400)
      expect(await codeOf(answer)).toBe('PAGINATION_NUMBER_INVALID')
    }
    expect((await list('?n=999999999')).status).toBe(200)
    expect((await list(`?last=${encodeURIComponent('../x')}`)).status).toBe(400)
  })
})

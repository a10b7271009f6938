/**
 * Goal: a manifest is one thing, of a bounded size and depth, wherever it comes from: pushed, published or mirrored.
 * Method: a seeder as a process, so that its memory can be read, and one in this process before a registry that lies.
 */
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sha256 } from '@shoal/testing/content'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type StubRegistry,
  startStubRegistry,
} from '../../packages/registry-client/src/testing/stub-registry.ts'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { filesBelow } from '../support/folder-files.ts'
import { buildImage, mediaTypes } from '../support/images.ts'
import { fileLayer } from '../support/layers.ts'
import { type LocalSeeder, startLocalSeeder } from '../support/local-services.ts'
import { pullImage, pushImage } from '../support/push.ts'
import { openRaw } from '../support/raw-http.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const TOKEN = 'the-token-of-these-tests'
const HOST = 'registry.test:5000'
const { oci, docker } = mediaTypes
const image = buildImage({ layers: [await fileLayer([{ path: 'a', content: 'manifests' }])] })
const config = { mediaType: oci.config, digest: image.config.digest, size: image.config.sizeBytes }
const layers = image.layers.map(({ digest, sizeBytes }) => ({
  mediaType: oci.layer,
  digest,
  size: sizeBytes,
}))
const entry = (digest: string, size = 1) => ({ mediaType: oci.manifest as string, digest, size })
const indexOf = (manifests: readonly object[]) => ({ schemaVersion: 2, mediaType: oci.index, manifests })
const NOBODY = `sha256:${'0'.repeat(64)}`

describe('a pushed manifest', () => {
  let cluster: Cluster
  let before: string[]
  beforeAll(async () => {
    cluster = await startCluster({ agents: 0 })
    await pushImage(cluster.seeder.url, 'team/app', '1', image)
    before = await filesBelow(cluster.origin)
  })
  afterAll(() => cluster?.stop())

  async function put(document: unknown, contentType: string = oci.manifest) {
    const body =
      typeof document === 'string' || document instanceof Uint8Array ? document : JSON.stringify(document)
    const answer = await fetch(`${cluster.seeder.url}/v2/team/app/manifests/bad`, {
      method: 'PUT',
      headers: { 'content-type': contentType },
      body: typeof body === 'string' ? body : Buffer.from(body),
    })
    const text = await answer.text()
    return { status: answer.status, code: JSON.parse(text || '{}').errors?.[0]?.code as string | undefined }
  }
  const invalid = { status: 400, code: 'MANIFEST_INVALID' }
  const nothingIsKept = async () => expect(await filesBelow(cluster.origin)).toEqual(before)

  it('of many megabytes is refused, announced or chunked, and costs no memory', async () => {
    const status = () => readFile(`/proc/${cluster.seeder.process.pid}/status`, 'utf8')
    const peakMb = async () => Number(/VmHWM:\s+(\d+) kB/.exec(await status())![1]) / 1024
    const peakBefore = await peakMb()
    const announced = openRaw(
      cluster.seeder.url,
      `PUT /v2/team/app/manifests/bad HTTP/1.1\r\nhost: x\r\ncontent-length: ${2 ** 40}\r\n\r\n`,
    )
    const megabyte = randomBytes(1024 * 1024)
    const chunk = Buffer.concat([Buffer.from('100000\r\n'), megabyte, Buffer.from('\r\n')])
    const flood = async () => {
      const raw = openRaw(
        cluster.seeder.url,
        `PUT /v2/team/app/manifests/bad HTTP/1.1\r\nhost: x\r\ncontent-type: ${oci.manifest}\r\ntransfer-encoding: chunked\r\n\r\n`,
      )
      for (let sent = 0; sent < 12 && !raw.socket.destroyed; sent++)
        await new Promise((resolve) => raw.socket.write(chunk, resolve))
      raw.write('0\r\n\r\n')
      await expect.poll(() => raw.text, { timeout: 10_000 }).toContain(' 413 ')
      raw.socket.destroy()
    }
    // 288 MB in all, one after the other: how much garbage many at once leave is the collector's mood.
    for (let round = 0; round < 24; round++) await flood()
    expect((await peakMb()) - peakBefore).toBeLessThan(64)
    await expect.poll(() => announced.text, { timeout: 10_000 }).toContain(' 413 ')
    announced.socket.destroy()
    await nothingIsKept()
  }, 60_000)

  it.each([
    [
      'a manifest with manifests',
      { schemaVersion: 2, mediaType: oci.manifest, config, layers, manifests: [] },
      oci.manifest,
    ],
    ['an index with layers', { ...indexOf([]), layers }, oci.index],
    ['an index with a configuration', { ...indexOf([]), config }, oci.index],
    [
      'both, without a media type of its own',
      { schemaVersion: 2, config, layers, manifests: [] },
      oci.manifest,
    ],
    [
      'both, as a Docker list',
      { schemaVersion: 2, mediaType: docker.index, manifests: [], layers },
      docker.index,
    ],
    [
      'layers of schema 1',
      { schemaVersion: 2, mediaType: oci.manifest, config, layers, fsLayers: [] },
      oci.manifest,
    ],
    ['schema 1', { schemaVersion: 1, name: 'a', tag: '1', fsLayers: [], history: [] }, oci.manifest],
    [
      'a manifest that came as an index',
      { schemaVersion: 2, mediaType: oci.manifest, config, layers },
      oci.index,
    ],
    ['an index that came as a manifest', indexOf([]), oci.manifest],
    [
      'an OCI manifest that came as Docker’s',
      { schemaVersion: 2, mediaType: oci.manifest, config, layers },
      docker.manifest,
    ],
    [
      'a media type that is a list',
      { schemaVersion: 2, mediaType: [oci.manifest], config, layers },
      oci.manifest,
    ],
    [
      'a media type with a line in it',
      { schemaVersion: 2, mediaType: 'a/b\r\nx: y', config, layers },
      'text/html',
    ],
    ['a page for a browser', '<script>alert(1)</script>', 'text/html'],
    ['a byte order mark', `\uFEFF${JSON.stringify(indexOf([]))}`, oci.index],
    ['no UTF-8', Buffer.from('{"schemaVersion":2,"x":"\xff"}', 'latin1'), oci.manifest],
    ['a list', '[]', oci.manifest],
    ['nothing', 'null', oci.manifest],
  ])('that is two things at once or none is refused: %s', async (_what, document, contentType) => {
    expect(await put(document, contentType)).toEqual(invalid)
    await nothingIsKept()
  })

  it('is given back as the media type that it is, whatever the client accepts', async () => {
    const answer = await fetch(`${cluster.seeder.url}/v2/team/app/manifests/1`, {
      headers: { accept: 'text/html' },
    })
    expect(answer.headers.get('content-type')).toBe(oci.manifest)
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
  })

  it('with 100,000 entries is refused: by its length, and where they are short by their number', async () => {
    const long = JSON.stringify(indexOf(Array.from({ length: 100_000 }, () => entry(NOBODY))))
    expect(await put(long, oci.index)).toEqual({ status: 413, code: 'MANIFEST_INVALID' })
    const short = `{"schemaVersion":2,"mediaType":"${oci.index}","manifests":[${'{},'.repeat(100_000)}{}]}`
    expect(short.length).toBeLessThan(4 * 1024 * 1024)
    expect(await put(short, oci.index)).toEqual(invalid)
    const most = JSON.stringify(indexOf(Array.from({ length: 20_000 }, () => entry(NOBODY))))
    expect(await put(most.slice(0, 4 * 1024 * 1024), oci.index)).toEqual(invalid)
    const manyLayers = {
      schemaVersion: 2,
      mediaType: oci.manifest,
      config,
      layers: Array(2_001).fill(layers[0]),
    }
    expect(await put(manyLayers)).toEqual(invalid)
    await nothingIsKept()
  })

  it.each([
    ['lists', '[', ']'],
    ['objects', '{"a":', '}'],
  ])('of a million nested %s is refused, and the seeder lives', async (_what, open, close) => {
    const depth = Math.floor(3_900_000 / (open.length + close.length))
    const nested = `${open.repeat(depth)}1${close.repeat(depth)}`
    expect((await put(nested)).status).toBe(400)
    const inside = `{"schemaVersion":2,"mediaType":"${oci.manifest}","config":${JSON.stringify(config)},"layers":[],"annotations":${nested}}`
    expect((await put(inside)).status).toBe(400)
    // What is not looked at may be of any shape.
    const ignored = inside.replace('"annotations"', '"unknown"')
    expect([201, 400]).toContain((await put(ignored)).status)
    expect((await fetch(`${cluster.seeder.url}/healthz`)).status).toBe(200)
    await fetch(`${cluster.seeder.url}/v2/team/app/manifests/bad`).then((answer) => answer.arrayBuffer())
  })

  it.each([
    ['a size below nothing', { ...config, size: -1 }],
    ['a size beyond all', { ...config, size: 1e300 }],
    ['a size in words', { ...config, size: '5' }],
    ['a digest that is a path', { ...config, digest: 'sha256:../../keys/tag-signing' }],
    ['a digest of another kind', { ...config, digest: `md5:${'0'.repeat(32)}` }],
    ['no digest', { mediaType: oci.config, size: 1 }],
  ])('whose descriptor has %s is refused', async (_what, wrong) => {
    expect(await put({ schemaVersion: 2, mediaType: oci.manifest, config: wrong, layers })).toEqual(invalid)
    expect(await put({ schemaVersion: 2, mediaType: oci.manifest, config, layers: [wrong] })).toEqual(invalid)
    expect(await put(indexOf([wrong]), oci.index)).toEqual(invalid)
    expect(await put({ schemaVersion: 2, mediaType: oci.manifest, config, layers, subject: wrong })).toEqual(
      invalid,
    )
  })

  it('that lies about the length of its configuration or of a layer is refused, wherever it says it', async () => {
    const [layer] = layers
    const longer = (descriptor: { size: number }) => ({ ...descriptor, size: descriptor.size + 1 })
    const manifest = { schemaVersion: 2, mediaType: oci.manifest, config, layers }
    expect(await put({ ...manifest, config: longer(config) })).toEqual(invalid)
    expect(await put({ ...manifest, layers: [longer(layer!)] })).toEqual(invalid)
    expect(await put({ ...manifest, layers: [layer, longer(layer!)] })).toEqual(invalid)
    // What lies elsewhere cannot be looked at.
    const foreign = { ...longer(layer!), urls: ['https://elsewhere.example/layer'] }
    expect((await put({ ...manifest, layers: [layer, foreign] })).status).toBe(201)
  })

  it('does not poison what has nothing to do with it through __proto__', async () => {
    const text = `{"__proto__":{"mediaType":"${oci.index}","manifests":[]},"schemaVersion":2,"constructor":{"prototype":{"x":1}},"config":${JSON.stringify(config)},"layers":${JSON.stringify(layers)}}`
    expect((await put(text)).status).toBe(201)
    expect((await pullImage(cluster.seeder.url, 'team/app', '1')).digest).toBe(image.manifest.digest)
  })
})

describe('a manifest of another registry', () => {
  let upstream: StubRegistry
  let seeder: LocalSeeder
  beforeAll(async () => {
    upstream = await startStubRegistry()
    seeder = await startLocalSeeder({ upstreams: `${HOST}=${upstream.url}`, upstreamTagTtlMs: 0 })
  })
  afterAll(async () => {
    await seeder?.stop()
    await upstream?.[Symbol.asyncDispose]()
  })

  /** Puts a document where the registry keeps its manifests, under any name. */
  function serve(reference: string, document: unknown, mediaType: string = oci.index) {
    const bytes = Buffer.from(typeof document === 'string' ? document : JSON.stringify(document))
    upstream.content.set(`/v2/team/app/manifests/${reference}`, { bytes, mediaType })
    return sha256(bytes)
  }
  const mirrored = (reference: string) => fetch(`${seeder.url}/v2/team/app/manifests/${reference}?ns=${HOST}`)
  const resolved = (reference: string) => {
    const repository = 'registry.test_5000/team/app'
    const query = new URLSearchParams({
      repository,
      reference,
      platform: 'linux/amd64',
      peerId: 'ab'.repeat(20),
    })
    return fetch(`${seeder.url}/api/v1/resolve?${query}`)
  }

  it('that says it contains itself is refused where it lies, and ends where it does not', async () => {
    // Under its own digest lies an index that names the first one: no bytes have that digest.
    const outer = indexOf([{ ...entry(NOBODY, 100), platform: { os: 'linux', architecture: 'amd64' } }])
    const digest = serve('loop', outer)
    serve(digest, outer)
    serve(NOBODY, outer)
    expect((await mirrored(NOBODY)).status).toBe(404)
    expect((await mirrored('loop')).headers.get('docker-content-digest')).toBe(digest)
    const asked = upstream.seen.length
    expect([200, 404]).toContain((await resolved('loop')).status)
    expect(upstream.seen.length - asked).toBeLessThan(10)
  })

  it.each([
    ['both layers and manifests', { ...indexOf([]), layers }, oci.index],
    ['another media type than its header', indexOf([]), oci.manifest],
    ['a page of a browser', '<html></html>', 'text/html'],
    [
      'more entries than there may be',
      indexOf(Array.from({ length: 10_001 }, () => entry(NOBODY))),
      oci.index,
    ],
    ['more bytes than there may be', `{"schemaVersion":2,"x":"${'x'.repeat(5_000_000)}"}`, oci.index],
  ])('with %s is a miss, and nothing of it is kept', async (what, document, mediaType) => {
    const reference = what.replaceAll(' ', '-')
    const digest = serve(reference, document, mediaType)
    serve(digest, document, mediaType)
    const before = await filesBelow(seeder.origin)
    for (const name of [reference, digest]) {
      expect((await mirrored(name)).status, name).toBe(404)
      expect((await resolved(name)).status, name).toBe(404)
    }
    expect(await filesBelow(seeder.origin)).toEqual(before)
  })

  it('with other bytes than those of its digest is a miss', async () => {
    const digest = sha256(JSON.stringify(indexOf([])))
    serve(digest, { ...indexOf([]), annotations: { evil: 'yes' } })
    expect((await mirrored(digest)).status).toBe(404)
    // The header is the registry's word; the bytes decide.
    upstream.overrides.set('/v2/team/app/manifests/lie', (_request, response) => {
      response.writeHead(200, { 'content-type': oci.index, 'docker-content-digest': digest })
      response.end(JSON.stringify({ ...indexOf([]), annotations: { evil: 'yes' } }))
    })
    expect((await mirrored('lie')).status).toBe(404)
  })
})

describe('publishing', () => {
  it('indexes within indexes ends, and what it holds of them is bounded', async () => {
    await using upstream = await startStubRegistry()
    await using folder = await temporaryFolder('token')
    const tokenFile = join(folder.path, 'token')
    await writeFile(tokenFile, TOKEN)
    await using seeder = await startLocalSeeder({
      upstreams: `${HOST}=${upstream.url}`,
      apiTokenFile: tokenFile,
    })
    const serve = (document: object, tag?: string) => {
      const bytes = Buffer.from(JSON.stringify(document))
      const digest = sha256(bytes)
      for (const name of [digest, ...(tag === undefined ? [] : [tag])])
        upstream.content.set(`/v2/team/app/manifests/${name}`, { bytes, mediaType: oci.index })
      return entry(digest, bytes.length)
    }
    const publish = async (tag: string) => {
      const answer = await fetch(`${seeder.url}/api/v1/publish`, {
        method: 'POST',
        headers: { authorization: `Bearer ${TOKEN}` },
        body: JSON.stringify({ references: [`${HOST}/team/app:${tag}`], wait: true }),
      })
      const lines = (await answer.text()).split('\n').filter((line) => line !== '')
      return lines
        .map((line) => JSON.parse(line))
        .find(({ type }) => type === 'failed' || type === 'published')
    }
    const before = await filesBelow(seeder.origin)
    let deep = serve(indexOf([]))
    for (let level = 0; level < 8; level++)
      deep = { ...serve(indexOf([{ ...deep, mediaType: oci.index }])), mediaType: oci.index }
    serve(indexOf([deep]), 'deep')
    expect(await publish('deep')).toMatchObject({ type: 'failed', code: 'PUBLISH_TOO_DEEP' })
    const many = Array.from({ length: 2_500 }, (_, n) =>
      serve({ ...indexOf([]), annotations: { n: `${n}` } }),
    )
    serve(indexOf(many), 'wide')
    expect(await publish('wide')).toMatchObject({ type: 'failed', code: 'PUBLISH_TOO_LARGE' })
    expect(await filesBelow(seeder.origin)).toEqual(before)
    // The same one many times over is one.
    const one = serve(indexOf([]))
    const twins = Array.from({ length: 50 }, (_, n) =>
      serve({ ...indexOf([one]), annotations: { n: `${n}` } }),
    )
    serve(indexOf(twins), 'diamond')
    const asked = upstream.seen.length
    expect(await publish('diamond')).toMatchObject({ type: 'published' })
    expect(upstream.seen.length - asked).toBeLessThan(60)
  }, 60_000)
})

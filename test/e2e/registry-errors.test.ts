/**
 * Goal: bad input gets its OCI error and status on both faces, and nothing half-written stays. Method: real services, a raw
 * socket where a client would not send such a thing, and a look into the origin's folder afterwards.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { request } from 'undici'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Cluster, type Node, startCluster } from '../support/cluster.ts'
import { buildImage, mediaTypes } from '../support/images.ts'
import { randomLayer } from '../support/layers.ts'
import { pushImage } from '../support/push.ts'

let cluster: Cluster
let before: string[]
const NOBODY = `sha256:${'0'.repeat(64)}`

beforeAll(async () => {
  cluster = await startCluster({ agents: 1 })
  const layer = await randomLayer({ contentBytes: 100_000, seed: 'errors' })
  await pushImage(cluster.seeder.url, 'team/app', '1', buildImage({ layers: [layer] }))
  before = await filesOfOrigin()
})
afterAll(() => cluster.stop())

async function filesOfOrigin(): Promise<string[]> {
  const entries = await readdir(cluster.origin, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted()
}

interface Refusal {
  readonly status: number
  readonly code: string | undefined
}

async function refusal(
  node: Node,
  path: string,
  options: Parameters<typeof request>[1] = {},
): Promise<Refusal> {
  const answer = await request(`${node.url}${path}`, options)
  const body = (await answer.body.text()) || '{}'
  return { status: answer.statusCode, code: JSON.parse(body).errors?.[0]?.code }
}

/** What a client would clean up on the way: the path as it is written. */
async function rawStatus(node: Node, path: string): Promise<number> {
  const [host, port] = node.host.split(':')
  const socket = connect(Number(port), host)
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
  let text = ''
  socket.on('data', (bytes) => {
    text += bytes
  })
  await once(socket, 'close')
  return Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1])
}

const faces = () => [cluster.seeder, cluster.agents[0]!]

describe('both faces', () => {
  it.each([
    ['an unknown repository', '/v2/team/nobody/manifests/1', 404, 'NAME_UNKNOWN'],
    ['an unknown tag', '/v2/team/app/manifests/2', 404, 'MANIFEST_UNKNOWN'],
    ['an unknown manifest', `/v2/team/app/manifests/${NOBODY}`, 404, 'MANIFEST_UNKNOWN'],
    ['an unknown blob', `/v2/team/app/blobs/${NOBODY}`, 404, 'BLOB_UNKNOWN'],
    ['a digest that is none', '/v2/team/app/blobs/sha256:abc', 400, 'DIGEST_INVALID'],
    ['a name in capitals', '/v2/Team/app/manifests/1', 400, 'NAME_INVALID'],
  ])('refuse %s', async (_what, path, status, code) => {
    // An agent knows the repository once it was pulled from.
    await request(`${cluster.agents[0]!.url}/v2/team/app/manifests/1`).then(({ body }) => body.dump())
    for (const node of faces()) expect(await refusal(node, path)).toEqual({ status, code })
  })

  it.each([
    '/v2/../x/manifests/1',
    '/v2/a/../../x/blobs/uploads/',
    '/v2/%2e%2e/x/manifests/1',
    '/v2/a%2f..%2fb/manifests/1',
    '/v2/a%00b/manifests/1',
  ])('refuse the path %s', async (path) => {
    for (const node of faces()) expect([400, 404]).toContain(await rawStatus(node, path))
  })
})

describe('an agent', () => {
  it('cannot be pushed to', async () => {
    const [agent] = cluster.agents
    const answer = await refusal(agent!, '/v2/team/app/blobs/uploads/', { method: 'POST' })
    expect(answer).toEqual({ status: 405, code: 'UNSUPPORTED' })
  })
})

describe('the seeder', () => {
  async function beginUpload(): Promise<URL> {
    const answer = await request(`${cluster.seeder.url}/v2/team/app/blobs/uploads/`, { method: 'POST' })
    await answer.body.dump()
    expect(answer.statusCode).toBe(202)
    return new URL(String(answer.headers.location), cluster.seeder.url)
  }

  it('keeps nothing of an upload with a wrong digest', async () => {
    const upload = await beginUpload()
    upload.searchParams.set('digest', NOBODY)
    const answer = await refusal(cluster.seeder, upload.pathname + upload.search, {
      method: 'PUT',
      body: randomBytes(1_000_000),
    })
    expect(answer).toEqual({ status: 400, code: 'DIGEST_INVALID' })
    expect(await filesOfOrigin()).toEqual(before)
  })

  it('keeps nothing of an upload that was cut, once it is cancelled', async () => {
    const upload = await beginUpload()
    const [host, port] = cluster.seeder.host.split(':')
    const socket = connect(Number(port), host)
    socket.on('error', () => {})
    socket.write(
      `PATCH ${upload.pathname}${upload.search} HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n`,
    )
    socket.write(randomBytes(1_000_000), () => socket.destroy())
    await once(socket, 'close')
    expect(await refusal(cluster.seeder, `/v2/team/app/blobs/${NOBODY}`)).toMatchObject({ status: 404 })
    await expect
      .poll(async () => (await request(upload, { method: 'DELETE' })).statusCode, { timeout: 10_000 })
      .toBe(204)
    await expect.poll(filesOfOrigin, { timeout: 10_000 }).toEqual(before)
  })

  const putManifest = (bytes: Uint8Array): Promise<Refusal> =>
    refusal(cluster.seeder, '/v2/team/app/manifests/bad', {
      method: 'PUT',
      headers: { 'content-type': mediaTypes.oci.manifest },
      body: bytes,
    })

  it('refuses a manifest of 10 MB', async () => {
    expect(await putManifest(Buffer.alloc(10_000_000, 0x20))).toEqual({
      status: 413,
      code: 'MANIFEST_INVALID',
    })
  })

  it('refuses a manifest that names a missing blob', async () => {
    const image = buildImage({ layers: [await randomLayer({ contentBytes: 1_000, seed: 'never pushed' })] })
    expect(await putManifest(image.manifest.bytes)).toEqual({ status: 400, code: 'MANIFEST_BLOB_UNKNOWN' })
    expect(await refusal(cluster.seeder, '/v2/team/app/manifests/bad')).toEqual({
      status: 404,
      code: 'MANIFEST_UNKNOWN',
    })
    expect(await filesOfOrigin()).toEqual(before)
  })
})

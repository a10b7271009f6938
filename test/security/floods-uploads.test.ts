/**
 * Goal: whoever sits on uploads, bodies or answers keeps nobody else out, and what they cost is bounded for all and for each
 * address: little work for the sender is little work for us.
 * Method: sockets that send or read next to nothing, from several loopback addresses; then a push or a pull that must be
 * served at its first attempt. What is held is counted where it is held: in the origin's folder, or in a backend that counts.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import type { ImageStore, RegistryBackend } from '@shoal/registry'
import { patternBytes, sha256 } from '@shoal/testing/content'
import { MapObjectStore } from '@shoal/testing/map-object-store'
import { afterEach, describe, expect, it } from 'vitest'
import {
  pushBlob as pushQuickly,
  type RegistryServer,
  startRegistry,
} from '../../packages/registry/src/testing/registry-server.ts'
import { filesBelow } from '../support/folder-files.ts'
import { memoryBlob } from '../support/layers.ts'
import { startLocalSeeder } from '../support/local-services.ts'
import { pullBlob, pushBlob } from '../support/push.ts'
import { openRaw, type RawExchange } from '../support/raw-http.ts'

const open: RawExchange[] = []
let registry: RegistryServer | undefined
afterEach(async () => {
  for (const { socket } of open.splice(0)) socket.destroy()
  await registry?.close()
  registry = undefined
})

async function begin(url: string): Promise<string> {
  const begun = await fetch(`${url}/v2/evil/app/blobs/uploads/`, { method: 'POST' })
  expect(begun.status).toBe(202)
  return begun.headers.get('location')!
}

/** A PATCH that sends a byte, and another now and then. */
async function slowUpload(url: string, from: string): Promise<RawExchange> {
  const head = `PATCH ${await begin(url)} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n`
  const exchange = openRaw(url, `${head}1\r\nx\r\n`, from)
  const drip = setInterval(() => exchange.write('1\r\nx\r\n'), 200)
  exchange.socket.once('close', () => clearInterval(drip))
  open.push(exchange)
  await once(exchange.socket, 'connect')
  return exchange
}

/** A blob that is asked for and not read. */
function unreadBlob(url: string, digest: string, from?: string): RawExchange {
  const exchange = openRaw(url, `GET /v2/some/app/blobs/${digest} HTTP/1.1\r\nhost: x\r\n\r\n`, from)
  exchange.socket.pause()
  open.push(exchange)
  return exchange
}

/** Counts how many of a backend's works go on at a time. */
function counted(): { now: number; most: number; run<T>(work: () => Promise<T>): Promise<T> } {
  const count = {
    now: 0,
    most: 0,
    async run<T>(work: () => Promise<T>): Promise<T> {
      count.most = Math.max(count.most, ++count.now)
      try {
        return await work()
      } finally {
        count.now--
      }
    },
  }
  return count
}

function withBackend(images: ImageStore, changed: Partial<RegistryBackend>): RegistryBackend {
  return {
    tags: (name, page) => images.tags(name, page),
    hasRepository: (name) => images.hasRepository(name),
    manifest: (name, reference) => images.manifest(name, reference),
    blobStat: (name, digest, purpose) => images.blobStat(name, digest, purpose),
    readBlob: (...args) => images.readBlob(...args),
    referrers: (name, subject, query) => images.referrers(name, subject, query),
    push: images.push,
    ...changed,
  }
}

describe('uploads that send a byte now and then', () => {
  it.each([
    ['one address, from which the push comes too', ['127.0.0.1']],
    ['another address', ['127.0.0.2']],
    ['several addresses', ['127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5']],
  ])(
    'in every place, from %s, keep no push out',
    async (_which, addresses) => {
      await using seeder = await startLocalSeeder()
      const layers = Array.from({ length: 4 }, () => memoryBlob(randomBytes(500_000)))
      const slow = []
      for (let i = 0; i < 200; i++) slow.push(await slowUpload(seeder.url, addresses[i % addresses.length]!))
      for (const layer of layers) {
        await pushBlob(seeder.url, 'good/app', layer)
        expect((await pullBlob(seeder.url, 'good/app', layer.digest)).sizeBytes).toBe(layer.sizeBytes)
      }
    },
    60_000,
  )

  it('are told why, and what they sent stays', async () => {
    registry = await startRegistry({ plugin: { uploadPlaces: { placesMax: 1, stallMs: 200 } } })
    const upload = await begin(registry.url)
    const head = `PATCH ${upload} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n`
    const slow = openRaw(registry.url, `${head}12345`)
    open.push(slow)
    await expect.poll(async () => range(upload)).toBe('0-4')
    await pushQuickly(registry.url, 'good/app', patternBytes(300_000))
    await expect.poll(() => slow.text, { timeout: 10_000 }).toContain('429 Too Many Requests')
    expect(slow.text).toContain('TOOMANYREQUESTS')
    expect(await range(upload)).toBe('0-4')
  })

  it('are cut after a while where nobody else comes, and a slow line is not', async () => {
    registry = await startRegistry({ plugin: { idleTimeoutMs: 1_000 } })
    const { url } = registry
    const post = `POST /v2/slow/a/blobs/uploads/?digest=sha256:${'0'.repeat(64)} HTTP/1.1\r\nhost: x\r\n`
    const sending = (bytes: number) => {
      const exchange = openRaw(url, `${post}content-length: 40000\r\n\r\n`)
      const drip = setInterval(() => exchange.write(Buffer.alloc(bytes)), 50)
      exchange.socket.once('close', () => clearInterval(drip))
      open.push(exchange)
      return exchange
    }
    // 400 bytes a second, and 10,000.
    const tooSlow = sending(20)
    const slow = sending(500)
    await tooSlow.closed(10_000)
    await expect.poll(() => slow.text, { timeout: 15_000 }).toContain('DIGEST_INVALID')
  }, 30_000)

  it('a byte a chunk are written in larger ones, whole', async () => {
    class CountingObjectStore extends MapObjectStore {
      writes = 0
      override async createWriter(key: string) {
        const writer = await super.createWriter(key)
        const write = (chunk: Uint8Array) => {
          this.writes++
          return writer.write(chunk)
        }
        return Object.assign(Object.create(writer), { write })
      }
    }
    const objects = new CountingObjectStore()
    registry = await startRegistry({ parts: { objects } })
    const bytes = patternBytes(20_000)
    const digest = sha256(bytes)
    const head = `POST /v2/some/app/blobs/uploads/?digest=${digest} HTTP/1.1\r\nhost: x\r\n`
    const crumbs = [...bytes].map((byte) => Buffer.from([0x31, 13, 10, byte, 13, 10]))
    const end = Buffer.from('0\r\n\r\n')
    const exchange = openRaw(
      registry.url,
      Buffer.concat([Buffer.from(`${head}transfer-encoding: chunked\r\n\r\n`), ...crumbs, end]),
    )
    open.push(exchange)
    await expect.poll(() => exchange.text, { timeout: 10_000 }).toContain('201 Created')
    expect(objects.writes).toBeLessThan(bytes.length / 10)
  })

  async function range(upload: string): Promise<string | null> {
    return (await fetch(new URL(upload, registry!.url))).headers.get('range')
  }
})

describe('uploads that were begun and left', () => {
  it('leave no more records in the origin than one address may have', async () => {
    await using seeder = await startLocalSeeder()
    const uploads: string[] = []
    for (let i = 0; i < 28; i++)
      uploads.push(...(await Promise.all(Array.from({ length: 40 }, () => begin(seeder.url)))))
    const records = async () => (await filesBelow(join(seeder.origin, 'uploads'))).length
    await expect.poll(records, { timeout: 10_000 }).toBeLessThanOrEqual(1_024)
    const ask = async (upload: string) => (await fetch(new URL(upload, seeder.url))).status
    expect(await ask(uploads[0]!)).toBe(404)
    expect(await ask(uploads.at(-1)!)).toBe(204)
  }, 60_000)

  it('go before those of others, the idlest first, with what they had in the store', async () => {
    registry = await startRegistry({ limits: { uploadsRestingMax: 6, uploadsRestingPerAddressMax: 4 } })
    const { url, objects } = registry
    const beginFrom = async (from: string) => {
      const exchange = openRaw(
        url,
        'POST /v2/evil/app/blobs/uploads/ HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n',
        from,
      )
      open.push(exchange)
      await expect.poll(() => exchange.text).toContain('202 Accepted')
      return /location: (\S+)/i.exec(exchange.text)![1]!
    }
    const theirs = await beginFrom('127.0.0.9')
    const ours: string[] = []
    for (let i = 0; i < 4; i++) ours.push(await beginFrom('127.0.0.1'))
    const patched = await fetch(new URL(ours[0]!, url), { method: 'PATCH', body: 'beginning' })
    expect(patched.status).toBe(202)
    for (let i = 0; i < 4; i++) ours.push(await beginFrom('127.0.0.1'))
    await expect.poll(() => objects.keys('uploads/').length).toBe(5)
    expect(objects.checkpoints).toBe(0)
    const gone = await fetch(new URL(ours[0]!, url), { method: 'PATCH', body: 'rest' })
    expect(gone.status).toBe(404)
    expect(await gone.text()).toContain('BLOB_UPLOAD_UNKNOWN')
    expect((await fetch(new URL(theirs, url))).status).toBe(204)
    expect((await fetch(new URL(ours.at(-1)!, url))).status).toBe(204)
  })
})

describe('what is held for bodies', () => {
  it('of manifests is so many at a time', async () => {
    const puts = counted()
    const release = Promise.withResolvers<void>()
    registry = await startRegistry({
      backend: (images) =>
        withBackend(images, {
          push: Object.assign(Object.create(images), {
            putManifest: () =>
              puts.run(() => release.promise.then(() => Promise.reject(new Error('enough')))),
          }),
        }),
    })
    const { url } = registry
    const answers = Array.from({ length: 100 }, () =>
      fetch(`${url}/v2/evil/app/manifests/1`, { method: 'PUT', body: Buffer.alloc(500_000, ' ') }),
    )
    let refused = 0
    const count = async (answer: Promise<Response>) => {
      if ((await answer).status === 429) refused++
    }
    const statuses = Promise.all(answers.map(count))
    await expect.poll(() => puts.now, { timeout: 10_000 }).toBe(12)
    await expect.poll(() => refused, { timeout: 15_000 }).toBe(88)
    release.resolve()
    await statuses
    expect(puts.most).toBe(12)
  }, 30_000)

  it('of blobs that are asked for and not read is so many at a time, and who reads is served', async () => {
    const reads = counted()
    registry = await startRegistry({
      plugin: { blobPlaces: { placesMax: 12, placesPerAddressMax: 8, stallMs: 2_000 } },
      backend: (images) =>
        withBackend(images, {
          async *readBlob(...args) {
            const end = Promise.withResolvers<void>()
            void reads.run(() => end.promise)
            try {
              yield* images.readBlob(...args)
            } finally {
              end.resolve()
            }
          },
        }),
    })
    const { url } = registry
    const digest = await pushQuickly(url, 'some/app', patternBytes(16 * 1024 * 1024))
    for (const from of ['127.0.0.1', '127.0.0.2']) for (let i = 0; i < 40; i++) unreadBlob(url, digest, from)
    await expect.poll(() => reads.now).toBe(12)
    for (let i = 0; i < 3; i++)
      expect((await pullBlob(url, 'some/app', digest)).sizeBytes).toBe(16 * 1024 * 1024)
    // Those that have a place, and those that are just losing one.
    expect(reads.most).toBeLessThanOrEqual(24)
  }, 60_000)
})

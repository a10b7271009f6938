/**
 * Goal: S3 does what a folder does, garbage collection beside pushes included.
 * Method: the one contract of object stores, and the model of garbage collection, on a real Ceph.
 */
import { randomBytes } from 'node:crypto'
import { createPrng } from '@shoal/core'
import { openObjectStore, readWhole } from '@shoal/storage'
import { request } from 'undici'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { runGarbageModel } from '../../packages/registry/src/testing/garbage-model.ts'
import type { S3ObjectStore } from '../../packages/storage/src/s3-object-store.ts'
import { S3Writer } from '../../packages/storage/src/s3-writer.ts'
import { objectStoreContract } from '../../packages/storage/src/testing/object-store-contract.ts'
import { type CephRgw, startCephRgw } from '../support/ceph-rgw.ts'
import { describeWith } from '../support/describe-with.ts'

describeWith(['ceph-rgw'], 'S3', () => {
  let ceph: CephRgw
  const before = new Map<string, string | undefined>()
  beforeAll(async () => {
    ceph = await startCephRgw()
    // The SDK's default chain of credentials begins with these.
    for (const [name, value] of Object.entries(ceph.environment)) {
      before.set(name, process.env[name])
      process.env[name] = value
    }
  })
  afterAll(async () => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
    await ceph.stop()
  })

  async function open(bucket: string) {
    await ceph.createBucket(bucket)
    const store = await openObjectStore({
      kind: 's3',
      bucket,
      prefix: 'some/prefix',
      endpoint: ceph.endpoint,
      region: ceph.region,
      forcePathStyle: true,
    })
    await store.start()
    return { store, close: () => store.stop() }
  }

  objectStoreContract('Ceph', () => open('contract'), { modelRuns: 10 })

  it('gives URLs that let their bearer read, ranges too, and nobody else', async () => {
    const { store, close } = await open('presigned')
    await store.put('a/b', Buffer.from('abcdef'))
    const url = (await store.presign('a/b', 60))!
    const answer = await request(url, { headers: { range: 'bytes=2-3' } })
    expect(answer.statusCode).toBe(206)
    expect(await answer.body.text()).toBe('cd')
    const without = await request(url.split('?')[0]!)
    await without.body.dump()
    expect(without.statusCode).toBe(403)
    await close()
  })

  it('takes an object that outgrows its parts, copied into longer ones', async () => {
    const { store, close } = await open('outgrown')
    const [partBytes, longPartBytes] = [5 * 1024 ** 2, 10 * 1024 ** 2]
    const plan = { partBytes, longPartBytes, partsMax: 3, completeTimeoutMs: 60_000 }
    const writer = new S3Writer({ ...(store as S3ObjectStore).writerParts('content/long'), plan })
    const bytes = randomBytes(27_000_000)
    for (let offset = 0; offset < bytes.length; offset += 1_000_000)
      await writer.write(bytes.subarray(offset, offset + 1_000_000))
    await writer.complete()
    const object = await store.read('content/long')
    expect(bytes.equals(Buffer.from(await readWhole('content/long', object!, bytes.length)))).toBe(true)
    await close()
  })

  it('keeps what pushes in flight need while garbage is collected', { timeout: 120_000 }, async () => {
    const { store, close } = await open('garbage')
    const run = await runGarbageModel({ store, prng: createPrng(20_261_121), rounds: 3, opsPerRound: 5 })
    expect(run.removedBlobs).toBeGreaterThan(0)
    await close()
  })

  it('says which bucket cannot be used', async () => {
    const store = await openObjectStore({
      kind: 's3',
      bucket: 'missing',
      prefix: '',
      endpoint: ceph.endpoint,
      region: ceph.region,
      forcePathStyle: true,
    })
    await expect(store.start()).rejects.toThrow(/s3:\/\/missing\//)
    await store.stop()
  })
})

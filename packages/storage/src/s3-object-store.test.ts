/**
 * Goal: on a store that is slow, loses answers, refuses, or is stricter than S3, what was written is written, what was refused is
 * told as it is, and a store that cannot keep writers apart is not used. Method: a stub that does what a test says
 * (`testing/s3-stub.ts`); the contract of all stores runs on it as it does on a real Ceph in test/e2e.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  StorageFullError,
  StorageRefusedError,
  StorageUnavailableError,
  StorageUnconditionalError,
} from './errors.ts'
import type { ObjectStore, ObjectWriter } from './object-store.ts'
import { readWhole } from './read-whole.ts'
import type { S3ObjectStore } from './s3-object-store.ts'
import { type PartPlan, S3Writer } from './s3-writer.ts'
import { objectStoreContract } from './testing/object-store-contract.ts'
import { S3Stub, type StubFault, type StubRequest } from './testing/s3-stub.ts'

interface NodeHttpHandler {
  httpHandlerConfigs(): { readonly socketTimeout?: number }
}

const MIB = 1024 * 1024

objectStoreContract('S3, as a stub has it,', async () => {
  const stub = new S3Stub()
  await stub.start()
  const store = stub.store()
  await store.start()
  return {
    store,
    async close() {
      await store.stop()
      await stub.stop()
    },
  }
})

let stub: S3Stub
let store: S3ObjectStore
beforeEach(async () => {
  stub = new S3Stub()
  await stub.start()
  store = stub.store()
})
afterEach(async () => {
  await store.stop()
  await stub.stop()
})

async function content(from: ObjectStore, key: string): Promise<Buffer | undefined> {
  const object = await from.read(key)
  return object && Buffer.from(await readWhole(key, object, Number.POSITIVE_INFINITY))
}

/** The first request of this operation, or the first so many. */
function once(
  operation: string,
  fault: StubFault,
  times = 1,
): (request: StubRequest) => StubFault | undefined {
  let left = times
  return (request) => (request.operation === operation && left-- > 0 ? fault : undefined)
}

describe('a bucket is tried at the start', () => {
  it('and used where conditions are honoured; nothing of the trial stays', async () => {
    await store.start()
    expect([...stub.objects.keys()]).toEqual([])
    expect(stub.requests.length).toBeLessThanOrEqual(8)
  })

  it('by several seeders at once', async () => {
    const others = [stub.store(), stub.store(), stub.store()]
    await Promise.all([store, ...others].map((one) => one.start()))
    expect([...stub.objects.keys()]).toEqual([])
    await Promise.all(others.map((one) => one.stop()))
  })

  it.each([
    ['If-None-Match', { ifNoneMatch: false, ifMatch: true }],
    ['If-Match', { ifNoneMatch: true, ifMatch: false }],
    ['If-None-Match', { ifNoneMatch: false, ifMatch: false }],
  ])('and refused where %s is ignored', async (header, honours) => {
    stub.honours = honours
    await expect(store.start()).rejects.toThrow(StorageUnconditionalError)
    await expect(store.start()).rejects.toThrow(header)
    expect([...stub.objects.keys()]).toEqual([])
  })

  it('and refused where it has never heard of conditions', async () => {
    stub.fault = ({ headers }) =>
      headers['if-none-match'] === undefined
        ? undefined
        : { kind: 'refuse', status: 501, code: 'NotImplemented' }
    await expect(store.start()).rejects.toThrow(StorageUnconditionalError)
  })

  it('and used where nothing can be written now: images can be read', async () => {
    stub.fault = ({ operation }) =>
      operation === 'PutObject' ? { kind: 'refuse', status: 403, code: 'QuotaExceeded' } : undefined
    await store.start()
  })

  it('and cleared of what a seeder that was killed has left', async () => {
    stub.objects.set(`some/prefix/probes/${Date.now() - 4_000_000}-x`, {
      bytes: Buffer.from('1'),
      etag: '"1"',
      metadata: {},
    })
    await store.start()
    expect([...stub.objects.keys()]).toEqual([])
  })
})

describe('an answer that is lost', () => {
  it('of a first write is no other writer', async () => {
    stub.fault = once('PutObject', { kind: 'lose-answer' })
    const outcome = await store.put('a', Buffer.from('mine'), { ifAbsent: true })
    expect(outcome).toEqual({ kind: 'stored', etag: (await store.stat('a'))?.etag })
    expect(await store.put('a', Buffer.from('mine'), { ifAbsent: true })).toEqual({
      kind: 'precondition-failed',
    })
  })

  it('of a replacement is no other writer', async () => {
    const first = await store.put('a', Buffer.from('1'))
    stub.fault = once('PutObject', { kind: 'lose-answer' })
    const ifMatch = first.kind === 'stored' ? first.etag : ''
    expect((await store.put('a', Buffer.from('2'), { ifMatch })).kind).toBe('stored')
    expect((await content(store, 'a'))?.toString()).toBe('2')
  })

  it('of a race is told from the other writer’s object, even of the same bytes', async () => {
    const other = stub.store()
    let isFirst = true
    stub.fault = ({ operation }) => {
      if (operation !== 'PutObject' || !isFirst) return undefined
      isFirst = false
      // Nothing of it is done: the other is first.
      return { kind: 'refuse', status: 503, code: 'SlowDown' }
    }
    const racing = store.put('a', Buffer.from('same'), { ifAbsent: true })
    await expect.poll(() => isFirst).toBe(false)
    const theirs = await other.put('a', Buffer.from('same'), { ifAbsent: true })
    const outcomes = [(await racing).kind, theirs.kind]
    expect(outcomes.toSorted()).toEqual(['precondition-failed', 'stored'])
    await other.stop()
  })

  it('again and again is settled by a look', async () => {
    stub.fault = ({ operation }) => (operation === 'PutObject' ? { kind: 'lose-answer' } : undefined)
    expect((await store.put('a', Buffer.from('x'))).kind).toBe('stored')
  }, 20_000)

  it('of a removal is a removal', async () => {
    const put = await store.put('a', Buffer.from('1'))
    stub.fault = once('DeleteObject', { kind: 'lose-answer' })
    expect(await store.deleteIf('a', put.kind === 'stored' ? put.etag : '')).toBe(true)
    await store.put('b', Buffer.from('1'))
    stub.fault = ({ operation }) => (operation === 'DeleteObject' ? { kind: 'lose-answer' } : undefined)
    await store.delete('b')
    expect(stub.objects.size).toBe(0)
  }, 20_000)

  it('of a completion is settled by a look, and so is a completion that has failed halfway', async () => {
    const faults: StubFault[] = [
      { kind: 'lose-answer' },
      { kind: 'refuse', status: 500, code: 'InternalError' },
      { kind: 'refuse', status: 409, code: 'OperationAborted' },
    ]
    for (const fault of faults) {
      const bytes = randomBytes(9 * MIB)
      const writer = await store.createWriter('content/1')
      await writer.write(bytes)
      stub.fault = once('CompleteMultipartUpload', fault)
      await writer.complete()
      expect((await content(store, 'content/1'))?.equals(bytes)).toBe(true)
      expect(stub.uploads.size).toBe(0)
    }
  })

  it('of an abort is an abort', async () => {
    const writer = await store.createWriter('content/1')
    await writer.write(Buffer.alloc(9 * MIB))
    stub.fault = once('AbortMultipartUpload', { kind: 'lose-answer' })
    await writer.abort()
    expect(stub.uploads.size).toBe(0)
  })
})

it('a completion may take minutes, unlike everything else', async () => {
  const { client, patientClient } = store.writerParts('content/1')
  const idleTimeoutOf = ({ config }: typeof client) =>
    (config.requestHandler as unknown as NodeHttpHandler).httpHandlerConfigs().socketTimeout
  // The handler takes up its settings with the first request.
  await store.start()
  stub.fault = ({ operation }) =>
    operation === 'CompleteMultipartUpload' ? { kind: 'wait', until: setTimeout(300) } : undefined
  const writer = await store.createWriter('content/1')
  await writer.write(Buffer.alloc(9 * MIB))
  await writer.complete()
  expect(idleTimeoutOf(client)).toBe(30_000)
  expect(idleTimeoutOf(patientClient)).toBe(300_000)
})

it('a completion that the store has not heard of is a failure at once', async () => {
  const writer = await store.createWriter('content/1')
  await writer.write(Buffer.alloc(8 * MIB))
  await writer.checkpoint()
  await store.sweepWriters(Date.now() + 3_600_000)
  await expect(writer.complete()).rejects.toThrow(StorageUnavailableError)
  expect(stub.count('CompleteMultipartUpload')).toBe(1)
})

describe('what the store refuses for good', () => {
  it.each([
    ['AccessDenied', 403, StorageRefusedError],
    ['InvalidRequest', 400, StorageRefusedError],
    ['EntityTooLarge', 400, StorageRefusedError],
    ['NoSuchBucket', 404, StorageRefusedError],
    ['NotImplemented', 501, StorageRefusedError],
    ['QuotaExceeded', 403, StorageFullError],
    ['XMinioStorageFull', 507, StorageFullError],
  ])('is told as %s and not tried again', async (code, status, kind) => {
    stub.fault = ({ operation }) => (operation === 'PutObject' ? { kind: 'refuse', status, code } : undefined)
    const writing = store.put('a', Buffer.from('1'), { ifAbsent: true })
    await expect(writing).rejects.toThrow(kind)
    if (kind === StorageRefusedError) await expect(writing).rejects.toThrow(code)
    if (status < 500) expect(stub.count('PutObject')).toBe(1)
  })

  it('is no missing object', async () => {
    stub.fault = () => ({ kind: 'refuse', status: 404, code: 'NoSuchBucket' })
    await expect(store.read('a')).rejects.toThrow(/NoSuchBucket/)
  })

  it.each([
    ['RequestTimeout', 400],
    ['SlowDown', 503],
  ])('is not %s', async (code, status) => {
    stub.fault = once('PutObject', { kind: 'refuse', status, code })
    expect((await store.put('a', Buffer.from('1'))).kind).toBe('stored')
  })
})

describe('a listing', () => {
  it('goes on behind empty pages, and ends where there are nothing else', async () => {
    await store.put('k/a', Buffer.from('1'))
    const page = (token: string, contents = '') => ({
      headers: { 'content-type': 'application/xml' },
      body: `<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>${token}</NextContinuationToken>${contents}</ListBucketResult>`,
    })
    const answers = [page('1'), page('2')]
    stub.listing = () => answers.shift()
    expect(await store.list('k/', { keysMax: 10 })).toEqual({ keys: ['k/a'] })
    stub.listing = () => page('again')
    await expect(store.list('k/', { keysMax: 10 })).rejects.toThrow(StorageUnavailableError)
  }, 20_000)
})

describe('the parts of a long object', () => {
  /** As the real one, a million times smaller. */
  const plan: PartPlan = { partBytes: 8, longPartBytes: 32, partsMax: 20, completeTimeoutMs: 5_000 }
  const parts = (key: string) => ({
    ...store.writerParts(key),
    plan,
  })

  it('are equal whatever comes in which chunks, and what was written is what is there', async () => {
    stub.partBytesMin = 1
    const session = fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 6 })
    let key = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(session, { minLength: 1, maxLength: 6 }),
        fc.constantFrom('unknown', 'right', 'wrong'),
        async (sessions, said) => {
          const bytes = randomBytes(sessions.flat().reduce((sum, n) => sum + n, 0))
          const lengthBytes = { unknown: undefined, right: bytes.length, wrong: 1_000 }[said]
          const at = `content/${key++}`
          let writer: ObjectWriter = new S3Writer(parts(at), lengthBytes)
          let offset = 0
          for (const [n, chunks] of sessions.entries()) {
            for (const length of chunks) {
              await writer.write(bytes.subarray(offset, offset + length))
              offset += length
            }
            if (n === sessions.length - 1) break
            // A request ends, and another seeder goes on.
            const checkpoint = await writer.checkpoint()
            expect(checkpoint.bytes).toBe(offset)
            await writer.release()
            writer = (await S3Writer.resume(parts(at), checkpoint))!
          }
          await writer.complete()
          expect((await content(store, at))?.equals(bytes)).toBe(true)
        },
      ),
      { numRuns: 40 },
    )
    expect(stub.uploads.size).toBe(0)
  }, 60_000)

  it('become longer where there would be too many of them, and the object goes on', async () => {
    stub.partBytesMin = 1
    for (const length of [160, 161, 200, 640]) {
      const bytes = randomBytes(length)
      const writer = new S3Writer(parts('content/long'))
      for (let offset = 0; offset < length; offset += 5)
        await writer.write(bytes.subarray(offset, offset + 5))
      await writer.complete()
      expect((await content(store, 'content/long'))?.equals(bytes)).toBe(true)
    }
    const writer = new S3Writer(parts('content/long'))
    await expect(writer.write(randomBytes(641 + 32))).rejects.toThrow('longer than')
    await writer.abort()
    expect(stub.objects.has('some/prefix/content/long')).toBe(false)
    expect(stub.uploads.size).toBe(0)
  })

  it('are long from the beginning where the object is said to be', async () => {
    stub.partBytesMin = 1
    const writer = new S3Writer(parts('content/said'), 200)
    await writer.write(randomBytes(200))
    await writer.complete()
    expect(stub.count('UploadPart')).toBe(7)
    expect(stub.count('UploadPartCopy')).toBe(0)
  })

  it('of an upload that a version with unequal parts has begun are gone on with', async () => {
    stub.partBytesMin = 1
    const bytes = randomBytes(300)
    const old = new S3Writer(parts('content/old'))
    await old.write(bytes.subarray(0, 16))
    const { token } = await old.checkpoint()
    await old.release()
    const { uploadId } = JSON.parse(token)
    const before = { bytes: 16, token: JSON.stringify({ uploadId, partCount: 2, tailBytes: 0 }) }
    const writer = await S3Writer.resume(parts('content/old'), before)
    await writer!.write(bytes.subarray(16))
    await writer!.complete()
    expect((await content(store, 'content/old'))?.equals(bytes)).toBe(true)
  })
})

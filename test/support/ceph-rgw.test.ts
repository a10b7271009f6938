/**
 * Goal: the S3 gateway that the storage suites rely on is a real one: it keeps bytes, checks signatures, refuses a
 * second conditional write, completes multipart uploads; and a stopped one leaves nothing behind.
 */
import { existsSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type CephRgw, startCephRgw } from './ceph-rgw.ts'
import { describeWith } from './describe-with.ts'

describeWith(['ceph-rgw'], 'Ceph RGW as a fixture', () => {
  const Bucket = 'origin'
  let ceph: CephRgw
  let client: S3Client

  beforeAll(async () => {
    ceph = await startCephRgw()
    await ceph.createBucket(Bucket)
    client = ceph.s3Client()
  })

  afterAll(async () => {
    client?.destroy()
    await ceph?.stop()
  })

  test('stores and returns an object', async () => {
    const Body = new Uint8Array(1_000_003).fill(7)
    await client.send(new PutObjectCommand({ Bucket, Key: 'a/b', Body }))
    const whole = await client.send(new GetObjectCommand({ Bucket, Key: 'a/b' }))
    expect(Buffer.compare(await whole.Body!.transformToByteArray(), Body)).toBe(0)
    const range = await client.send(new GetObjectCommand({ Bucket, Key: 'a/b', Range: 'bytes=10-19' }))
    expect(range.ContentRange).toBe('bytes 10-19/1000003')
    expect(await range.Body!.transformToByteArray()).toHaveLength(10)
  })

  test('lets one of two conditional writes win', async () => {
    const write = (Body: string) =>
      client.send(new PutObjectCommand({ Bucket, Key: 'once', Body, IfNoneMatch: '*' }))
    await write('first')
    await expect(write('second')).rejects.toMatchObject({ $metadata: { httpStatusCode: 412 } })
  })

  test('completes a multipart upload', async () => {
    const Key = 'parts'
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }))
    const Parts = []
    for (const PartNumber of [1, 2]) {
      const Body = new Uint8Array(5 * 1024 * 1024).fill(PartNumber)
      const { ETag } = await client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body }))
      Parts.push({ PartNumber, ETag })
    }
    await client.send(
      new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }),
    )
    const whole = await client.send(new GetObjectCommand({ Bucket, Key }))
    expect(whole.ContentLength).toBe(10 * 1024 * 1024)
    await whole.Body!.transformToByteArray()
  })

  test('refuses a wrong secret', async () => {
    const stranger = new S3Client({
      endpoint: ceph.endpoint,
      region: ceph.region,
      forcePathStyle: true,
      credentials: { accessKeyId: ceph.accessKeyId, secretAccessKey: 'wrong' },
    })
    const read = stranger.send(new GetObjectCommand({ Bucket, Key: 'a/b' }))
    await expect(read).rejects.toMatchObject({ $metadata: { httpStatusCode: 403 } })
    stranger.destroy()
  })

  test('starts a second one beside the first, and removes all of it', async () => {
    const folders = () => readdirSync(tmpdir()).filter((name) => name.startsWith('shoal-ceph-'))
    const before = new Set(folders())
    const second = await startCephRgw()
    const [own] = folders().filter((name) => !before.has(name))
    expect(own).toBeDefined()
    await second.createBucket(Bucket)
    await second.stop()
    expect(existsSync(`${tmpdir()}/${own}`)).toBe(false)
    await expect(fetch(second.endpoint)).rejects.toThrow()
  })
})

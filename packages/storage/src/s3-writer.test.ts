/**
 * Goal: an upload into a bucket holds three parts at most, however slow the bucket is. Method: a bucket that takes parts when it
 * is told to.
 */
import { CreateMultipartUploadCommand, type S3Client, UploadPartCommand } from '@aws-sdk/client-s3'
import { expect, it } from 'vitest'
import { S3Writer } from './s3-writer.ts'

const PART_BYTES = 8 * 1024 * 1024

it('holds 24 MiB: one part fills while two are sent', async () => {
  const sending: (() => void)[] = []
  const client = {
    async send(command: unknown) {
      if (command instanceof CreateMultipartUploadCommand) return { UploadId: 'u' }
      if (command instanceof UploadPartCommand) await new Promise<void>((resolve) => sending.push(resolve))
      return { ETag: 'e' }
    },
  }
  const writer = new S3Writer({
    client: client as unknown as S3Client,
    patientClient: client as unknown as S3Client,
    at: { Bucket: 'b', Key: 'k' },
    guard: (work) => work(),
  })
  let takenBytes = 0
  const chunk = new Uint8Array(PART_BYTES / 8)
  const writing = (async () => {
    for (; takenBytes < 5 * PART_BYTES; takenBytes += chunk.length) await writer.write(chunk)
  })()
  const turns = async () => {
    for (let n = 0; n < 20; n++) await new Promise<void>((resolve) => setImmediate(resolve))
  }
  await expect.poll(() => sending.length).toBe(2)
  await turns()
  // The write that filled the second part waits, and nothing more is taken meanwhile.
  expect(takenBytes).toBe(2 * PART_BYTES - chunk.length)
  sending[0]!()
  await expect.poll(() => sending.length).toBe(3)
  await turns()
  expect(takenBytes).toBe(3 * PART_BYTES - chunk.length)
  for (let n = 1; n < 5; n++) {
    await expect.poll(() => sending.length).toBeGreaterThan(n)
    sending[n]!()
  }
  await writing
  await writer.release()
})

/**
 * Makes a bucket, where the image has what is needed for it: `node create-bucket.mjs NAME`, with S3_ENDPOINT and the AWS SDK's
 * variables. Waits for a server that is still starting; ends with 0 when the bucket is there, else with 1.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'

const WAIT_MS_MAX = 60_000
const PAUSE_MS = 500
const THERE = ['BucketAlreadyOwnedByYou', 'BucketAlreadyExists']

const [bucket] = process.argv.slice(2)
const endpoint = process.env.S3_ENDPOINT
const client = new S3Client({ endpoint, forcePathStyle: true, maxAttempts: 1 })
const deadlineMs = performance.now() + WAIT_MS_MAX

for (;;) {
  const error = await client.send(new CreateBucketCommand({ Bucket: bucket })).then(
    () => undefined,
    (cause) => cause,
  )
  if (error === undefined || THERE.includes(error.name)) break
  // No answer, or one that says that there will be a better one.
  const isStarting = !(error.$metadata?.httpStatusCode < 500)
  if (!isStarting || performance.now() > deadlineMs) {
    console.error(`the bucket ${bucket} could not be made at ${endpoint}: ${error.message || error.name}`)
    process.exit(1)
  }
  await delay(PAUSE_MS)
}
console.log(`the bucket ${bucket} is there`)
process.exit(0)

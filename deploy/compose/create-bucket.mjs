/**
 * Makes a bucket, where the image has what is needed for it: `node create-bucket.mjs NAME`, with S3_ENDPOINT and the AWS SDK's
 * variables. A server that is still starting makes it fail; Compose then starts it again.
 */
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'

const [bucket] = process.argv.slice(2)
const client = new S3Client({ endpoint: process.env.S3_ENDPOINT, forcePathStyle: true, maxAttempts: 1 })
try {
  await client.send(new CreateBucketCommand({ Bucket: bucket }))
  console.log(`made the bucket ${bucket}`)
} catch (error) {
  if (!['BucketAlreadyOwnedByYou', 'BucketAlreadyExists'].includes(error.name)) {
    console.error(`the bucket ${bucket} could not be made at ${process.env.S3_ENDPOINT}: ${error.message}`)
    process.exit(1)
  }
  console.log(`the bucket ${bucket} is there`)
}

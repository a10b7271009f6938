/** Goal: an origin in S3 gives the same results as a folder, and carries agents on when the seeder is gone. */
import { GetObjectCommand, ListMultipartUploadsCommand } from '@aws-sdk/client-s3'
import { expect, it } from 'vitest'
import { startCephRgw } from '../support/ceph-rgw.ts'
import { startCluster } from '../support/cluster.ts'
import { describeWith } from '../support/describe-with.ts'
import { buildImage } from '../support/images.ts'
import { emptyLayer, randomLayers } from '../support/layers.ts'
import { jsonEvent } from '../support/process.ts'
import { pullImage, pushImage } from '../support/push.ts'

describeWith(['ceph-rgw'], 'an origin in S3', () => {
  it('is read once for three agents, and nothing unfinished stays there', async () => {
    await using ceph = await startCephRgw()
    await ceph.createBucket('images')
    await using cluster = await startCluster({
      agents: 3,
      origin: originOf(ceph),
      env: { ...ceph.environment },
    })
    const layers = [
      ...(await randomLayers({ count: 2, contentBytes: 20_000_000, seed: 'ceph' })),
      emptyLayer(),
    ]
    const image = buildImage({ layers })
    await pushImage(cluster.seeder.url, 'team/app', '1', image)
    const before = await cluster.seeder.metric('shoal_seeder_origin_read_bytes_total')
    const pulled = await Promise.all(cluster.agents.map((agent) => pullImage(agent.url, 'team/app', '1')))
    for (const { digest } of pulled) expect(digest).toBe(image.manifest.digest)
    const read = (await cluster.seeder.metric('shoal_seeder_origin_read_bytes_total')) - before
    expect(read).toBeLessThanOrEqual(1.05 * image.sizeBytes)

    const client = ceph.s3Client()
    const unfinished = await client.send(new ListMultipartUploadsCommand({ Bucket: 'images' }))
    expect(unfinished.Uploads ?? []).toEqual([])
    client.destroy()
  }, 180_000)

  it('is where an agent turns by presigned URL when the seeder dies in the middle of its pull', async () => {
    await using ceph = await startCephRgw()
    await ceph.createBucket('images')
    await using cluster = await startCluster({
      agents: 1,
      origin: originOf(ceph),
      env: { ...ceph.environment },
    })
    const image = buildImage({
      layers: await randomLayers({ count: 1, contentBytes: 80_000_000, seed: 'alone' }),
    })
    await pushImage(cluster.seeder.url, 'team/app', '1', image)
    const [agent] = cluster.agents
    const pulling = pullImage(agent!.url, 'team/app', '1')
    await agent!.process.waitForLine(jsonEvent('download-begins'), 30_000)
    await cluster.seeder.kill9()
    expect((await pulling).digest).toBe(image.manifest.digest)
    expect((await agent!.received()).origin).toBeGreaterThan(0)
    // A presigned URL lets its bearer in: it is in no log.
    expect(agent!.process.lines.filter((line) => /X-Amz-Signature|AWSAccessKeyId=/i.test(line))).toEqual([])
  }, 180_000)

  it('has the layers byte for byte under the place that the blob’s record names', async () => {
    await using ceph = await startCephRgw()
    await ceph.createBucket('images')
    await using cluster = await startCluster({
      agents: 0,
      origin: originOf(ceph),
      env: { ...ceph.environment },
    })
    const image = buildImage({
      layers: await randomLayers({ count: 1, contentBytes: 12_000_000, seed: 'bytes' }),
    })
    await pushImage(cluster.seeder.url, 'team/app', '1', image)
    const client = ceph.s3Client()
    const read = async (key: string) => {
      const object = await client.send(new GetObjectCommand({ Bucket: 'images', Key: `some/prefix/${key}` }))
      return Buffer.from(await object.Body!.transformToByteArray())
    }
    const hex = image.layers[0]!.digest.slice('sha256:'.length)
    const record = JSON.parse((await read(`blobs/sha256/${hex.slice(0, 2)}/${hex}`)).toString())
    const content = await read(record.contentKey)
    const original: Buffer[] = []
    for await (const chunk of image.layers[0]!.open()) original.push(chunk as Buffer)
    expect(content.equals(Buffer.concat(original))).toBe(true)
    client.destroy()
  }, 120_000)
})

function originOf({ endpoint, region }: { endpoint: string; region: string }): string {
  return `s3://images/some/prefix?endpoint=${encodeURIComponent(endpoint)}&region=${region}&forcePathStyle=true`
}

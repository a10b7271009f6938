/** Goal: a layer of 1 GB passes through seeder and agent, and neither holds it in memory. */
import { readFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { startCluster } from '../support/cluster.ts'
import { buildImage } from '../support/images.ts'
import { randomLayer } from '../support/layers.ts'
import { pullImage, pushImage } from '../support/push.ts'

const LAYER_BYTES = 1_000_000_000

it('a layer of 1 GB is pushed and pulled whole', async () => {
  await using cluster = await startCluster({ agents: 1 })
  const [agent] = cluster.agents
  const image = buildImage({ layers: [await randomLayer({ contentBytes: LAYER_BYTES, seed: 'large' })] })
  const atStart = await peakMegabytes(cluster.seeder.process.pid)
  await pushImage(cluster.seeder.url, 'team/large', '1', image)
  const afterPush = await peakMegabytes(cluster.seeder.process.pid)
  expect((await pullImage(agent!.url, 'team/large', '1')).digest).toBe(image.manifest.digest)
  console.log(
    `seeder ${atStart} MB at start, ${afterPush} MB at most in the push, ${await peakMegabytes(cluster.seeder.process.pid)} MB in all; agent ${await peakMegabytes(agent!.process.pid)} MB`,
  )
  expect(afterPush).toBeLessThan(150)
}, 600_000)

/** The most memory that the process ever had resident, in MB. */
async function peakMegabytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Math.round((Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024) / 1e6)
}

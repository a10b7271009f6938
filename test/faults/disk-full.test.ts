/**
 * Goal: an agent whose disk is full gives its clients every image all the same, keeps nothing of it, and says so. Method: a real
 * cluster whose agent has its cache on a small file system of its own, filled to the last byte.
 */
import { mkdir, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { request } from 'undici'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { startCluster } from '../support/cluster.ts'
import { describeWith } from '../support/describe-with.ts'
import { buildImage } from '../support/images.ts'
import { randomLayer } from '../support/layers.ts'
import { jsonEvent, runProcess } from '../support/process.ts'
import { pullImage, pushImage } from '../support/push.ts'
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts'

const DISK_BYTES = 14_000_000

describeWith(['tmpfs'], 'an agent whose disk is full', () => {
  let folder: TemporaryFolder
  let disk: string

  beforeEach(async () => {
    folder = await temporaryFolder('disk-full')
    disk = join(folder.path, 'disk')
    await mkdir(disk)
    await runProcess('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', disk])
  })
  afterEach(async () => {
    await runProcess('umount', [disk])
    await folder.remove()
  })

  const freeBytes = async () => {
    const { bavail, bsize } = await statfs(disk)
    return bavail * bsize
  }

  it('gives every image, keeps what is cached, and says what is wrong', async () => {
    const [cached, large, small] = await Promise.all(
      [1_000_000, 20_000_000, 300_000].map(async (contentBytes, n) =>
        buildImage({ layers: [await randomLayer({ contentBytes, seed: `disk-full-${n}` })] }),
      ),
    )
    await using cluster = await startCluster({ agents: 1, agentArgs: ['--cache', join(disk, 'cache')] })
    const agent = cluster.agents[0]!
    for (const [name, image] of Object.entries({ cached, large, small }))
      await pushImage(cluster.seeder.url, `team/${name}`, '1', image!)
    const pull = async (name: string) => (await pullImage(agent.url, `team/${name}`, '1')).digest
    const readiness = async () => {
      const answer = await request(`${agent.url}/readyz`)
      const { problems } = (await answer.body.json()) as { problems?: string[] }
      return [answer.statusCode, problems ?? []]
    }
    expect(await pull('cached')).toBe(cached!.manifest.digest)
    expect(await readiness()).toEqual([200, []])

    // More than the disk holds: nothing goes for it, and nothing of it stays.
    const freeBefore = await freeBytes()
    expect(await pull('large')).toBe(large!.manifest.digest)
    await agent.process.waitForLine(jsonEvent('cache-disk-full'), 10_000)
    expect(await freeBytes()).toBeGreaterThan(freeBefore - 1_000_000)
    expect(await agent.metric('shoal_agent_cache_disk_full')).toBe(1)

    // Not even a manifest can be written.
    await writeFile(join(disk, 'others'), Buffer.alloc(await freeBytes()))
    expect(await pull('small')).toBe(small!.manifest.digest)
    expect(await readiness()).toEqual([503, [expect.stringContaining('the cache’s disk')]])
    const receivedBefore = (await agent.received()).all
    expect(await pull('cached')).toBe(cached!.manifest.digest)
    expect((await agent.received()).all).toBe(receivedBefore)
  }, 60_000)
})

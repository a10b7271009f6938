/**
 * Goal: what Shoal keeps on a disk is for the user that it runs as, whatever the umask: images, signatures, the key that signs
 * tags. A folder that was there before stays as it is, and the log says once what to type.
 * Method: a seeder and an agent as processes under an ordinary umask; everything they made after a push and a pull is looked at.
 */
import { chmod, lstat, mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { startCluster } from '../support/cluster.ts'
import { buildImage } from '../support/images.ts'
import { fileLayer, randomLayer } from '../support/layers.ts'
import { linesWith, startLocalAgent, startLocalSeeder } from '../support/local-services.ts'
import { pullImage, pushImage } from '../support/push.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

/** Of everything below, what others may read, write or enter, with its mode. */
async function openBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = [folder, ...entries.map((entry) => join(entry.parentPath, entry.name))]
  const open: string[] = []
  for (const path of paths) {
    const { mode } = await lstat(path)
    if ((mode & 0o077) !== 0) open.push(`${(mode & 0o777).toString(8)} ${path}`)
  }
  return open
}

it('a seeder and an agent make what nobody else can look into', async () => {
  // Under 077 everything is private whoever makes it.
  expect(process.umask() & 0o077).not.toBe(0o077)
  await using cluster = await startCluster({ agents: 1 })
  const [agent] = cluster.agents
  const image = buildImage({
    layers: [
      await fileLayer([{ path: 'a', content: 'modes' }]),
      await randomLayer({ contentBytes: 5_000_000, seed: 'modes' }),
    ],
  })
  await pushImage(cluster.seeder.url, 'team/app', '1', image)
  await fetch(`${cluster.seeder.url}/v2/team/app/blobs/uploads/`, { method: 'POST' })
  expect((await pullImage(agent!.url, 'team/app', '1')).digest).toBe(image.manifest.digest)
  const { origin, seeder } = cluster
  expect(await readdir(join(origin, 'keys'))).toEqual(['tag-signing'])
  for (const folder of [origin, seeder.folder, agent!.folder]) expect(await openBelow(folder)).toEqual([])
}, 60_000)

it('folders that were there before stay as they are, and the log says what to type', async () => {
  await using folder = await temporaryFolder('folder-modes')
  const paths = ['data', 'origin', 'it is a cache'].map((name) => join(folder.path, name))
  for (const path of paths) {
    await mkdir(path)
    await chmod(path, 0o755)
  }
  const [data, origin, cache] = paths as [string, string, string]
  await using seeder = await startLocalSeeder({ data, origin })
  await using agent = await startLocalAgent(seeder.url, { cache })
  const told = [...linesWith(seeder, 'folder-open-to-others'), ...linesWith(agent, 'folder-open-to-others')]
  expect(told.map((line) => JSON.parse(line))).toMatchObject([
    { folder: data, mode: '755', remedy: `chmod -R go= ${data}` },
    { folder: origin, mode: '755', remedy: `chmod -R go= ${origin}` },
    { folder: cache, mode: '755', remedy: `chmod -R go= '${cache}'` },
  ])
  for (const path of paths) expect((await lstat(path)).mode & 0o777).toBe(0o755)
})

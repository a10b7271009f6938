/**
 * Goal: engines that take many layers at a time get each of them whole, of a cold agent and on the way back in.
 * Method: what an engine unpacked or kept is exported as a tar and compared with what went in.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { startCluster } from '../support/cluster.ts'
import { startContainerd } from '../support/containerd.ts'
import { describeWith } from '../support/describe-with.ts'
import { startDockerd } from '../support/dockerd.ts'
import { buildImage } from '../support/images.ts'
import {
  emptyLayer,
  fileLayer,
  type Layer,
  type LayerFile,
  memoryBlob,
  zstdLayer,
} from '../support/layers.ts'
import { pushImage } from '../support/push.ts'
import { tarFiles } from '../support/tar-files.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const FILE_BYTES = 300_000
const filesOf = (count: number): LayerFile[] =>
  Array.from({ length: count }, (_, i) => ({ path: `data/${i}`, content: randomBytes(FILE_BYTES) }))

describeWith(['dockerd'], 'Docker Engine', () => {
  it('pulls twelve layers at a time, pushes them, and pulls them back from another agent', async () => {
    await using cluster = await startCluster({ agents: 2 })
    await using engine = await startDockerd({
      args: ['--max-concurrent-downloads=12', '--max-concurrent-uploads=12'],
    })
    await using folder = await temporaryFolder('many-layers')
    const docker = async (...args: string[]) => (await engine.docker(args)).stdout.trim()
    const { seeder, agents } = cluster
    const files = filesOf(10)
    const layers = await Promise.all(files.map((file) => fileLayer([file])))
    // The first one again on top, and an empty one.
    const image = buildImage({
      layers: [...layers, emptyLayer(), layers[0]!],
      cmd: ['/none'],
      dialect: 'docker',
    })
    await pushImage(seeder.url, 'team/many', '1', image)

    const first = `${agents[0]!.host}/team/many:1`
    const pushed = `${seeder.host}/team/pushed:1`
    const second = `${agents[1]!.host}/team/pushed:1`
    expect(await docker('pull', first)).toContain(image.manifest.digest)
    await docker('tag', first, pushed)
    const digest = /digest: (sha256:[0-9a-f]{64})/.exec(await docker('push', pushed))?.[1]
    await docker('rmi', '--force', first, pushed)
    expect(await docker('image', 'list', '--all', '--quiet')).toBe('')
    expect(await docker('pull', second)).toContain(`Digest: ${digest}`)

    const container = await docker('create', '--network', 'none', second)
    const exported = join(folder.path, 'exported.tar')
    await docker('export', '--output', exported, container)
    const found = await tarFiles(exported)
    for (const { path, content } of files) expect(found.get(path)?.equals(content as Buffer)).toBe(true)
    await docker('rm', container)
  })
})

describeWith(['containerd'], 'containerd', () => {
  it.each<{ compression: string; makeLayer: (files: LayerFile[]) => Promise<Layer> }>([
    { compression: 'gzip', makeLayer: fileLayer },
    { compression: 'zstd', makeLayer: zstdLayer },
  ])('pulls twenty layers of $compression at a time from a cold agent', async ({ makeLayer }) => {
    await using cluster = await startCluster({ agents: 1 })
    await using containerd = await startContainerd()
    await using folder = await temporaryFolder('many-layers')
    const { seeder, agents } = cluster
    const image = buildImage({ layers: await Promise.all(filesOf(20).map((file) => makeLayer([file]))) })
    await pushImage(seeder.url, 'team/many', '1', image)

    const name = `${agents[0]!.host}/team/many:1`
    // Unpacking checks every layer against the configuration's diff ids.
    await containerd.ctr(['images', 'pull', '--plain-http', '--max-concurrent-downloads', '20', name])
    const exported = join(folder.path, 'exported.tar')
    await containerd.ctr(['images', 'export', exported, name])
    const found = await tarFiles(exported)
    for (const { digest } of [...image.blobs, image.manifest]) {
      const bytes = found.get(`blobs/${digest.replace(':', '/')}`)
      expect(bytes && memoryBlob(bytes).digest).toBe(digest)
    }
  })
})

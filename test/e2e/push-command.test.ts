/**
 * Goal: `shoal push` brings images that other tools wrote to a real seeder, and other tools pull back what they wrote.
 * Method: skopeo, a Docker Engine and the Distribution registry on one side, the built command and a seeder on the other.
 */
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { expect, it } from 'vitest'
import { startCluster } from '../support/cluster.ts'
import { type ContainersTool, startSkopeo } from '../support/containers-image.ts'
import { describeWith } from '../support/describe-with.ts'
import { startDockerRegistry } from '../support/docker-registry.ts'
import { startDockerd } from '../support/dockerd.ts'
import { buildImage, buildIndex, type Image, localArchitecture } from '../support/images.ts'
import { fileLayer, randomLayers } from '../support/layers.ts'
import { runProcess } from '../support/process.ts'
import { pullImage, pushImage, pushIndex } from '../support/push.ts'
import { runnableImage } from '../support/runnable-image.ts'
import { BIN, SHOAL_NODE_FLAGS } from '../support/shoal.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

interface Report {
  readonly reference: string
  readonly digest: string
  readonly pushedBytes: number
  readonly skippedBytes: number
}

async function shoalPush(...args: string[]): Promise<Report> {
  // Nobody's credentials.
  await using nobody = await temporaryFolder('push-config')
  const { stdout } = await runProcess(
    process.execPath,
    [...SHOAL_NODE_FLAGS, BIN, 'push', '--json', ...args],
    { env: { DOCKER_CONFIG: nobody.path } },
  )
  return JSON.parse(stdout.trim().split('\n').at(-1)!)
}

/** As `dir:` has it: the manifest, and every blob under the hexadecimal part of its digest. */
async function pullBack(skopeo: ContainersTool, reference: string, name: string, ...flags: string[]) {
  const folder = join(skopeo.folder, name)
  await skopeo.run(['copy', ...flags, '--src-tls-verify=false', `docker://${reference}`, `dir:${folder}`])
  return {
    manifest: await readFile(join(folder, 'manifest.json')),
    /** Checks that every blob is what its name says. */
    async expectIntact(digests: readonly string[]) {
      for (const digest of digests) {
        const hash = createHash('sha256')
        await pipeline(createReadStream(join(folder, digest.slice('sha256:'.length))), hash)
        expect(`sha256:${hash.digest('hex')}`).toBe(digest)
      }
    },
  }
}

const layersOf = (seed: string) => randomLayers({ count: 3, contentBytes: 400_000, seed })
const digestOf = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

describeWith(['skopeo'], 'shoal push of what skopeo wrote', () => {
  it('brings an OCI layout, from a folder, a tar and a gzipped tar, and a dir: folder, and it stays what it was', async () => {
    await using cluster = await startCluster({ agents: 1 })
    await using skopeo = await startSkopeo()
    const { seeder, agents } = cluster
    const image = buildImage({ layers: await layersOf('layout') })
    await pushImage(seeder.url, 'source/app', '1', image)
    const source = `docker://${seeder.host}/source/app:1`
    const layout = join(skopeo.folder, 'layout')
    await skopeo.run(['copy', '--src-tls-verify=false', source, `oci:${layout}:app`])
    await skopeo.run(['copy', '--src-tls-verify=false', source, `oci-archive:${layout}.tar:app`])
    await skopeo.run(['copy', '--src-tls-verify=false', source, `dir:${layout}.dir`])
    await pipeline(createReadStream(`${layout}.tar`), createGzip(), createWriteStream(`${layout}.tar.gz`))

    for (const [name, path] of [
      ['folder', layout],
      ['tar', `${layout}.tar`],
      ['gzip', `${layout}.tar.gz`],
      ['dir', `${layout}.dir`],
    ] as const) {
      const reference = `${seeder.host}/pushed/${name}:1`
      const report = await shoalPush(path, reference)
      expect(report).toMatchObject({
        reference: `${reference}@${image.manifest.digest}`,
        digest: image.manifest.digest,
      })
      const back = await pullBack(skopeo, reference, name)
      expect(back.manifest.equals(image.manifest.bytes)).toBe(true)
      await back.expectIntact(image.blobs.map(({ digest }) => digest))
      expect((await pullImage(agents[0]!.url, `pushed/${name}`, '1')).digest).toBe(image.manifest.digest)
      expect(await shoalPush(path, reference)).toMatchObject({ pushedBytes: 0 })
    }
  }, 180_000)

  it('brings a multi-platform layout whole, and one platform of it', async () => {
    await using cluster = await startCluster({ agents: 0 })
    await using skopeo = await startSkopeo()
    const { seeder } = cluster
    const [here, there] = [
      buildImage({ layers: await layersOf('here'), architecture: localArchitecture }),
      buildImage({ layers: await layersOf('there'), architecture: 's390x' }),
    ]
    const index = buildIndex([here, there])
    await pushIndex(seeder.url, 'source/multi', '1', index)
    const layout = join(skopeo.folder, 'multi')
    const source = `docker://${seeder.host}/source/multi:1`
    await skopeo.run(['copy', '--all', '--src-tls-verify=false', source, `oci:${layout}:1`])

    const all = `${seeder.host}/pushed/multi:all`
    expect(await shoalPush(layout, all)).toMatchObject({ digest: index.manifest.digest })
    const back = await pullBack(skopeo, all, 'all', '--all')
    expect(back.manifest.equals(index.manifest.bytes)).toBe(true)
    await back.expectIntact([...here.blobs, ...there.blobs].map(({ digest }) => digest))

    const single = await shoalPush(layout, `${seeder.host}/pushed/single:1`, '--platform', 'linux/s390x')
    expect(single.digest).toBe(there.manifest.digest)

    const folder = `${layout}.dir`
    await skopeo.run(['copy', '--all', '--src-tls-verify=false', source, `dir:${folder}`])
    const again = await shoalPush(folder, `${seeder.host}/pushed/dir:all`)
    expect(again).toMatchObject({ digest: index.manifest.digest })
  }, 180_000)

  it('brings an archive of docker save, whose image id stays', async () => {
    await using cluster = await startCluster({ agents: 0 })
    await using skopeo = await startSkopeo()
    const { seeder } = cluster
    const files = (text: string) => fileLayer([{ path: 'etc/text', content: text.repeat(10_000) }])
    const image = buildImage({ layers: [await files('one'), await files('two'), await files('one')] })
    await pushImage(seeder.url, 'source/app', '1', image)
    const archive = join(skopeo.folder, 'saved.tar')
    const source = `docker://${seeder.host}/source/app:1`
    await skopeo.run(['copy', '--src-tls-verify=false', source, `docker-archive:${archive}:app:1`])

    const reference = `${seeder.host}/pushed/saved:1`
    const { digest } = await shoalPush(archive, reference)
    const back = await pullBack(skopeo, reference, 'saved')
    expect(digestOf(back.manifest)).toBe(digest)
    const { config, layers } = JSON.parse(back.manifest.toString())
    const diffIds = image.layers.map(({ diffId }) => diffId)
    expect(layers.map((layer: { digest: string }) => layer.digest)).toEqual(diffIds)
    await back.expectIntact([config.digest, ...diffIds])
    // skopeo rewrites the configuration for Docker; what it wrote is what must arrive.
    const { stdout } = await skopeo.run(['inspect', '--raw', `docker-archive:${archive}`])
    expect(config.digest).toBe(JSON.parse(stdout).config.digest)
  }, 180_000)

  it('refuses a damaged layout, and nothing has a tag', async () => {
    await using cluster = await startCluster({ agents: 0 })
    await using skopeo = await startSkopeo()
    const { seeder } = cluster
    const image = buildImage({ layers: await layersOf('damaged') })
    await pushImage(seeder.url, 'source/app', '1', image)
    const layout = join(skopeo.folder, 'damaged')
    await skopeo.run([
      'copy',
      '--src-tls-verify=false',
      `docker://${seeder.host}/source/app:1`,
      `oci:${layout}:1`,
    ])
    const blobs = join(layout, 'blobs/sha256')
    const name = (await readdir(blobs)).find((hex) => image.layers[1]!.digest.endsWith(hex))!
    const bytes = await readFile(join(blobs, name))
    bytes[bytes.length >> 1]! ^= 1
    await writeFile(join(blobs, name), bytes)
    await expect(shoalPush(layout, `${seeder.host}/pushed/damaged:1`)).rejects.toThrow(/is damaged: sha256:/)
    await expect(pullImage(seeder.url, 'pushed/damaged', '1')).rejects.toThrow()
  }, 120_000)
})

describeWith(['docker-registry'], 'shoal push to the Distribution registry', () => {
  it('brings an image there as well', async () => {
    await using registry = await startDockerRegistry()
    await using folder = await temporaryFolder('layout')
    const image = buildImage({ layers: await layersOf('distribution') })
    const layout = join(folder.path, 'layout')
    await writeLayout(layout, image)
    const reference = `${registry.host}/team/app:1`
    expect(await shoalPush(layout, reference)).toMatchObject({ digest: image.manifest.digest })
    expect((await pullImage(registry.url, 'team/app', '1')).digest).toBe(image.manifest.digest)

    // 2.8 knows no way to tag a manifest by another digest than SHA-256's: the tag stays what it was. A seeder knows.
    const other = await writeSha512Layout(join(folder.path, 'sha512'), image)
    await expect(shoalPush(other.path, reference)).rejects.toThrow(/it knows SHA-256 alone/)
    expect((await pullImage(registry.url, 'team/app', '1')).digest).toBe(image.manifest.digest)
    await using cluster = await startCluster({ agents: 1 })
    const { seeder, agents } = cluster
    expect(await shoalPush(other.path, `${seeder.host}/team/app:1`)).toMatchObject({ digest: other.digest })
    for (const { url } of [seeder, ...agents]) {
      const found = await fetch(`${url}/v2/team/app/manifests/1`, { method: 'HEAD' })
      expect(found.headers.get('docker-content-digest')).toBe(other.digest)
    }
  }, 120_000)
})

describeWith(['dockerd', 'ldd'], 'shoal push of what docker save wrote', () => {
  it('gives the same image id after a pull, and the image runs', async () => {
    await using cluster = await startCluster({ agents: 1 })
    await using engine = await startDockerd()
    await using folder = await temporaryFolder('saved')
    const { seeder, agents } = cluster
    const docker = async (...args: string[]) => (await engine.docker(args)).stdout.trim()
    await pushImage(seeder.url, 'source/echo', '1', await runnableImage({ args: ['saved and pushed'] }))
    const source = `${seeder.host}/source/echo:1`
    await docker('pull', source)
    const archive = join(folder.path, 'saved.tar')
    await docker('save', '--output', archive, source)
    const id = await docker('image', 'inspect', '--format', '{{.Id}}', source)
    await docker('rmi', '--force', source)

    const { digest } = await shoalPush(archive, `${seeder.host}/pushed/echo:1`)
    const pulled = `${agents[0]!.host}/pushed/echo:1`
    expect(await docker('pull', pulled)).toContain(digest)
    expect(await docker('image', 'inspect', '--format', '{{.Id}}', pulled)).toBe(id)
    expect(await docker('run', '--rm', '--network', 'none', pulled)).toBe('saved and pushed')
  }, 180_000)
})

async function writeLayout(folder: string, { manifest, blobs }: Image): Promise<void> {
  const place = join(folder, 'blobs/sha256')
  await mkdir(place, { recursive: true })
  const hex = (digest: string) => digest.slice('sha256:'.length)
  for (const blob of blobs) await pipeline(blob.open(), createWriteStream(join(place, hex(blob.digest))))
  await writeFile(join(place, hex(manifest.digest)), manifest.bytes)
  await writeFile(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  const { mediaType, digest, bytes } = manifest
  const index = { schemaVersion: 2, manifests: [{ mediaType, digest, size: bytes.length }] }
  await writeFile(join(folder, 'index.json'), JSON.stringify(index))
}

/** The image in a layout whose index, and nothing else, speaks SHA-512. */
async function writeSha512Layout(path: string, image: Image): Promise<{ path: string; digest: string }> {
  await writeLayout(path, image)
  const { mediaType, bytes } = image.manifest
  const hex = createHash('sha512').update(bytes).digest('hex')
  await mkdir(join(path, 'blobs/sha512'))
  await writeFile(join(path, 'blobs/sha512', hex), bytes)
  const digest = `sha512:${hex}`
  const index = { schemaVersion: 2, manifests: [{ mediaType, digest, size: bytes.length }] }
  await writeFile(join(path, 'index.json'), JSON.stringify(index))
  return { path, digest }
}

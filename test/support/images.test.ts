/**
 * Goal: images made here are ones that a registry takes and gives back unchanged: files, random bytes, the empty layer,
 * thirty layers, an index. The judge is the Distribution registry, which checks every digest and every reference.
 */
import { createHash } from 'node:crypto'
import { gunzipSync } from 'node:zlib'
import { extract } from 'tar-stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeWith } from './describe-with.ts'
import { type DockerRegistry, startDockerRegistry } from './docker-registry.ts'
import { buildImage, buildIndex } from './images.ts'
import { emptyLayer, fileLayer, type Layer, randomLayer, randomLayers } from './layers.ts'
import { pullBlob, pullImage, pushImage, pushIndex, RegistryAnswerError } from './push.ts'

describe('layers', () => {
  test('the same seed gives the same layer, another seed another one', async () => {
    const first = await randomLayer({ contentBytes: 3_000_001, seed: 'a' })
    const again = await randomLayer({ contentBytes: 3_000_001, seed: 'a' })
    const other = await randomLayer({ contentBytes: 3_000_001, seed: 'b' })
    expect(again.digest).toBe(first.digest)
    expect(other.digest).not.toBe(first.digest)
  })

  test.each([0, 1, 512, 1024 * 1024, 2_500_000])(
    '%d random bytes are a gzip tar of that size',
    async (contentBytes) => {
      const layer = await randomLayer({ contentBytes, seed: 's', path: 'big' })
      expect(await tarEntries(layer)).toEqual([['big', contentBytes]])
    },
  )

  test('files come with the folders around them', async () => {
    const layer = await fileLayer([{ path: 'etc/app/x.conf', content: 'hello' }])
    expect(await tarEntries(layer)).toEqual([
      ['etc', 0],
      ['etc/app', 0],
      ['etc/app/x.conf', 5],
    ])
  })

  test('the empty layer is the one that registries know', async () => {
    const layer = emptyLayer()
    expect(layer.digest).toBe('sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4')
    expect(layer.diffId).toBe('sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef')
    expect(await tarEntries(layer)).toEqual([])
  })
})

describeWith(['docker-registry'], 'images in a registry', () => {
  let registry: DockerRegistry

  beforeAll(async () => {
    registry = await startDockerRegistry()
  })

  afterAll(() => registry?.stop())

  test.each(['oci', 'docker'] as const)(
    'an image in the dialect of %s comes back as it went',
    async (dialect) => {
      const layers = [await fileLayer([{ path: 'a', content: dialect }]), emptyLayer(), emptyLayer()]
      const image = buildImage({ layers, cmd: ['/a'], dialect })
      const pushed = await pushImage(registry.url, 'app/one', dialect, image)
      const pulled = await pullImage(registry.url, 'app/one', dialect)
      expect(pulled.digest).toBe(pushed.digest)
      expect(pulled.receivedBytes).toBe(image.sizeBytes)
      const again = await pushImage(registry.url, 'app/one', dialect, image)
      expect(again.sentBytes).toBe(image.manifest.bytes.length)
    },
  )

  test('thirty layers', async () => {
    const layers = await randomLayers({ count: 30, contentBytes: 10_000, seed: 'thirty' })
    const image = buildImage({ layers })
    await pushImage(registry.url, 'app/thirty', '1', image)
    expect((await pullImage(registry.url, 'app/thirty', '1')).blobs).toHaveLength(31)
  })

  test('an index of two architectures', async () => {
    const of = async (architecture: string) =>
      buildImage({ architecture, layers: [await randomLayer({ contentBytes: 1_000, seed: architecture })] })
    const [amd64, arm64] = [await of('amd64'), await of('arm64')]
    await pushIndex(registry.url, 'app/multi', '1', buildIndex([amd64, arm64]))
    const pulled = await pullImage(registry.url, 'app/multi', '1', { architecture: 'arm64' })
    expect(pulled.digest).toBe(arm64.manifest.digest)
  })

  test('what the registry does not have is an error with its status', async () => {
    const digest = `sha256:${createHash('sha256').update('nobody').digest('hex')}`
    await expect(pullBlob(registry.url, 'app/one', digest)).rejects.toThrow(RegistryAnswerError)
    await expect(pullImage(registry.url, 'app/none', '1')).rejects.toMatchObject({ status: 404 })
  })
})

async function tarEntries(layer: Layer): Promise<[name: string, sizeBytes: number][]> {
  const compressed = Buffer.concat(await layer.open().toArray())
  expect(compressed).toHaveLength(layer.sizeBytes)
  expect(`sha256:${createHash('sha256').update(compressed).digest('hex')}`).toBe(layer.digest)
  const bytes = gunzipSync(compressed)
  expect(`sha256:${createHash('sha256').update(bytes).digest('hex')}`).toBe(layer.diffId)
  const reader = extract()
  reader.end(bytes)
  const entries: [string, number][] = []
  for await (const entry of reader) {
    entries.push([entry.header.name, entry.header.size ?? 0])
    entry.resume()
  }
  return entries
}

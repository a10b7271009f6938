/**
 * Goal: what other tools write is pushed as they mean it: skopeo's `dir:` folders, digests of SHA-512, null for an empty list.
 * What cannot be pushed so leaves no tag, and the message says what to type.
 * Method: such archives made here, pushed to a registry in memory; then its contents are looked at.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MEDIA_TYPES, parsePlatform } from '@shoal/oci'
import { openConnections, pullImage } from '@shoal/registry-client'
import { type RegistryStub, startRegistryStub } from '@shoal/testing/registry-stub'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  ArchiveFormatError,
  ArchiveUnreadableError,
  ContentCorruptError,
  ContentMissingError,
} from '../../../images/src/archive/errors.ts'
import {
  blobPath,
  digestOf,
  type FixtureFiles,
  LayoutFixture,
  tarOf,
  writeFolder,
} from '../../../images/src/testing/image-fixtures.ts'
import {
  DigestUnsupportedError,
  PulledDigestError,
  TagUnsupportedError,
} from '../../../registry-client/src/errors.ts'
import { parseDestination } from './destination.ts'
import { runPush } from './push.ts'

const client = openConnections()
let stub: RegistryStub
let folder: string
beforeEach(async () => {
  stub = await startRegistryStub()
  folder = await mkdtemp(join(tmpdir(), 'shoal-unusual-'))
  vi.stubEnv('DOCKER_CONFIG', folder)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await stub[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

function push(path: string, platforms: readonly string[] = []) {
  const request = {
    path,
    destination: parseDestination(`${stub.url}/team/app:1`),
    image: undefined,
    platforms: platforms.map((text) => parsePlatform(text)!),
  }
  return runPush(request, process.stderr, AbortSignal.timeout(20_000))
}
const pushFolder = async (files: FixtureFiles, platforms?: readonly string[]) =>
  push(await writeFolder(await mkdtemp(join(folder, 'image-')), files), platforms)

describe('a folder of skopeo’s dir:', () => {
  test('is pushed byte for byte, also from a tar, and its signatures stay behind', async () => {
    const layout = new LayoutFixture()
    const image = layout.image(['one', 'two'])
    const files = layout.directoryFiles(image)
    files.set('signature-1', Buffer.from('a signature'))
    expect((await pushFolder(files)).digest).toBe(image.digest)
    expect(stub.manifests.get('1')?.bytes).toEqual(layout.blobs.get(image.digest))
    expect(stub.blobs.size).toBe(3)
    stub.manifests.clear()
    await writeFile(join(folder, 'image.tar'), await tarOf(files))
    expect((await push(join(folder, 'image.tar'))).digest).toBe(image.digest)
  })

  test('may hold an index and its images, of which one can be chosen', async () => {
    const layout = new LayoutFixture()
    const [amd64, arm64] = ['amd64', 'arm64'].map((architecture) =>
      layout.image([architecture], { architecture }),
    )
    const index = layout.nest([amd64!, arm64!])
    const files = layout.directoryFiles(index)
    expect((await pushFolder(files)).digest).toBe(index.digest)
    expect(stub.manifests.get('1')?.mediaType).toBe(MEDIA_TYPES.ociIndex)
    for (const { digest } of [amd64!, arm64!]) expect(stub.manifests.has(digest)).toBe(true)
    expect((await pushFolder(files, ['linux/arm64'])).digest).toBe(arm64!.digest)
  })

  test('of which something is missing, damaged or of another version is refused, and gets no tag', async () => {
    const layout = new LayoutFixture()
    const image = layout.image(['one'])
    const layer = digestOf(Buffer.from('one')).slice('sha256:'.length)
    const without = layout.directoryFiles(image)
    without.delete(layer)
    await expect(pushFolder(without)).rejects.toThrow(ContentMissingError)
    const damaged = layout.directoryFiles(image).set(layer, Buffer.from('two'))
    await expect(pushFolder(damaged)).rejects.toThrow(ContentCorruptError)
    const newer = layout
      .directoryFiles(image)
      .set('version', Buffer.from('Directory Transport Version: 2.0\n'))
    await expect(pushFolder(newer)).rejects.toThrow(/version says .* 2\.0/)
    const other = layout.directoryFiles(image).set('manifest.json', Buffer.from('[]'))
    await expect(pushFolder(other)).rejects.toThrow(ArchiveFormatError)
    expect(stub.manifests.has('1')).toBe(false)
  })
})

test.each([
  ['dir:./image', 'leave "dir:" out: shoal push ./image …'],
  ['oci:./image:v1', 'leave "oci:" out: shoal push ./image --image v1 …'],
  ['oci-archive:image.tar', 'leave "oci-archive:" out: shoal push image.tar …'],
  ['docker-archive:image.tar:app:1', 'leave "docker-archive:" out: shoal push image.tar --image app:1 …'],
  ['docker-daemon:app:1', 'skopeo copy docker-daemon:app:1 oci-archive:image.tar'],
])('%s is answered with what to type', async (path, hint) => {
  const failed = push(path)
  await expect(failed).rejects.toThrow(ArchiveUnreadableError)
  await expect(failed).rejects.toThrow(hint)
})

describe('an image whose manifest has a digest of SHA-512', () => {
  function sha512Image() {
    const layout = new LayoutFixture('sha512')
    const image = layout.image(['one', 'two'])
    layout.list(image)
    return { files: layout.files(), image }
  }

  test.each(['told', 'silent'] as const)('has it under its tag, where that is %s', async (tagParameter) => {
    stub.tagParameter = tagParameter
    const { files, image } = sha512Image()
    expect(image.digest).toMatch(/^sha512:/)
    expect((await pushFolder(files)).digest).toBe(image.digest)
    expect(stub.manifests.get('1')?.digest).toBe(image.digest)
    expect([...stub.manifests.keys()].toSorted()).toEqual(['1', image.digest])
    const source = {
      client,
      registryUrl: stub.url,
      repository: 'team/app',
      signal: AbortSignal.timeout(20_000),
    }
    expect((await pullImage({ ...source, onBytes: () => {} }, '1')).digest).toBe(image.digest)
    stub.spoil = (bytes) => Buffer.concat([Buffer.from([bytes[0]! ^ 1]), bytes.subarray(1)])
    await expect(pullImage({ ...source, onBytes: () => {} }, '1')).rejects.toThrow(PulledDigestError)
  })

  test('leaves a tag as it was where the registry cannot give it one', async () => {
    const older = new LayoutFixture()
    const before = older.image(['before'])
    older.list(before)
    await pushFolder(older.files())
    stub.tagParameter = 'unknown'
    const failed = pushFolder(sha512Image().files)
    await expect(failed).rejects.toThrow(TagUnsupportedError)
    await expect(failed).rejects.toThrow(/pull it by its digest/)
    expect(stub.manifests.get('1')?.digest).toBe(before.digest)
    stub.isSha256Alone = true
    const refused = pushFolder(sha512Image().files)
    await expect(refused).rejects.toThrow(DigestUnsupportedError)
    await expect(refused).rejects.toThrow(/knows SHA-256 alone.*nothing was tagged/)
    expect([...stub.manifests.keys()].filter((name) => name.startsWith('sha512:'))).toHaveLength(1)
    expect(stub.manifests.get('1')?.digest).toBe(before.digest)
  })
})

describe('docker save', () => {
  test('may name layers by SHA-512 and have null for no tags and no layers', async () => {
    const layers = [Buffer.from('one'), Buffer.from('two')]
    const saved = (algorithm: string) => {
      const diff_ids = layers.map((layer) => digestOf(layer, algorithm))
      const config = Buffer.from(JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { diff_ids } }))
      const manifest = [{ Config: 'config.json', RepoTags: null, Layers: ['0/layer.tar', '1/layer.tar'] }]
      const files: FixtureFiles = new Map([
        ['config.json', config],
        ['manifest.json', Buffer.from(JSON.stringify(manifest))],
      ])
      for (const [n, layer] of layers.entries()) files.set(`${n}/layer.tar`, layer)
      return files
    }
    for (const algorithm of ['sha256', 'sha512']) {
      await pushFolder(saved(algorithm))
      for (const layer of layers) expect(stub.blobs.get(digestOf(layer))).toEqual(layer)
    }
    const wrong = saved('sha512').set('0/layer.tar', Buffer.from('other'))
    await expect(pushFolder(wrong)).rejects.toThrow(ContentCorruptError)
    const config = Buffer.from(
      JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { diff_ids: null } }),
    )
    const empty = [{ Config: 'config.json', RepoTags: null, Layers: null }]
    const files: FixtureFiles = new Map([
      ['config.json', config],
      ['manifest.json', Buffer.from(JSON.stringify(empty))],
    ])
    expect((await pushFolder(files)).manifests).toHaveLength(1)
  })
})

test('a layout of which the index lists one thing by two algorithms holds both', async () => {
  const [one, other] = [new LayoutFixture(), new LayoutFixture('sha512')]
  const [first, second] = [one.image(['one']), other.image(['two'], { architecture: 'arm64' })]
  const index = one.nest([first, second])
  one.list(index)
  const files = one.files()
  for (const [digest, bytes] of other.blobs) files.set(blobPath(digest), bytes)
  expect((await pushFolder(files)).digest).toBe(index.digest)
  expect(stub.manifests.get(second.digest)?.digest).toBe(second.digest)
})

/**
 * Goal: every form that an image takes in a file system is pushed as it is, and what is damaged, missing or hostile
 * ends in an error that says so, before anything has a tag.
 * Method: archives made here, pushed to a registry in memory; then its contents are looked at.
 */
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { MEDIA_TYPES, type Platform, parsePlatform } from '@shoal/oci'
import { type RegistryStub, startRegistryStub } from '@shoal/testing/registry-stub'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  ArchiveFormatError,
  ArchiveLimitError,
  ArchivePathError,
  ArchiveTruncatedError,
  ContentCorruptError,
  ContentMissingError,
  ImageChoiceError,
  PlatformChoiceError,
} from '../../../images/src/archive/errors.ts'
import {
  blobPath,
  digestOf,
  type FixtureDescriptor,
  type FixtureFiles,
  hexOf,
  LayoutFixture,
  tarOf,
  writeFolder,
} from '../../../images/src/testing/image-fixtures.ts'
import { parseDestination } from './destination.ts'
import { type PushReport, runPush } from './push.ts'

const TAG = '/v2/team/app/manifests/1'
let stub: RegistryStub
let folder: string
let layout: LayoutFixture
beforeEach(async () => {
  stub = await startRegistryStub()
  folder = await mkdtemp(join(tmpdir(), 'shoal-archives-'))
  vi.stubEnv('DOCKER_CONFIG', folder)
  layout = new LayoutFixture()
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await stub[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

interface Choice {
  readonly image?: string
  readonly platforms?: readonly string[]
  readonly signal?: AbortSignal
}

function push(path: string, choice: Choice = {}): Promise<PushReport> {
  const { image, platforms = [], signal = AbortSignal.timeout(20_000) } = choice
  const destination = parseDestination(`${stub.url}/team/app:1`)
  const parsed = platforms.map((text) => parsePlatform(text) as Platform)
  return runPush({ path, destination, image, platforms: parsed }, process.stderr, signal)
}

async function pushTar(bytes: Buffer | Promise<Buffer>, choice?: Choice): Promise<PushReport> {
  const path = join(folder, 'image.tar')
  await writeFile(path, await bytes)
  return push(path, choice)
}

async function pushFolder(files: FixtureFiles, choice?: Choice): Promise<PushReport> {
  return push(await writeFolder(join(folder, 'layout'), files), choice)
}

const tagged = () => {
  const { mediaType, bytes } = stub.manifests.get('1')!
  return { mediaType, digest: digestOf(bytes), document: JSON.parse(bytes.toString()) }
}
const pushedManifests = () =>
  stub.requests.filter(({ line }) => line.startsWith('PUT') && line.includes('/manifests/'))

/** Nothing in the registry can be pulled by its name. */
function expectNoTag(): void {
  expect(stub.manifests.has('1')).toBe(false)
}

function expectWhole(names: readonly FixtureDescriptor[]): void {
  for (const { digest, mediaType } of names) {
    const manifest = stub.manifests.get(digest)
    expect(manifest?.mediaType).toBe(mediaType)
    expect(manifest?.bytes.equals(layout.blobs.get(digest)!)).toBe(true)
    const { config, layers } = JSON.parse(manifest!.bytes.toString())
    for (const blob of config === undefined ? [] : [config, ...layers])
      expect(stub.blobs.get(blob.digest)?.equals(layout.blobs.get(blob.digest)!)).toBe(true)
  }
}

describe('an OCI layout', () => {
  const image = () => {
    const made = layout.image(['one', 'two', 'one', ''])
    layout.list(made, 'v1')
    return made
  }

  test.each<[string, (files: FixtureFiles) => Promise<PushReport>]>([
    ['in a folder', (files) => pushFolder(files)],
    ['in a tar', (files) => pushTar(tarOf(files))],
    ['in a tar made with "tar -C layout -c ."', (files) => pushTar(tarOf(dotted(files)))],
    ['in a tar, gzipped', async (files) => pushTar(gzipSync(await tarOf(files)))],
    ['in a tar, compressed with zstd', async (files) => pushTar(zstdCompressSync(await tarOf(files)))],
  ])('%s arrives byte for byte, each blob once, the tag last', async (_where, pushIt) => {
    const made = image()
    const report = await pushIt(layout.files())
    expectWhole([made])
    expect(tagged().digest).toBe(made.digest)
    expect(stub.requests.at(-1)?.line).toBe(`PUT ${TAG}`)
    expect(report).toEqual({
      reference: `${stub.url.slice('http://'.length)}/team/app:1@${made.digest}`,
      digest: made.digest,
      pushedBytes: [...layout.blobs.values()].reduce((sum, { length }) => sum + length, -made.size),
      skippedBytes: 0,
      manifests: [{ mediaType: made.mediaType, digest: made.digest, size: made.size }],
    })
    const uploads = stub.requests.filter(({ line }) => line.startsWith('POST'))
    expect(uploads).toHaveLength(4)
  })

  test('is not sent again', async () => {
    image()
    const first = await pushFolder(layout.files())
    const again = await pushFolder(layout.files())
    expect(again).toMatchObject({ pushedBytes: 0, skippedBytes: first.pushedBytes })
  })

  test('leaves no spooled file behind, even when it is interrupted or broken', async () => {
    const spools = join(folder, 'spools')
    await mkdir(spools)
    vi.stubEnv('TMPDIR', spools)
    image()
    const packed = gzipSync(await tarOf(layout.files()))
    await pushTar(packed)
    await expect(pushTar(packed.subarray(0, packed.length / 2))).rejects.toThrow(ArchiveFormatError)
    const reason = new Error('Ctrl-C')
    await expect(pushTar(packed, { signal: AbortSignal.abort(reason) })).rejects.toThrow('Ctrl-C')
    expect(await readdir(spools)).toEqual([])
  })

  describe('with several images', () => {
    let one: FixtureDescriptor
    let two: FixtureDescriptor
    beforeEach(() => {
      one = layout.image(['one'])
      two = layout.image(['two'])
      layout.list(one, 'one')
      layout.list(two, 'docker.io/library/two:latest', 'io.containerd.image.name')
      layout.list(two, 'latest')
    })

    test('says which there are', async () => {
      const error = await pushFolder(layout.files()).catch((thrown) => thrown)
      expect(error).toBeInstanceOf(ImageChoiceError)
      expect(error.message).toContain(`one, ${one.digest}`)
      expect(error.message).toContain(`docker.io/library/two:latest, latest, ${two.digest}`)
      await expect(pushFolder(layout.files(), { image: 'three' })).rejects.toThrow(/no image called "three"/)
    })

    test.each(['two', 'two:latest', 'latest', 'docker.io/library/two:latest'])(
      'takes the one that is called %s',
      async (name) => {
        await pushFolder(layout.files(), { image: name })
        expect(tagged().digest).toBe(two.digest)
        expect(stub.manifests.has(one.digest)).toBe(false)
      },
    )

    test('takes a digest for a name', async () => {
      await pushFolder(layout.files(), { image: one.digest })
      expect(tagged().digest).toBe(one.digest)
    })
  })

  describe('with an index', () => {
    let amd64: FixtureDescriptor
    let arm64: FixtureDescriptor
    beforeEach(() => {
      amd64 = layout.image(['amd64', 'shared'])
      arm64 = layout.image(['arm64', 'shared'], { architecture: 'arm64' })
    })

    test('is pushed whole, the children first', async () => {
      const index = layout.nest([amd64, arm64])
      layout.list(index, '1')
      // Some tools list the children as well.
      layout.list(arm64)
      const { manifests } = await pushFolder(layout.files())
      expectWhole([amd64, arm64, index])
      expect(manifests.map(({ digest }) => digest)).toEqual([amd64, arm64, index].map(({ digest }) => digest))
      expect(tagged().digest).toBe(index.digest)
    })

    test('may lie in another one, up to a depth', async () => {
      let index = layout.nest([amd64])
      for (let depth = 2; depth <= 4; depth++) index = layout.nest([index, arm64])
      layout.list(index)
      await pushFolder(layout.files())
      expect(tagged().digest).toBe(index.digest)
      layout.index.length = 0
      layout.list(layout.nest([index]))
      await expect(pushFolder(layout.files())).rejects.toThrow(ArchiveLimitError)
    })

    test('may name one thing very often, which costs no more than once', async () => {
      let index = layout.nest([amd64])
      for (let depth = 2; depth <= 4; depth++) index = layout.nest(Array(500).fill(index))
      layout.list(index)
      const { manifests } = await pushFolder(layout.files())
      expect(manifests).toHaveLength(5)
      await pushFolder(layout.files(), { platforms: ['linux/amd64'] })
      expect(tagged().digest).toBe(amd64.digest)
    })

    test('may name blobs, as build caches do', async () => {
      const blob = layout.add(MEDIA_TYPES.ociLayerGzip, Buffer.from('cache'))
      layout.list(layout.nest([amd64, blob]))
      await pushFolder(layout.files())
      expect(stub.blobs.get(blob.digest)?.toString()).toBe('cache')
    })

    test('with one platform becomes a manifest', async () => {
      layout.list(layout.nest([layout.nest([amd64]), arm64]))
      await pushFolder(layout.files(), { platforms: ['linux/arm64'] })
      expect(tagged()).toMatchObject({ digest: arm64.digest, mediaType: MEDIA_TYPES.ociManifest })
      expect(stub.manifests.size).toBe(2)
    })

    test('with some platforms becomes an index of these and their attestations', async () => {
      const absent = { ...layout.image(['s390x']), platform: { os: 'linux', architecture: 's390x' } }
      layout.blobs.delete(absent.digest)
      const unknown = { os: 'unknown', architecture: 'unknown' }
      const attest = (about: FixtureDescriptor, text: string) => ({
        ...layout.image([text]),
        platform: unknown,
        annotations: { 'vnd.docker.reference.digest': about.digest },
      })
      const ofAmd64 = attest(amd64, 'about amd64')
      const ofAbsent = attest(absent, 'about s390x')
      const annotations = { kept: 'yes' }
      layout.list(layout.nest([amd64, absent, arm64, ofAmd64, ofAbsent], { annotations }))
      await expect(pushFolder(layout.files())).rejects.toThrow(/linux\/s390x; --platform/)
      expectNoTag()

      const platforms = ['linux/arm64', 'linux/amd64']
      const { digest } = await pushFolder(layout.files(), { platforms })
      expect(tagged()).toMatchObject({ digest, mediaType: MEDIA_TYPES.ociIndex })
      expect(tagged().document).toMatchObject({ annotations, manifests: [amd64, arm64, ofAmd64] })
      expectWhole([amd64, arm64, ofAmd64])
      const wrong = pushFolder(layout.files(), { platforms: ['windows/amd64'] })
      await expect(wrong).rejects.toThrow(PlatformChoiceError)
      await expect(pushFolder(layout.files(), { platforms: ['linux/s390x'] })).rejects.toThrow(
        ContentMissingError,
      )
    })

    test('may be silent about platforms: its images say them', async () => {
      const { platform: _, ...silent } = arm64 as FixtureDescriptor & { platform: object }
      layout.list(layout.nest([amd64, silent]))
      await pushFolder(layout.files(), { platforms: ['linux/arm64'] })
      expect(tagged().digest).toBe(arm64.digest)
    })

    test('has children that can be chosen when they have a name', async () => {
      layout.list(layout.nest([amd64, arm64]), 'all')
      layout.list(arm64, 'arm64')
      await pushFolder(layout.files(), { image: 'arm64' })
      expect(tagged().digest).toBe(arm64.digest)
      await pushFolder(layout.files())
      expect(tagged().mediaType).toBe(MEDIA_TYPES.ociIndex)
    })

    test('is not needed for a platform: an image says itself what it runs on', async () => {
      layout.list(arm64)
      await pushFolder(layout.files(), { platforms: ['linux/arm64'] })
      expect(tagged().digest).toBe(arm64.digest)
      await expect(pushFolder(layout.files(), { platforms: ['linux/amd64'] })).rejects.toThrow(
        /nothing for linux\/amd64; it has linux\/arm64/,
      )
    })
  })

  test('brings along what is attached to it, and to that, before it has its tag', async () => {
    const made = image()
    const sbom = layout.image(['sbom'], { subject: made })
    const signature = layout.image(['signature'], { subject: sbom })
    const elsewhere = layout.image(['of another'], { subject: layout.image(['another']) })
    layout.list(signature)
    layout.list(sbom)
    layout.list(elsewhere, 'other')
    await pushFolder(layout.files(), { image: 'v1' })
    expectWhole([made, sbom, signature])
    expect(stub.manifests.has(elsewhere.digest)).toBe(false)
    expect(pushedManifests().at(-1)?.line).toBe(`PUT ${TAG}`)
  })

  test('is refused with a damaged blob, wherever it is damaged', async () => {
    const made = image()
    // A push that fails may have sent other blobs by then, and what the registry has is not read again.
    const refuse = async (files: Parameters<typeof tarOf>[0], digest: string) => {
      stub.blobs.clear()
      await expect(pushTar(tarOf(files)), digest).rejects.toThrow(ContentCorruptError)
    }
    for (const digest of [...layout.blobs.keys()].filter((one) => layout.blobs.get(one)!.length > 0)) {
      const files = layout.files()
      const bytes = Buffer.from(files.get(blobPath(digest))!)
      bytes[0]! ^= 1
      files.set(blobPath(digest), bytes)
      await refuse(files, digest)
      files.set(blobPath(digest), Buffer.concat([bytes, bytes]))
      await refuse(files, digest)
    }
    expectNoTag()
    expect(stub.manifests.has(made.digest)).toBe(false)
  })

  test('is refused with a large damaged blob, of which the registry never gets the end', async () => {
    layout.list(layout.image([Buffer.alloc(3_500_000, 'x'), 'small']))
    const files = layout.files()
    const [digest] = [...layout.blobs].find(([, { length }]) => length === 3_500_000)!
    const bytes = Buffer.from(files.get(blobPath(digest))!)
    bytes[2_000_000]! ^= 1
    files.set(blobPath(digest), bytes)
    await expect(pushFolder(files)).rejects.toThrow(/is damaged: sha256:.* has bytes of the digest/)
    expectNoTag()
    expect(stub.blobs.has(digest)).toBe(false)
  })

  test('is refused without one of its blobs, before anything is sent', async () => {
    image()
    for (const digest of layout.blobs.keys()) {
      const files = layout.files()
      files.delete(blobPath(digest))
      await expect(pushTar(tarOf(files)), digest).rejects.toThrow(ContentMissingError)
    }
    expect(stub.requests).toEqual([])
  })

  test('is refused when a manifest is longer than a registry takes', async () => {
    const manifest = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      layers: [],
      x: 'x'.repeat(4 << 20),
    }
    layout.list(layout.add(MEDIA_TYPES.ociManifest, manifest))
    await expect(pushFolder(layout.files())).rejects.toThrow(ArchiveLimitError)
  })

  test('is refused when a link leads out of its folder', async () => {
    const made = image()
    const root = await writeFolder(join(folder, 'layout'), layout.files())
    const place = join(root, blobPath(made.digest))
    await writeFile(join(folder, 'outside'), layout.blobs.get(made.digest)!)
    await rm(place)
    await symlink(join(folder, 'outside'), place)
    await expect(push(root)).rejects.toThrow(ArchivePathError)
    await rm(place)
    await symlink(join(root, 'inside'), place)
    await writeFile(join(root, 'inside'), layout.blobs.get(made.digest)!)
    await push(root)
    expect(tagged().digest).toBe(made.digest)
  })

  test.each<[string, Record<string, string>]>([
    ['an unknown version', { 'oci-layout': '{"imageLayoutVersion":"2.0.0"}' }],
    ['a version that is no JSON', { 'oci-layout': '1.0.0' }],
    ['no list in its index', { 'index.json': '{"schemaVersion":2}' }],
    ['an empty index', { 'index.json': '{"schemaVersion":2,"manifests":[]}' }],
    ['an index that is a manifest', { 'index.json': '{"schemaVersion":2,"manifests":[],"layers":[]}' }],
  ])('is refused with %s', async (_what, changed) => {
    image()
    const files = layout.files()
    for (const [name, text] of Object.entries(changed)) files.set(name, Buffer.from(text))
    await expect(pushFolder(files)).rejects.toThrow(ArchiveFormatError)
  })
})

describe('what docker save wrote', () => {
  const tars = [Buffer.from('layer one'), Buffer.from('layer two')]
  const configOf = (layers: readonly Buffer[]) =>
    Buffer.from(
      JSON.stringify({
        architecture: 'amd64',
        os: 'linux',
        rootfs: { diff_ids: layers.map((layer) => digestOf(layer)) },
      }),
    )
  const manifest = (...images: object[]) => Buffer.from(JSON.stringify(images))

  /** Docker's until 24: a folder for each layer; a layer that is there twice is a link the second time. */
  function old(layers = tars, config = configOf(layers)): FixtureFiles {
    const files: FixtureFiles = new Map()
    const names = layers.map((layer, i) => [`${i}${hexOf(layer)}/layer.tar`, layer] as const)
    for (const [name, layer] of names) files.set(name, layer)
    files.set(`${hexOf(config)}.json`, config)
    const Layers = names.map(([name]) => name)
    files.set('manifest.json', manifest({ Config: `${hexOf(config)}.json`, RepoTags: ['app:1'], Layers }))
    return files
  }

  const expectImage = (
    config: Buffer,
    layers: readonly Buffer[],
    mediaType: string = MEDIA_TYPES.ociLayer,
  ) => {
    expect(tagged().document).toEqual({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(config), size: config.length },
      layers: layers.map((layer) => ({ mediaType, digest: digestOf(layer), size: layer.length })),
    })
    for (const blob of [config, ...layers]) expect(stub.blobs.get(digestOf(blob))?.equals(blob)).toBe(true)
  }

  test('keeps its image id and its layers, with links for layers that are there twice', async () => {
    const layers = [...tars, tars[0]!]
    const files = old(layers)
    const twice = `2${hexOf(tars[0]!)}/layer.tar`
    files.delete(twice)
    const link = { name: twice, type: 'symlink', linkname: `../0${hexOf(tars[0]!)}/layer.tar` } as const
    await pushTar(tarOf(files, [link]))
    expectImage(configOf(layers), layers)
    expect(stub.requests.filter(({ line }) => line.startsWith('POST'))).toHaveLength(3)
  })

  test('may lie in a folder, and have no layers', async () => {
    await pushFolder(old([]))
    expectImage(configOf([]), [])
  })

  test('may have compressed layers, which stay as they are', async () => {
    const packed = tars.map((layer) => gzipSync(layer))
    await pushTar(gzipSync(await tarOf(old(packed, configOf(tars)))))
    expectImage(configOf(tars), packed, MEDIA_TYPES.ociLayerGzip)
  })

  test('is an OCI layout since Docker 25, whose manifest counts', async () => {
    const made = layout.image(tars)
    layout.list(made, 'docker.io/library/app:1', 'io.containerd.image.name')
    const files = layout.files()
    const [config, ...layers] = [...layout.blobs.keys()].map(blobPath)
    files.set('manifest.json', manifest({ Config: config!, RepoTags: ['app:1'], Layers: layers.slice(0, 2) }))
    await pushTar(tarOf(files), { image: 'app:1' })
    expect(tagged().digest).toBe(made.digest)
  })

  test('may hold several images, one of which is chosen by tag or id', async () => {
    const files = old()
    const other = configOf([tars[1]!])
    files.set(`${hexOf(other)}.json`, other)
    const [first] = JSON.parse(files.get('manifest.json')!.toString())
    const second = { Config: `${hexOf(other)}.json`, RepoTags: null, Layers: [first.Layers[1]] }
    files.set('manifest.json', manifest(first, second))
    await expect(pushTar(tarOf(files))).rejects.toThrow(/app:1, sha256:/)
    await pushTar(tarOf(files), { image: digestOf(other) })
    expectImage(other, [tars[1]!])
    await pushTar(tarOf(files), { image: 'app:1' })
    expectImage(configOf(tars), tars)
  })

  test('is refused when a layer or the configuration is not what was saved', async () => {
    for (const name of [...old().keys()].filter((key) => key !== 'manifest.json')) {
      const files = old()
      files.set(name, Buffer.from('{"rootfs":{"diff_ids":[]}}'))
      await expect(pushTar(tarOf(files)), name).rejects.toThrow(ContentCorruptError)
      files.delete(name)
      await expect(pushTar(tarOf(files)), name).rejects.toThrow(ContentMissingError)
    }
    expect(stub.requests).toEqual([])
  })

  test.each<[string, object]>([
    ['not a list', {}],
    ['an image without a configuration', [{ Layers: [] }]],
    ['something else for layers', [{ Config: 'x', Layers: 'y' }]],
    ['nothing for an image', [null]],
    ['no image', []],
  ])('is refused with %s in its list', async (_what, list) => {
    const files: FixtureFiles = new Map([['manifest.json', Buffer.from(JSON.stringify(list))]])
    await expect(pushTar(tarOf(files))).rejects.toThrow(ArchiveFormatError)
  })

  test('is refused when a name in its list leads out of it', async () => {
    const files: FixtureFiles = new Map([
      ['manifest.json', manifest({ Config: '../../etc/passwd', Layers: [] })],
    ])
    await expect(pushTar(tarOf(files))).rejects.toThrow(ArchivePathError)
    await expect(pushFolder(files)).rejects.toThrow(ArchivePathError)
  })
})

describe('what is no archive', () => {
  test('is called that', async () => {
    await expect(push(join(folder, 'nothing'))).rejects.toThrow(/nothing cannot be read: ENOENT/)
    await mkdir(join(folder, 'empty'))
    await expect(push(join(folder, 'empty'))).rejects.toThrow(/neither oci-layout .* nor manifest.json/)
    await expect(pushTar(Buffer.alloc(2_000, 'text'))).rejects.toThrow(ArchiveFormatError)
    await expect(pushTar(gzipSync('text'))).rejects.toThrow(ArchiveFormatError)
    layout.list(layout.image(['x'.repeat(5_000)]))
    const tar = await tarOf(layout.files())
    await expect(pushTar(tar.subarray(0, tar.length - 6_000))).rejects.toThrow(ArchiveTruncatedError)
  })
})

function dotted(files: FixtureFiles): FixtureFiles {
  return new Map([...files].map(([name, bytes]) => [`./${name}`, bytes]))
}

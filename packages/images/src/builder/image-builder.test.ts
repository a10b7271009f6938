/**
 * Goal: layers and images that any client accepts, the same bytes each time they are read.
 * Method: the layers are read back with tar-stream, the documents with Shoal's own strict parser.
 */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { MEDIA_TYPES, parseManifest } from '@shoal/oci'
import { extract } from 'tar-stream'
import { describe, expect, test } from 'vitest'
import type { BlobSource } from './blob-source.ts'
import { fillerFile } from './filler.ts'
import { buildImage } from './image.ts'
import { buildLayer, fileFromDisk, fileFromText, type LayerFile } from './layer.ts'

async function read(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of bytes) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function entriesOf(
  layer: BlobSource,
): Promise<{ name: string; type: string; mode: number; size: number }[]> {
  const tar = extract()
  Readable.from(layer.open()).pipe(tar)
  const entries = []
  for await (const entry of tar) {
    const { name, type, mode, size } = entry.header
    entries.push({ name, type: type ?? '', mode: mode ?? 0, size: size ?? 0 })
    entry.resume()
  }
  return entries
}

describe('a layer', () => {
  test('holds the files below their folders, parents first', async () => {
    const files = [fileFromText('/app/bin/b', 'two'), fileFromText('/app/a', 'one')]
    expect(await entriesOf(await buildLayer(files))).toEqual([
      { name: 'app/', type: 'directory', mode: 0o755, size: 0 },
      { name: 'app/bin/', type: 'directory', mode: 0o755, size: 0 },
      { name: 'app/bin/b', type: 'file', mode: 0o644, size: 3 },
      { name: 'app/a', type: 'file', mode: 0o644, size: 3 },
    ])
  })

  test('is named by the digest and the size of what it gives, every time', async () => {
    const files = [
      await fileFromDisk('/bin/this', import.meta.filename, 0o755),
      fillerFile('/data', { seed: 'x', sizeBytes: 3 * 1024 ** 2 + 1 }),
    ]
    const [layer, again] = [await buildLayer(files), await buildLayer(files)]
    const bytes = await read(layer.open())
    expect(bytes.length).toBe(layer.sizeBytes)
    expect(`sha256:${createHash('sha256').update(bytes).digest('hex')}`).toBe(layer.digest)
    expect((await read(layer.open())).equals(bytes)).toBe(true)
    expect(again.digest).toBe(layer.digest)
  })

  test('closes its files when whoever reads it stops early', async () => {
    const isOpen = Promise.withResolvers<void>()
    let isClosed = false
    const file: LayerFile = {
      path: '/endless',
      sizeBytes: 1024 ** 3,
      mode: 0o644,
      async *open() {
        isOpen.resolve()
        try {
          for (;;) yield new Uint8Array(1024 ** 2)
        } finally {
          isClosed = true
        }
      },
    }
    const stop = new AbortController()
    const building = buildLayer([file], stop.signal)
    await isOpen.promise
    stop.abort(new Error('enough'))
    await expect(building).rejects.toThrow('enough')
    expect(isClosed).toBe(true)
  })

  test('fails when a file is not as long as it was said to be', async () => {
    const file = { ...fileFromText('/a', 'abc'), sizeBytes: 5 }
    await expect(buildLayer([file])).rejects.toThrow(/size mismatch/i)
  })
})

describe('filler', () => {
  const init = { seed: 'one', sizeBytes: 2 * 1024 ** 2 + 7 }

  test('has the length asked for and depends on the seed alone', async () => {
    const bytes = await read(fillerFile('/a', init).open())
    expect(bytes.length).toBe(init.sizeBytes)
    expect((await read(fillerFile('/b', init).open())).equals(bytes)).toBe(true)
    expect((await read(fillerFile('/a', { ...init, seed: 'two' }).open())).equals(bytes)).toBe(false)
  })
})

describe('an image', () => {
  test('has a manifest and a configuration that name its layers', async () => {
    const layers = [await buildLayer([fileFromText('/a', 'a')]), await buildLayer([fileFromText('/b', 'b')])]
    const init = { architecture: 'amd64', entrypoint: ['/a'], env: ['A=b'], user: '1:1' }
    const image = buildImage({ layers, ...init })
    const parsed = parseManifest((await read(image.manifest.open())).toString(), MEDIA_TYPES.ociManifest)
    expect(parsed).toMatchObject({
      kind: 'image',
      config: { digest: image.config.digest, size: image.config.sizeBytes },
      layers: layers.map(({ digest, sizeBytes }) => ({
        digest,
        size: sizeBytes,
        mediaType: MEDIA_TYPES.ociLayer,
      })),
    })
    const config = JSON.parse((await read(image.config.open())).toString())
    expect(config.rootfs.diff_ids).toEqual(layers.map(({ digest }) => digest))
    expect(config.config).toMatchObject({ Entrypoint: ['/a'], Env: ['A=b'], User: '1:1' })
    const sizes = [image.config, ...layers].map(({ sizeBytes }) => sizeBytes)
    expect(image.contentBytes).toBe(sizes.reduce((sum, size) => sum + size))
  })
})

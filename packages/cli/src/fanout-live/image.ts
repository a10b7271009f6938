/** The image that is fanned out: layers of bytes that nothing compresses, a function of the seed. Nobody unpacks them. */
import { MEDIA_TYPES } from '@shoal/oci'
import { type BlobSource, blobSource } from '../image-builder/blob-source.ts'
import { fillerFile } from '../image-builder/filler.ts'
import { buildImage, type Image } from '../image-builder/image.ts'

export async function buildLiveImage(
  { layerBytes, seed }: { layerBytes: readonly number[]; seed: number },
  signal: AbortSignal,
): Promise<Image> {
  const layers: BlobSource[] = []
  for (const [index, sizeBytes] of layerBytes.entries()) {
    const { open } = fillerFile('', { seed: `shoal fanout ${seed} layer ${index + 1}`, sizeBytes })
    layers.push(await blobSource(MEDIA_TYPES.ociLayer, open, signal))
  }
  return buildImage({ layers, architecture: 'amd64', entrypoint: ['/none'], env: [], user: '65534:65534' })
}

/** The image that is fanned out: layers of bytes that nothing compresses, a function of the seed. Nobody unpacks them. */

import { type BlobSource, blobSource, buildImage, fillerFile, type Image } from '@shoal/images'
import { MEDIA_TYPES } from '@shoal/oci'

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

/** What is pulled: an index with one image, its layers long enough to arrive in many pieces, and never seen before. */
import { randomUUID } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { buildImage, buildIndex, type Image, type Index } from '../../support/images.ts'
import { type Blob, randomLayer } from '../../support/layers.ts'
import { pushIndex } from '../../support/push.ts'
import { mirroredName } from './mirrored.ts'

export interface BlobBytes {
  readonly digest: string
  readonly bytes: Uint8Array
}

export interface Subject {
  /** As the client writes it, without the registry. */
  readonly repository: string
  readonly tag: string
  readonly index: Index
  readonly image: Image
  readonly config: BlobBytes
  /** The first is the long one. */
  readonly layers: readonly BlobBytes[]
}

/** With more than ten million bytes, offsets have eight digits: lists of many ranges are as long as they really are. */
const LAYERS_BYTES = [12_000_000, 700_000, 300_000]

export async function pushSubject(seederUrl: string, repository: string): Promise<Subject> {
  const layers = await Promise.all(
    LAYERS_BYTES.map((contentBytes) => randomLayer({ contentBytes, seed: randomUUID() })),
  )
  const image = buildImage({ layers })
  const index = buildIndex([image])
  await pushIndex(seederUrl, mirroredName(repository), '1', index)
  return {
    repository,
    tag: '1',
    index,
    image,
    config: await bytesOf(image.config),
    layers: await Promise.all(layers.map(bytesOf)),
  }
}

async function bytesOf(blob: Blob): Promise<BlobBytes> {
  return { digest: blob.digest, bytes: await buffer(blob.open()) }
}

/**
 * containerd 2.x, and what is built upon its resolver: nerdctl, Docker with the containerd image store.
 *
 * Seen in its fetcher and resolver, in the debug log of 2.2.1 (k0s #7011), and on the wire for 2.1.4 (containerd #12476):
 * - it resolves by HEAD, asks then by digest only, and takes `*` beside the type;
 * - a blob is offered three codings, and a coding that the answer names is undone;
 * - 2.1.0 to 2.1.2 put `bytes=0-` on every GET, manifests too (containerd #12001); later ones where layers go in chunks;
 * - with `concurrent_layer_fetch_buffer`, workers ask for everything from their chunk on and close the connection after it;
 * - a body that ends early is asked for again from the offset on, and the answer's `Content-Range` must begin there.
 */
import { mediaTypes } from '../../../support/images.ts'
import { NAMESPACE_QUERY } from '../mirrored.ts'
import {
  blobFrom,
  type Header,
  INDEX_AND_MANIFEST_TYPES,
  type Manner,
  notFound,
  type RecordedRequest,
  type Recorder,
  range,
  request,
  wholeBlob,
  wholeManifest,
} from '../recording.ts'
import type { BlobBytes, Subject } from '../subject.ts'

const manner = (version: string): Manner => ({
  headers: [['User-Agent', `containerd/${version}`]],
  query: NAMESPACE_QUERY,
})
const RESOLVE: Header = ['Accept', [...INDEX_AND_MANIFEST_TYPES, '*/*'].join(', ')]
const fetching = (mediaType: string): Header[] => [
  ['Accept', `${mediaType}, */*`],
  ['Accept-Encoding', 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5'],
]
const FROM_THE_START = range(0)
const CHUNK_BYTES = 1024 * 1024
const WORKERS = 6

/** Tag to index to image, as each version does; the GETs with what `extra` says. */
function manifests(
  { repository, tag, index, image }: Subject,
  as: Manner,
  extra: Header[] = [],
): RecordedRequest[][] {
  const at = (reference: string) => `/v2/${repository}/manifests/${reference}`
  const resolved = request(as, 'HEAD', at(tag), wholeManifest(index.manifest), { headers: [RESOLVE] })
  const fetched = [index.manifest, image.manifest].map((manifest) => [
    request(as, 'GET', at(manifest.digest), wholeManifest(manifest), {
      headers: [...fetching(manifest.mediaType), ...extra],
    }),
  ])
  return [[resolved], ...fetched]
}

/** Groups of chunks, each as many as there are workers; each connection is closed behind its chunk. */
function chunks({ repository }: Subject, { digest, bytes }: BlobBytes, as: Manner): RecordedRequest[][] {
  const requests = Array.from({ length: Math.ceil(bytes.length / CHUNK_BYTES) }, (_, i) => {
    const start = i * CHUNK_BYTES
    return request(as, 'GET', `/v2/${repository}/blobs/${digest}`, blobFrom(bytes, start), {
      headers: [...fetching(mediaTypes.oci.layer), range(start)],
      reads: Math.min(CHUNK_BYTES, bytes.length - start),
      afterwards: 'close',
    })
  })
  return Array.from({ length: Math.ceil(requests.length / WORKERS) }, (_, i) =>
    requests.slice(i * WORKERS, (i + 1) * WORKERS),
  )
}

export const containerdEarlyRanges: Recorder = (subject) => {
  const as = manner('v2.1.1')
  const { repository, config, layers } = subject
  const blobs = [config, ...layers].map(({ digest, bytes }, i) =>
    request(as, 'GET', `/v2/${repository}/blobs/${digest}`, blobFrom(bytes, 0), {
      headers: [...fetching(i === 0 ? mediaTypes.oci.config : mediaTypes.oci.layer), FROM_THE_START],
    }),
  )
  return {
    client: 'containerd 2.1.1: a range on every GET',
    steps: [...manifests(subject, as, [FROM_THE_START]), blobs],
  }
}

export const containerdChunks: Recorder = (subject) => {
  const as = manner('v2.2.1')
  const { repository, config, layers } = subject
  const small = [config, ...layers.slice(1)].map(({ digest, bytes }) =>
    request(as, 'GET', `/v2/${repository}/blobs/${digest}`, blobFrom(bytes, 0), {
      headers: [...fetching(mediaTypes.oci.layer), FROM_THE_START],
    }),
  )
  const [first, ...later] = chunks(subject, layers[0]!, as)
  return {
    client: 'containerd 2.2: layers in parallel chunks',
    steps: [...manifests(subject, as, [FROM_THE_START]), [...small, ...first!], ...later],
  }
}

export const containerdResume: Recorder = (subject) => {
  const as = manner('v2.0.5')
  const { repository, layers } = subject
  const [{ digest, bytes }] = layers as [BlobBytes]
  const layer = (start: number, reads?: number) =>
    request(
      as,
      'GET',
      `/v2/${repository}/blobs/${digest}`,
      start === 0 ? wholeBlob(bytes) : blobFrom(bytes, start),
      {
        headers: [...fetching(mediaTypes.oci.layer), ...(start === 0 ? [] : [range(start)])],
        ...(reads !== undefined && { reads, afterwards: 'close' }),
      },
    )
  // Offsets that are at no boundary of anything.
  return {
    client: 'containerd 2.0: cut twice, taken up twice',
    steps: [
      ...manifests(subject, as),
      [layer(0, 1_234_567)],
      [layer(1_234_567, 4_000_001)],
      [layer(5_234_568)],
    ],
  }
}

export const containerdCancelled: Recorder = (subject) => {
  const as = manner('v2.2.1')
  const { repository, config, layers } = subject
  const path = (digest: string) => `/v2/${repository}/blobs/${digest}`
  const left = { reads: 'nothing', afterwards: 'close' } as const
  const blobs = [config, ...layers].map(({ digest, bytes }) =>
    request(as, 'GET', path(digest), wholeBlob(bytes), { headers: fetching(mediaTypes.oci.layer), ...left }),
  )
  const [{ digest, bytes }] = layers as [BlobBytes]
  const late = bytes.length - 1_000
  const end = request(as, 'GET', path(digest), blobFrom(bytes, late), { headers: [range(late)], ...left })
  return {
    client: 'containerd: the pod is deleted, and the pull cancelled, twice',
    steps: [...manifests(subject, as), blobs, ...manifests(subject, as), [...blobs, end]],
  }
}

export const containerdMisses: Recorder = ({ repository }) => {
  const as = manner('v2.2.1')
  const nobody = `sha256:${'0'.repeat(64)}`
  const miss = (method: 'GET' | 'HEAD', path: string) => [
    request(as, method, `/v2/${path}`, notFound, { headers: [RESOLVE] }),
  ]
  return {
    client: 'containerd: what is not there',
    steps: [
      miss('HEAD', `${repository}/manifests/none`),
      // By digest it looks among the blobs as well.
      miss('HEAD', `${repository}/manifests/${nobody}`),
      miss('HEAD', `${repository}/blobs/${nobody}`),
      miss('GET', `${repository}/manifests/${nobody}`),
      miss('HEAD', `nobody/has/this/manifests/none`),
      miss('GET', `nobody/has/this/blobs/${nobody}`),
    ],
  }
}

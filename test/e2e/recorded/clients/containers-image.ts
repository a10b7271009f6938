/**
 * CRI-O and podman: containers/image, and containers/storage where layers are pulled in part (zstd:chunked).
 *
 * Seen on the wire from Debian's skopeo 1.9 and in the sources of both:
 * - `GET /v2/` first, no HEAD; a connection for each request; six types, each on an `Accept` line of its own;
 * - a signature is looked for under a tag of the digest, and only "unknown" is no failure;
 * - zstd:chunked: first the two tables at the layer's end by one request (zot #3623), then what is missing, in up to 1024
 *   ranges (`maxNumberMissingChunks`). A 200 is cut up by the client; anything but 200, 206 and 400 fails the pull.
 */
import { signatureTag } from '../../../support/artifacts.ts'
import { mediaTypes } from '../../../support/images.ts'
import { mirroredName } from '../mirrored.ts'
import {
  alive,
  type Header,
  type Manner,
  notFound,
  type RecordedRequest,
  type Recorder,
  request,
  type Span,
  wholeBlob,
  wholeManifest,
} from '../recording.ts'
import type { BlobBytes, Subject } from '../subject.ts'

const AS: Manner = {
  headers: [
    ['User-Agent', 'cri-o/1.34.0 go/go1.24.6 os/linux arch/amd64'],
    ['Docker-Distribution-Api-Version', 'registry/2.0'],
    ['Connection', 'close'],
  ],
  afterwards: 'close',
}
const GZIP: Header = ['Accept-Encoding', 'gzip']
const ACCEPT: Header[] = [
  mediaTypes.oci.manifest,
  mediaTypes.docker.manifest,
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
  'application/vnd.docker.distribution.manifest.v1+json',
  mediaTypes.docker.index,
  mediaTypes.oci.index,
].map((type) => ['Accept', type])

function manifests({ repository, tag, index, image }: Subject): RecordedRequest[][] {
  const at = (reference: string) => `/v2/${mirroredName(repository)}/manifests/${reference}`
  const headers = [...ACCEPT, GZIP]
  return [
    [request(AS, 'GET', '/v2/', alive, { headers: [GZIP] })],
    [request(AS, 'GET', at(tag), wholeManifest(index.manifest), { headers })],
    [request(AS, 'GET', at(image.manifest.digest), wholeManifest(image.manifest), { headers })],
    [request(AS, 'GET', at(signatureTag(image.manifest)), notFound, { headers })],
  ]
}

export const crio: Recorder = (subject) => {
  const { repository, config, layers } = subject
  const blob = ({ digest, bytes }: BlobBytes) =>
    request(AS, 'GET', `/v2/${mirroredName(repository)}/blobs/${digest}`, wholeBlob(bytes), {
      headers: [GZIP],
    })
  return { client: 'CRI-O', steps: [...manifests(subject), layers.map(blob), [blob(config)]] }
}

export const zstdChunked: Recorder = (subject) => {
  const { repository, config, layers } = subject
  const [{ digest, bytes }] = layers as [BlobBytes]
  const path = `/v2/${mirroredName(repository)}/blobs/${digest}`
  const end = bytes.length
  // What lies between the two tables and behind them is the frame around them.
  const tables = [
    { start: end - 36_530, end: end - 16_274 },
    { start: end - 16_265, end: end - 72 },
  ]
  const changed = (count: number, spanBytes: number) =>
    Array.from({ length: count }, (_, i) => {
      const start = 1_000 + Math.floor((i * (end - 200_000)) / count)
      return { start, end: start + spanBytes }
    })
  return {
    client: 'podman, zstd:chunked',
    steps: [
      ...manifests(subject),
      [several(path, bytes, tables)],
      [several(path, bytes, changed(12, 70_000))],
      [several(path, bytes, changed(RANGES_MAX, 2_000))],
      [request(AS, 'GET', `/v2/${mirroredName(repository)}/blobs/${config.digest}`, wholeBlob(config.bytes))],
    ],
  }
}

const RANGES_MAX = 1_024

function several(path: string, body: Uint8Array, parts: readonly Span[]): RecordedRequest {
  const specs = parts.map(({ start, end }) => `${start}-${end - 1}`)
  return request(
    AS,
    'GET',
    path,
    { status: 206, body, parts },
    { headers: [['Range', `bytes=${specs.join(',')}`]] },
  )
}

/**
 * Docker Engine with its own image store, where a registry mirror is set and the network is bad.
 *
 * Seen on the wire from Debian's 20.10 and in the reader that it shares with Distribution: a connection for each request; six
 * types on lines of their own, in whatever order; gzip offered for every body; a blob that was cut is asked for again from
 * the offset on, five times, and only a 206 will do whose `Content-Range` begins there and reaches the end.
 */
import { mediaTypes } from '../../../support/images.ts'
import { mirroredName } from '../mirrored.ts'
import {
  alive,
  blobFrom,
  type Header,
  type Manner,
  type RecordedRequest,
  type Recorder,
  range,
  request,
  wholeBlob,
  wholeManifest,
} from '../recording.ts'
import type { BlobBytes } from '../subject.ts'

const AS: Manner = {
  headers: [
    [
      'User-Agent',
      'docker/20.10.24+dfsg1 go/go1.19.8 git-commit/5d6db84 kernel/6.1.0 os/linux arch/amd64 UpstreamClient(Docker-Client/20.10.24+dfsg1 \\(linux\\))',
    ],
    ['Connection', 'close'],
  ],
  afterwards: 'close',
}
const GZIP: Header = ['Accept-Encoding', 'gzip']
const ACCEPT: Header[] = [
  mediaTypes.oci.index,
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
  'application/json',
  mediaTypes.oci.manifest,
  mediaTypes.docker.manifest,
  mediaTypes.docker.index,
].map((type) => ['Accept', type])

export const dockerEngine: Recorder = ({ repository, tag, index, image, config, layers }) => {
  const base = `/v2/${mirroredName(repository)}`
  const manifest = (one: typeof index.manifest) =>
    request(AS, 'GET', `${base}/manifests/${one.digest}`, wholeManifest(one), { headers: [...ACCEPT, GZIP] })
  const blob = ({ digest, bytes }: BlobBytes) =>
    request(AS, 'GET', `${base}/blobs/${digest}`, wholeBlob(bytes), { headers: [GZIP] })
  const [long, ...short] = layers as [BlobBytes, ...BlobBytes[]]
  return {
    client: 'Docker Engine: a layer cut five times',
    steps: [
      [request(AS, 'GET', '/v2/', alive, { headers: [GZIP] })],
      [request(AS, 'HEAD', `${base}/manifests/${tag}`, wholeManifest(index.manifest), { headers: ACCEPT })],
      [manifest(index.manifest)],
      [manifest(image.manifest)],
      // The first attempt at the long layer dies beside the others.
      [{ ...blob(long), reads: 65_537 }, blob(config), ...short.map(blob)],
      ...resumed(`${base}/blobs/${long.digest}`, long.bytes).map((attempt) => [attempt]),
    ],
  }
}

function resumed(path: string, bytes: Uint8Array): RecordedRequest[] {
  const offsets = [65_537, 65_538, 2_000_000, 6_291_456, bytes.length - 1]
  return offsets.map((start, i) => {
    const end = offsets[i + 1]
    return request(AS, 'GET', path, blobFrom(bytes, start), {
      headers: [range(start)],
      ...(end !== undefined && { reads: end - start }),
    })
  })
}

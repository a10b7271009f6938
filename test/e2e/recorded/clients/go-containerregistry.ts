/**
 * kaniko, crane, and others upon go-containerregistry.
 *
 * Seen in its fetcher: only a 200 will do for a blob; its `Content-Length` must be the descriptor's size, so a body must not
 * be compressed although Go offers gzip; a HEAD needs type, length and digest; redirects to this machine are refused.
 */
import { mediaTypes } from '../../../support/images.ts'
import { mirroredName } from '../mirrored.ts'
import {
  alive,
  type Header,
  type Manner,
  type Recorder,
  request,
  wholeBlob,
  wholeManifest,
} from '../recording.ts'
import type { BlobBytes } from '../subject.ts'

const AS: Manner = { headers: [['User-Agent', 'kaniko/v1.24.0 go-containerregistry/v0.20.6']] }
const GZIP: Header = ['Accept-Encoding', 'gzip']
const ACCEPT: Header = [
  'Accept',
  [mediaTypes.docker.manifest, mediaTypes.oci.manifest, mediaTypes.docker.index, mediaTypes.oci.index].join(
    ',',
  ),
]

export const kaniko: Recorder = ({ repository, tag, index, image, config, layers }) => {
  const base = `/v2/${mirroredName(repository)}`
  const headers = [ACCEPT, GZIP]
  const blob = ({ digest, bytes }: BlobBytes) =>
    request(AS, 'GET', `${base}/blobs/${digest}`, wholeBlob(bytes), { headers: [GZIP] })
  const head = ({ digest, bytes }: BlobBytes) =>
    request(AS, 'HEAD', `${base}/blobs/${digest}`, {
      ...wholeBlob(bytes),
      headers: { 'docker-content-digest': digest },
    })
  return {
    client: 'kaniko',
    steps: [
      [request(AS, 'GET', '/v2/', alive, { headers: [GZIP] })],
      [request(AS, 'HEAD', `${base}/manifests/${tag}`, wholeManifest(index.manifest), { headers: [ACCEPT] })],
      [request(AS, 'GET', `${base}/manifests/${tag}`, wholeManifest(index.manifest), { headers })],
      [
        request(AS, 'GET', `${base}/manifests/${image.manifest.digest}`, wholeManifest(image.manifest), {
          headers,
        }),
      ],
      [blob(config)],
      // Layers are opened when the file system is built: one by one, from the bottom.
      ...layers.toReversed().flatMap((layer) => [[head(layer)], [blob(layer)]]),
    ],
  }
}

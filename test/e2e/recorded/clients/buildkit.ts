/**
 * BuildKit with a mirror that has a path (`mirrors = ["127.0.0.1:5001/proxy/hub"]`): the path goes between `/v2/` and the
 * repository (BuildKit #4079), the registry is said as well; fetched through containerd's resolver, blobs whole.
 */
import { mediaTypes } from '../../../support/images.ts'
import { mirroredName, NAMESPACE_QUERY } from '../mirrored.ts'
import {
  type Header,
  INDEX_AND_MANIFEST_TYPES,
  type Manner,
  type Recorder,
  request,
  wholeBlob,
  wholeManifest,
} from '../recording.ts'

const AS: Manner = { headers: [['User-Agent', 'containerd/v2.1.4+unknown']], query: NAMESPACE_QUERY }
const RESOLVE: Header = ['Accept', [...INDEX_AND_MANIFEST_TYPES, '*/*'].join(', ')]
const fetching = (mediaType: string): Header[] => [
  ['Accept', `${mediaType}, */*`],
  ['Accept-Encoding', 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5'],
]

export const buildkit: Recorder = ({ repository, tag, index, image, config, layers }) => {
  const base = `/v2/${mirroredName(repository)}`
  const manifest = (one: typeof index.manifest) =>
    request(AS, 'GET', `${base}/manifests/${one.digest}`, wholeManifest(one), {
      headers: fetching(one.mediaType),
    })
  const blobs = [config, ...layers].map(({ digest, bytes }, i) =>
    request(AS, 'GET', `${base}/blobs/${digest}`, wholeBlob(bytes), {
      headers: fetching(i === 0 ? mediaTypes.oci.config : mediaTypes.oci.layer),
    }),
  )
  return {
    client: 'BuildKit, a mirror with a path',
    steps: [
      [
        request(AS, 'HEAD', `${base}/manifests/${tag}`, wholeManifest(index.manifest), {
          headers: [RESOLVE],
        }),
      ],
      [manifest(index.manifest)],
      [manifest(image.manifest)],
      blobs,
    ],
  }
}

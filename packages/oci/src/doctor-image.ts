/**
 * The tiny image that every seeder carries for test pulls, the same bytes everywhere. Pure.
 *
 * A configuration and one layer, a tar with one text file. There is no program in it: it is pulled, not run. The layer is
 * longer than what travels inside a resolution (32 KiB), so that its piece really comes from a peer. Whoever changes a byte
 * here changes the tag: a node must be able to tell what it pulled by the digest.
 */
import { asciiBytes, type Digest, parseDigest } from '@shoal/core'
import { MEDIA_TYPES } from './media-types.ts'

export const DOCTOR_REPOSITORY = 'shoal/doctor'
export const DOCTOR_TAG = '1'

export interface DoctorContent {
  readonly mediaType: string
  readonly digest: Digest
  readonly bytes: Uint8Array
}

export interface DoctorImage {
  readonly manifest: DoctorContent
  /** The configuration, then the layer. */
  readonly blobs: readonly DoctorContent[]
}

/** Known beforehand, since nothing here can hash: a test holds them against the bytes. */
const DIGESTS = {
  layer: parseDigest('sha256:c5d5fe63cc17f50a9e1e67523f3c6ceff660052705a4257a0193efa98eadbb96'),
  config: parseDigest('sha256:3b7428f78a2d4023e2b79f0dbddf03ed8c64067077ce451c113c230b4df12d38'),
  manifest: parseDigest('sha256:3dbbbb4efa0f3e8970bd05872dfb37e1189bf8be92ff2c4bb8ea05f94e3c2a5c'),
}
const FILE_NAME = 'shoal-doctor.txt'
const LINE =
  'This image is for test pulls of "shoal doctor": there is no program in it. Every line is the same.\n'
const FILE_BYTES = 64 * 1024
/** POSIX.1-2008, "ustar Interchange Format". */
const TAR_BLOCK_BYTES = 512

export function doctorImage(): DoctorImage {
  const layer = { mediaType: MEDIA_TYPES.ociLayer, digest: DIGESTS.layer, bytes: layerBytes() }
  const config = jsonContent(MEDIA_TYPES.ociConfig, DIGESTS.config, {
    created: '1970-01-01T00:00:00Z',
    // The text means the same on every machine; clients warn of another architecture, and every one has this.
    architecture: 'amd64',
    os: 'linux',
    config: { Labels: { 'org.opencontainers.image.description': 'For test pulls of shoal doctor' } },
    rootfs: { type: 'layers', diff_ids: [layer.digest] },
  })
  const manifest = jsonContent(MEDIA_TYPES.ociManifest, DIGESTS.manifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: descriptorOf(config),
    layers: [descriptorOf(layer)],
  })
  return { manifest, blobs: [config, layer] }
}

function layerBytes(): Uint8Array {
  const text = LINE.repeat(Math.ceil(FILE_BYTES / LINE.length)).slice(0, FILE_BYTES)
  // The file is whole blocks long; two empty ones end the archive.
  const tar = new Uint8Array(TAR_BLOCK_BYTES + FILE_BYTES + 2 * TAR_BLOCK_BYTES)
  tar.set(tarHeader())
  tar.set(asciiBytes(text), TAR_BLOCK_BYTES)
  return tar
}

function tarHeader(): Uint8Array {
  const header = new Uint8Array(TAR_BLOCK_BYTES)
  const put = (at: number, text: string) => header.set(asciiBytes(text), at)
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, '0')}\0`
  put(0, FILE_NAME)
  put(100, octal(0o644, 7))
  put(108, octal(0, 7))
  put(116, octal(0, 7))
  put(124, octal(FILE_BYTES, 11))
  put(136, octal(0, 11))
  // The checksum counts its own field as blanks.
  put(148, ' '.repeat(8))
  put(156, '0')
  put(257, 'ustar\u000000')
  put(
    148,
    `${octal(
      header.reduce((sum, byte) => sum + byte, 0),
      6,
    )} `,
  )
  return header
}

function jsonContent(mediaType: string, digest: Digest, document: object): DoctorContent {
  return { mediaType, digest, bytes: asciiBytes(JSON.stringify(document)) }
}

function descriptorOf({ mediaType, digest, bytes }: DoctorContent): object {
  return { mediaType, digest, size: bytes.length }
}

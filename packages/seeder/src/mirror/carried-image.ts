/**
 * The tiny image that every seeder carries, for test pulls (`doctorImage` of oci). It is pushed the way that clients push,
 * the first time that somebody asks for it, and again whenever something of it is gone or its tag means something else.
 * Until then an origin holds nothing that nobody asked for.
 */
import { DOCTOR_REPOSITORY, DOCTOR_TAG, type DoctorContent, type DoctorImage, doctorImage } from '@shoal/oci'
import type { ImageStore } from '@shoal/registry'
import type { Logger } from 'pino'

export class CarriedImage {
  readonly #images: ImageStore
  readonly #log: Logger
  #image: DoctorImage | undefined
  #pushing: Promise<void> | undefined

  constructor(parts: { images: ImageStore; log: Logger }) {
    this.#images = parts.images
    this.#log = parts.log
  }

  /** Resolves when it can be pulled, or could not be pushed; those who ask at once wait for one push. Never rejects. */
  async ensure(): Promise<void> {
    this.#pushing ??= this.#push()
      .catch((error: unknown) =>
        this.#log.warn({ event: 'image-not-carried', err: error }, 'the image for test pulls is not here'),
      )
      .finally(() => {
        this.#pushing = undefined
      })
    await this.#pushing
  }

  async #push(): Promise<void> {
    const images = this.#images
    this.#image ??= doctorImage()
    const { manifest, blobs } = this.#image
    const known = await images.manifest(DOCTOR_REPOSITORY, { kind: 'tag', tag: DOCTOR_TAG })
    const found = await Promise.all(
      blobs.map(({ digest }) => images.blobStat(DOCTOR_REPOSITORY, digest, 'pull')),
    )
    if (known?.digest === manifest.digest && !found.includes(undefined)) return
    for (const [position, blob] of blobs.entries())
      if (found[position] === undefined) await this.#pushBlob(blob)
    const tag = { kind: 'tag', tag: DOCTOR_TAG } as const
    await images.putManifest(DOCTOR_REPOSITORY, tag, manifest.mediaType, manifest.bytes)
  }

  async #pushBlob({ digest, bytes }: DoctorContent): Promise<void> {
    const images = this.#images
    const init = { bytesExpected: bytes.length, isOneRequest: true }
    const { id } = await images.startUpload(DOCTOR_REPOSITORY, init)
    async function* body() {
      yield bytes
    }
    await images.appendUpload(DOCTOR_REPOSITORY, id, body(), { isLast: true })
    await images.finishUpload(DOCTOR_REPOSITORY, id, digest)
  }
}

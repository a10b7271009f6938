/** Has a seeder publish images: told and left alone, or told and followed until every image is there or has failed. */
import { PUBLISH_PATH, type PublishRequest } from '@shoal/wire'
import { type ControlTarget, followPublish, requestPublish } from '../control-client/control-client.ts'
import { SeederAnswerError } from '../control-client/errors.ts'
import { printable } from '../control-client/printable.ts'
import { showPublish } from './progress.ts'

/** What `--json` prints. */
export type PublishReport = AcceptedReport | EndedReport

/** Nobody waited. */
export interface AcceptedReport {
  readonly accepted: readonly string[]
}

export interface EndedReport {
  readonly published: readonly PublishedImage[]
  readonly failed: readonly FailedImage[]
}

export interface PublishedImage {
  readonly reference: string
  readonly digest: string
  readonly copiedBytes: number
  readonly presentBytes: number
}

export interface FailedImage {
  readonly reference: string
  /** The seeder's. */
  readonly code: string
  readonly message: string
}

/** @throws ControlClientError, or the signal's reason */
export async function runPublish(
  target: ControlTarget,
  { wait, ...wanted }: PublishRequest,
  stream: NodeJS.WriteStream,
): Promise<PublishReport> {
  if (!wait) return { accepted: await requestPublish(target, wanted) }
  const published: PublishedImage[] = []
  const failed: FailedImage[] = []
  const unfit = (reason: string) => new SeederAnswerError(target.seederUrl + PUBLISH_PATH, reason)
  const progress = showPublish(stream)
  try {
    const end = await followPublish(target, wanted, (line) => {
      progress.show(line)
      if (line.type === 'published') {
        const { reference, digest, copiedBytes, presentBytes } = line
        published.push({ reference, digest, copiedBytes, presentBytes })
      } else if (line.type === 'failed') {
        const { reference, code, message } = line
        failed.push({ reference, code, message: printable(message) })
      }
      if (published.length + failed.length > wanted.references.length)
        throw unfit(`it told of more than the ${wanted.references.length} images that were asked for`)
    })
    // A script must not take silence about an image for success.
    if (end.published !== published.length || end.failed !== failed.length)
      throw unfit(
        `it counts ${end.published} published and ${end.failed} failed, and told of ${published.length} and ${failed.length}`,
      )
    if (published.length + failed.length < wanted.references.length)
      throw unfit(`it told of ${published.length + failed.length} of ${wanted.references.length} images`)
  } finally {
    progress.stop()
  }
  return { published, failed }
}

/** What an archive offers, and which of it is meant. */
import type { Digest } from '@shoal/core'
import type { Content, Wanted } from './content.ts'
import { ArchiveFormatError, ImageChoiceError } from './errors.ts'

export interface ArchivedImage {
  /** What `--image` may say, the best first; the digest or the image id is one of them. */
  readonly names: readonly string[]
  /** Belongs to another image of the archive: only meant when it is named. */
  readonly isPart: boolean
  /** Finds everything else out, which may mean to hash its layers. */
  locate(): Promise<ImageLocation>
}

export interface ImageLocation {
  readonly content: Content
  /** A manifest or an index. */
  readonly root: Wanted
  /** What the archive has that is attached to something. */
  readonly referrers: readonly Referrer[]
}

export interface Referrer {
  readonly descriptor: Wanted
  readonly subject: Digest
}

/** @throws ImageChoiceError · ArchiveFormatError when the archive has no image */
export function chooseImage(
  path: string,
  images: readonly ArchivedImage[],
  wanted: string | undefined,
): ArchivedImage {
  const whole = images.filter(({ isPart }) => !isPart)
  const [only] = whole
  if (only === undefined) throw new ArchiveFormatError(path, 'it has no image')
  const lines = whole.map(({ names }) => names.join(', '))
  if (wanted === undefined) {
    if (whole.length > 1) throw new ImageChoiceError(path, `has ${whole.length} images`, lines)
    return only
  }
  const matches = images.filter(({ names }) => names.some((name) => isMeant(name, wanted)))
  if (matches.length === 1) return matches[0]!
  const has = matches.length === 0 ? 'no image' : `${matches.length} images`
  throw new ImageChoiceError(path, `has ${has} called ${JSON.stringify(wanted)}`, lines)
}

/** As Docker reads names: what it writes in full is typed without the default host, folder and tag. */
function isMeant(name: string, wanted: string): boolean {
  const short = name.replace(/^docker\.io\/(library\/)?/, '')
  return [name, short].some((one) => one === wanted || one === `${wanted}:latest`)
}

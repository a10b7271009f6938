/** What a scrub found, for people. Pure. */

import { megabytes } from '@shoal/settings'
import type { ScrubLine } from '@shoal/wire'

const DAMAGES = {
  missing: 'its content is gone',
  cut: 'its content was cut',
  changed: 'its content was changed',
}

export function scrubLineText({
  digest,
  damage,
  repositories,
}: Extract<ScrubLine, { type: 'damaged' }>): string {
  const where = repositories.length === 0 ? 'in no repository' : `in ${repositories.join(', ')}`
  return `${digest}: ${DAMAGES[damage]}; ${where}`
}

export function scrubEndText({
  blobs,
  bytes,
  damagedBlobs,
  mendedBlobs,
}: Extract<ScrubLine, { type: 'end' }>): string {
  const read = `${blobs} blobs read, ${megabytes(bytes)}`
  const mended = mendedBlobs === 0 ? '' : ` ${mendedBlobs} were mended.`
  if (damagedBlobs === 0) return `${read}; all are what was pushed.${mended}`
  return `${read}; ${damagedBlobs} are damaged: push their images again, mirrored ones are fetched again by themselves.${mended}`
}

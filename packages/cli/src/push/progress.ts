/** Shows a push on a terminal: a bar for each layer that is under way, a line for each that is done. Elsewhere nothing. */

import { digestHex } from '@shoal/core'
import { MultiBar, Presets, type SingleBar } from 'cli-progress'
import { megabytes } from '../demo/report.ts'
import type { BlobSource } from '../image-builder/blob-source.ts'

export interface PushProgress {
  add(bytes: number, blob: BlobSource, how: 'sent' | 'skipped'): void
  /** Takes the bars away. */
  stop(): void
}

/** As many digits of a digest as Docker shows. */
const DIGITS = 12

export function showPush(stream: NodeJS.WriteStream): PushProgress {
  if (!stream.isTTY) return { add() {}, stop() {} }
  const display = new MultiBar(
    {
      stream,
      format: ' {name} {bar} {percentage} %  {megabytes} of {totalMegabytes}',
      hideCursor: true,
      barsize: 32,
      fps: 8,
      // What is done has its line; the bars are of what is not.
      clearOnComplete: true,
    },
    Presets.shades_grey,
  )
  const underWay = new Map<BlobSource, { bar: SingleBar; sentBytes: number }>()
  return {
    add(bytes, blob, how) {
      const name = digestHex(blob.digest).slice(0, DIGITS)
      const shown = underWay.get(blob) ?? { bar: undefined, sentBytes: 0 }
      const sentBytes = shown.sentBytes + bytes
      if (sentBytes >= blob.sizeBytes) {
        if (shown.bar !== undefined) display.remove(shown.bar)
        underWay.delete(blob)
        display.log(
          ` ${name} ${megabytes(blob.sizeBytes)} ${how === 'skipped' ? 'is there already' : 'pushed'}\n`,
        )
        return
      }
      const texts = { name, megabytes: megabytes(sentBytes), totalMegabytes: megabytes(blob.sizeBytes) }
      const bar = shown.bar ?? display.create(blob.sizeBytes, 0, texts)
      bar.update(sentBytes, texts)
      underWay.set(blob, { bar, sentBytes })
    },
    stop() {
      // Lines wait for the next picture, and the last ones would wait for ever.
      display.update()
      display.stop()
    },
  }
}

/** Shows a push on a terminal: a bar for each layer that is under way, a line for each that is done. Elsewhere nothing. */

import { digestHex } from '@shoal/core'
import type { BlobSource } from '@shoal/images'
import { megabytes } from '@shoal/settings'
import { LayerBars, layerName } from '../layer-progress/layer-bars.ts'

export interface PushProgress {
  add(bytes: number, blob: BlobSource, how: 'sent' | 'skipped'): void
  /** Takes the bars away. */
  stop(): void
}

export function showPush(stream: NodeJS.WriteStream): PushProgress {
  if (!stream.isTTY) return { add() {}, stop() {} }
  const bars = new LayerBars<BlobSource>(stream)
  const sentBytesOf = new Map<BlobSource, number>()
  return {
    add(bytes, blob, how) {
      const name = layerName(digestHex(blob.digest))
      const sentBytes = (sentBytesOf.get(blob) ?? 0) + bytes
      if (sentBytes >= blob.sizeBytes) {
        bars.remove(blob)
        sentBytesOf.delete(blob)
        bars.log(`${name} ${megabytes(blob.sizeBytes)} ${how === 'skipped' ? 'is there already' : 'pushed'}`)
        return
      }
      sentBytesOf.set(blob, sentBytes)
      bars.show(blob, name, sentBytes, blob.sizeBytes)
    },
    stop: () => bars.stop(),
  }
}

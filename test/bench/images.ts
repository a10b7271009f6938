/** Images for benchmarks: what is in a layer is nobody's business, so blobs are random bytes and no tar. */
import { randomBytes } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { digestHex, tryParseDigest } from '@shoal/core'
import type { Node } from '../support/cluster.ts'
import { buildImage, type Image } from '../support/images.ts'
import { type Layer, memoryBlob } from '../support/layers.ts'
import type { BenchBlob } from './bench-blob.ts'

const READ_CHUNK_BYTES = 1024 * 1024

export function imageOf(blob: BenchBlob): Image {
  const { digest, length: sizeBytes } = blob.metainfo
  const open = () => createReadStream(blob.path, { highWaterMark: READ_CHUNK_BYTES })
  return buildImage({ layers: [{ digest, sizeBytes, diffId: digest, open }] })
}

export function randomImage(layerSizesBytes: readonly number[]): Image {
  return buildImage({ layers: layerSizesBytes.map(randomLayerOf) })
}

function randomLayerOf(sizeBytes: number): Layer {
  const blob = memoryBlob(randomBytes(sizeBytes))
  return { ...blob, diffId: blob.digest }
}

const CACHED_TIMEOUT_MS = 60_000
const CACHED_PAUSE_MS = 50

/** Waits until the agent has checked and flushed the blob: a client has its last byte before that. */
export async function untilCached(agent: Node, digest: string): Promise<void> {
  const hex = digestHex(tryParseDigest(digest)!)
  const path = join(agent.folder, 'pieces', 'blobs', 'sha256', hex.slice(0, 2), hex)
  const deadlineMs = performance.now() + CACHED_TIMEOUT_MS
  while (!existsSync(path)) {
    if (performance.now() > deadlineMs) throw new Error(`${agent.name} does not complete ${digest}`)
    await delay(CACHED_PAUSE_MS)
  }
}

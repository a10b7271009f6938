/**
 * Shows on a terminal what a seeder tells of a publish: a bar for each layer that it copies, one for nodes that are being
 * warmed, a line for each image and for the nodes that have it. Elsewhere nothing.
 */
import { digestHex } from '@shoal/core'
import { megabytes } from '@shoal/settings'
import type { PublishLine } from '@shoal/wire'
import { LayerBars, layerName } from '../layer-progress/layer-bars.ts'

export interface PublishProgress {
  show(line: PublishLine): void
  /** Takes the bars away. */
  stop(): void
}

/** Of an index with all its platforms; what a seeder tells beyond that is not kept. */
const LAYERS_KEPT_MAX = 16_384

export function showPublish(stream: NodeJS.WriteStream): PublishProgress {
  if (!stream.isTTY) return { show() {}, stop() {} }
  const shown = new ShownPublish(new LayerBars<string>(stream))
  return { show: (line) => shown.show(line), stop: () => shown.stop() }
}

class ShownPublish {
  readonly #bars: LayerBars<string>
  /** By reference and digest, while the image is under way. */
  readonly #bytesOf = new Map<string, Map<string, number>>()
  /** By reference. */
  readonly #warm = new Map<string, { readonly nodes: number; readonly ready: number }>()

  constructor(bars: LayerBars<string>) {
    this.#bars = bars
  }

  show(line: PublishLine): void {
    if (line.type === 'image') this.#keepSizes(line)
    else if (line.type === 'layer') this.#showLayer(line)
    else if (line.type === 'warm') this.#showWarm(line)
    else if (line.type !== 'end') this.#showEnd(line)
  }

  /** Nodes that are not ready by now are told of as they are. */
  stop(): void {
    for (const reference of [...this.#warm.keys()]) this.#endWarm(reference)
    this.#bars.stop()
  }

  #keepSizes({ reference, layers }: Extract<PublishLine, { type: 'image' }>): void {
    const sizes = this.#bytesOf.get(reference) ?? new Map<string, number>()
    for (const { digest, bytes } of layers) if (sizes.size < LAYERS_KEPT_MAX) sizes.set(digest, bytes)
    this.#bytesOf.set(reference, sizes)
  }

  #showLayer({ reference, digest, receivedBytes, state }: Extract<PublishLine, { type: 'layer' }>): void {
    const totalBytes = this.#bytesOf.get(reference)?.get(digest)
    if (state === 'copying' && totalBytes !== undefined)
      this.#bars.show(layerKey(reference, digest), layerName(digestHex(digest)), receivedBytes, totalBytes)
    else this.#bars.remove(layerKey(reference, digest))
  }

  #showWarm({ reference, nodes, ready }: Extract<PublishLine, { type: 'warm' }>): void {
    this.#warm.set(reference, { nodes, ready })
    if (ready >= nodes) this.#endWarm(reference)
    else this.#bars.showCount(warmKey(reference), reference, ready, nodes, 'nodes have it')
  }

  #endWarm(reference: string): void {
    const { nodes, ready } = this.#warm.get(reference)!
    this.#warm.delete(reference)
    this.#bars.remove(warmKey(reference))
    this.#bars.log(`${reference}: ${ready} of ${nodes} nodes have it`)
  }

  #showEnd(line: Extract<PublishLine, { type: 'published' | 'failed' }>): void {
    const { reference } = line
    this.#forget(reference)
    if (line.type === 'failed') this.#bars.log(`${reference} FAILED`)
    else {
      const { copiedBytes, presentBytes } = line
      this.#bars.log(
        `${reference} published: ${megabytes(copiedBytes)} copied, ${megabytes(presentBytes)} there already`,
      )
    }
  }

  #forget(reference: string): void {
    for (const digest of this.#bytesOf.get(reference)?.keys() ?? [])
      this.#bars.remove(layerKey(reference, digest))
    this.#bytesOf.delete(reference)
  }
}

/** References have no spaces. */
function layerKey(reference: string, digest: string): string {
  return `layer ${reference} ${digest}`
}

function warmKey(reference: string): string {
  return `warm ${reference}`
}

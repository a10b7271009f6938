/** A client as containerd is: reads the layers of an image in order, a few at a time, each from its first byte on. Pure. */
import type { Bitfield } from '@shoal/core'

export class Reader {
  readonly #layers: readonly Bitfield[]
  readonly #atATime: number
  /** The first missing piece of each layer. */
  readonly #positions: number[]
  #firstUnread = 0
  #complete = 0

  constructor(layers: readonly Bitfield[], atATime: number) {
    this.#layers = layers
    this.#atATime = atATime
    this.#positions = layers.map((have) => have.nextMissing())
    this.#complete = layers.filter((have) => have.isFull).length
  }

  get isDone(): boolean {
    return this.#complete === this.#layers.length
  }

  /** Where the reader is in each layer that it reads now. */
  open(): { layer: number; pieceIndex: number }[] {
    const open: { layer: number; pieceIndex: number }[] = []
    while (this.#layers[this.#firstUnread]?.isFull) this.#firstUnread++
    for (let layer = this.#firstUnread; layer < this.#layers.length && open.length < this.#atATime; layer++)
      if (!this.#layers[layer]!.isFull) open.push({ layer, pieceIndex: this.#positions[layer]! })
    return open
  }

  /** @returns whether a position that matters to the layer has changed */
  pieceCame(layer: number, index: number): boolean {
    const have = this.#layers[layer]!
    if (have.isFull) this.#complete++
    if (index !== this.#positions[layer]) return false
    this.#positions[layer] = have.nextMissing(index)
    return true
  }
}

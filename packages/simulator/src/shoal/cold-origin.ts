/**
 * A seeder that has nothing of a layer yet: reads the origin in windows, a few at a time, each once, and serves a piece as soon
 * as it is here. As the seeder's `OriginBlob` does. Pure.
 */
import type { InfoHash } from '@shoal/core'
import { pieceBytes, pieceCount } from '@shoal/core'
import type { Measure } from '../measure.ts'
import type { Host, Network } from '../network.ts'
import type { Layer } from './node.ts'

/** The seeder's figures. */
const WINDOW_BYTES = 32 * 1024 * 1024
const WINDOWS_AT_ONCE = 4

interface Window {
  readonly layer: Layer
  readonly from: number
  readonly to: number
}

export class ColdOrigin {
  readonly #parts: { network: Network; origin: Host; seeder: Host; measure: Measure; latencyMs: number }
  readonly #here = new Set<string>()
  readonly #waiting = new Map<string, (() => void)[]>()
  readonly #asked = new Set<string>()
  readonly #queue: Window[] = []
  #reading = 0

  constructor(parts: { network: Network; origin: Host; seeder: Host; measure: Measure; latencyMs: number }) {
    this.#parts = parts
  }

  whenReadable(layer: Layer, index: number, run: () => void): void {
    const key = keyOf(layer.infoHash, index)
    if (this.#here.has(key)) {
      run()
      return
    }
    const waiting = this.#waiting.get(key) ?? []
    waiting.push(run)
    this.#waiting.set(key, waiting)
    this.#ask(layer, index)
  }

  #ask(layer: Layer, index: number): void {
    const perWindow = Math.max(1, Math.floor(WINDOW_BYTES / layer.shape.pieceLength))
    const from = Math.floor(index / perWindow) * perWindow
    const key = keyOf(layer.infoHash, from)
    if (this.#asked.has(key)) return
    this.#asked.add(key)
    this.#queue.push({ layer, from, to: Math.min(from + perWindow, pieceCount(layer.shape)) })
    this.#read()
  }

  #read(): void {
    const { network, origin, seeder, measure, latencyMs } = this.#parts
    const window = this.#reading < WINDOWS_AT_ONCE ? this.#queue.shift() : undefined
    if (window === undefined) return
    this.#reading++
    measure.originRequests++
    const { layer, from, to } = window
    const pipe = network.pipe<never, number>(origin, seeder, {
      onMessage: () => {},
      onBlockSent: () => {},
      onBlockArrived: (index) => {
        measure.originBytes += pieceBytes(layer.shape, index)
        const key = keyOf(layer.infoHash, index)
        this.#here.add(key)
        for (const run of this.#waiting.get(key) ?? []) run()
        this.#waiting.delete(key)
        if (index !== to - 1) return
        this.#reading--
        this.#read()
      },
    })
    network.queue.after(latencyMs, {
      run: () => {
        for (let index = from; index < to; index++) pipe.sendBlock(index, pieceBytes(layer.shape, index))
      },
    })
  }
}

function keyOf(infoHash: InfoHash, index: number): string {
  return `${infoHash} ${index}`
}

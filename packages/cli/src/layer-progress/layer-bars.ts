/** The bars that pushing and publishing share: one for each layer that is under way, and lines above them for what is done. */

import { megabytes } from '@shoal/settings'
import { MultiBar, Presets, type SingleBar } from 'cli-progress'

/** As many digits of a digest as Docker shows. */
const DIGITS = 12
/** More than a terminal has lines for; what is beyond them goes on without a bar. */
const BARS_MAX = 48

export class LayerBars<Key> {
  readonly #display: MultiBar
  readonly #bars = new Map<Key, SingleBar>()

  constructor(stream: NodeJS.WriteStream) {
    this.#display = new MultiBar(
      {
        stream,
        format: ' {name} {bar} {percentage} %  {megabytes} of {totalMegabytes}',
        hideCursor: true,
        barsize: 32,
        fps: 8,
        // Layers that are done have a line of their own; bars are for the others.
        clearOnComplete: true,
      },
      Presets.shades_grey,
    )
  }

  show(key: Key, name: string, bytes: number, totalBytes: number): void {
    this.#update(key, bytes, totalBytes, {
      name,
      megabytes: megabytes(bytes),
      totalMegabytes: megabytes(totalBytes),
    })
  }

  /** Of other things than bytes. */
  showCount(key: Key, name: string, count: number, total: number, unit: string): void {
    const format = ` {name} {bar} {value} of {total} ${unit}`
    this.#update(key, count, total, { name }, format)
  }

  remove(key: Key): void {
    const bar = this.#bars.get(key)
    if (bar !== undefined) this.#display.remove(bar)
    this.#bars.delete(key)
  }

  /** A line that stays. */
  log(text: string): void {
    this.#display.log(` ${text}\n`)
  }

  /** Takes the bars away. */
  stop(): void {
    // Lines wait for the next picture, and the last ones would wait for ever.
    this.#display.update()
    this.#display.stop()
  }

  #update(key: Key, value: number, total: number, texts: object, format?: string): void {
    let bar = this.#bars.get(key)
    if (bar === undefined) {
      if (this.#bars.size >= BARS_MAX) return
      bar = this.#display.create(total, 0, texts, format === undefined ? {} : { format })
      this.#bars.set(key, bar)
    }
    bar.setTotal(total)
    bar.update(Math.min(value, total), texts)
  }
}

/** A layer, as short as people know it. */
export function layerName(hex: string): string {
  return hex.slice(0, DIGITS)
}

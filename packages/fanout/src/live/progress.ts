/** Shows how far everybody is: bars where a person watches, a plain line now and then where a log does. */

import { megabytes } from '@shoal/settings'
import { MultiBar, Presets, type SingleBar } from 'cli-progress'

export interface Progress {
  /** @param bytes more than before */
  add(name: string, bytes: number): void
  /** No more of this one. */
  done(name: string, how: 'done' | 'failed'): void
  /** Ends the display; safe to call twice. */
  stop(): void
}

export interface ProgressInit {
  /** What happens, for the plain lines: `pull`. */
  readonly title: string
  readonly names: readonly string[]
  readonly totalBytes: number
}

const LINE_INTERVAL_MS = 2_000

export function showProgress(init: ProgressInit, stream: NodeJS.WriteStream): Progress {
  return stream.isTTY ? bars(init, stream) : lines(init, stream)
}

function bars({ names, totalBytes }: ProgressInit, stream: NodeJS.WriteStream): Progress {
  const display = new MultiBar(
    {
      stream,
      format: ' {name} {bar} {percentage} %  {megabytes} of {totalMegabytes} {state}',
      hideCursor: true,
      barsize: 32,
      fps: 8,
    },
    Presets.shades_grey,
  )
  const width = Math.max(...names.map((name) => name.length))
  const byName = new Map<string, SingleBar>()
  for (const name of names) {
    const texts = {
      name: name.padEnd(width),
      megabytes: megabytes(0),
      totalMegabytes: megabytes(totalBytes),
      state: '',
    }
    byName.set(name, display.create(totalBytes, 0, texts))
  }
  const bytesByName = new Map<string, number>()
  return {
    add(name, bytes) {
      const sum = (bytesByName.get(name) ?? 0) + bytes
      bytesByName.set(name, sum)
      byName.get(name)?.update(Math.min(sum, totalBytes), { megabytes: megabytes(sum) })
    },
    done: (name, how) => byName.get(name)?.update({ state: how }),
    stop: () => display.stop(),
  }
}

function lines({ title, names, totalBytes }: ProgressInit, stream: NodeJS.WritableStream): Progress {
  let bytes = 0
  let doneCount = 0
  const report = () => {
    const percent = Math.floor((100 * bytes) / Math.max(1, totalBytes * names.length))
    stream.write(`${title}: ${percent} %, ${megabytes(bytes)}, ${doneCount} of ${names.length} done\n`)
  }
  const timer = setInterval(report, LINE_INTERVAL_MS)
  return {
    add: (_name, more) => {
      bytes += more
    },
    done: () => {
      doneCount++
    },
    stop: () => clearInterval(timer),
  }
}

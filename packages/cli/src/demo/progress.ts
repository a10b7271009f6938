/** Shows how far the agents are: bars where somebody watches, a line now and then where nobody does. On stderr. */
import { MultiBar, Presets } from 'cli-progress'

export interface Progress {
  advance(name: string, bytes: number): void
  stop(): void
}

const LINE_INTERVAL_MS = 2_000

export function showProgress(names: readonly string[], bytesEach: number): Progress {
  return process.stderr.isTTY ? bars(names, bytesEach) : lines(names, bytesEach)
}

function bars(names: readonly string[], bytesEach: number): Progress {
  const all = new MultiBar(
    {
      stream: process.stderr,
      format: '{name} {bar} {percentage}%  {megabytes} MB',
      hideCursor: true,
      barsize: 40,
    },
    Presets.shades_classic,
  )
  const width = Math.max(...names.map((name) => name.length))
  const bar = new Map(
    names.map((name) => [name, all.create(bytesEach, 0, { name: name.padEnd(width), megabytes: '0' })]),
  )
  const received = new Map<string, number>()
  return {
    advance(name, bytes) {
      const total = (received.get(name) ?? 0) + bytes
      received.set(name, total)
      bar.get(name)?.update(Math.min(total, bytesEach), { megabytes: (total / 1e6).toFixed(0) })
    },
    stop: () => all.stop(),
  }
}

function lines(names: readonly string[], bytesEach: number): Progress {
  let received = 0
  const total = names.length * bytesEach
  const timer = setInterval(() => {
    process.stderr.write(
      `${Math.floor((100 * received) / total)}% of ${(total / 1e6).toFixed(0)} MB for all agents\n`,
    )
  }, LINE_INTERVAL_MS)
  return {
    advance(_name, bytes) {
      received += bytes
    },
    stop: () => clearInterval(timer),
  }
}

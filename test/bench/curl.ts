/** `curl -o file`, as a person would fetch a blob, with what it took. */
import { spawn } from 'node:child_process'
import { childrenOf, peakMegabytes } from './process-usage.ts'

export interface CurlRun {
  /** From its start until the last byte was handed to the file. */
  readonly seconds: number
  readonly firstByteSeconds: number
  readonly bytes: number
  readonly cpuSeconds: number
  /** As of the last look; null when it ended before the first. */
  readonly peakRssMB: number | null
}

/** curl's memory grows in its first milliseconds and stays. */
const LOOK_INTERVAL_MS = 50
const TIMEOUT_SECONDS = '300'

// bash can tell what its children took, and is everywhere; `time` with memory is not.
const SCRIPT = 'LC_ALL=C; curl "$@"; status=$?; times >&2; exit $status'

/** @throws Error when the answer is not 2xx or curl fails */
export async function curl(url: string, file: string): Promise<CurlRun> {
  const args = [
    '--silent',
    '--show-error',
    '--fail',
    '--noproxy',
    '*',
    '--max-time',
    TIMEOUT_SECONDS,
    '--output',
    file,
  ]
  const child = spawn('bash', ['-c', SCRIPT, 'curl', ...args, '--write-out', '%{json}', url], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let peakRssMB: number | null = null
  const look = async () => {
    const [pid] = await childrenOf(child.pid!)
    if (pid !== undefined) peakRssMB = await peakMegabytes(pid)
  }
  // It may end between two looks, or in one.
  const timer = setInterval(() => void look().catch(() => {}), LOOK_INTERVAL_MS)
  try {
    const [stdout, stderr, status] = await Promise.all([
      textOf(child.stdout),
      textOf(child.stderr),
      new Promise<number | null>((resolve, reject) => {
        child.once('error', reject)
        child.once('exit', resolve)
      }),
    ])
    if (status !== 0) throw new Error(`curl ${url} failed: ${stderr.trim()}`)
    const told = JSON.parse(stdout) as Record<'time_total' | 'time_starttransfer' | 'size_download', number>
    return {
      seconds: told.time_total,
      firstByteSeconds: told.time_starttransfer,
      bytes: told.size_download,
      cpuSeconds: childrenSeconds(stderr),
      peakRssMB,
    }
  } finally {
    clearInterval(timer)
  }
}

/** The last line of bash's `times` is of its children: `0m0.012s 0m0.345s`, user and system. */
function childrenSeconds(times: string): number {
  const last = times.trim().split('\n').at(-1) ?? ''
  const parts = [...last.matchAll(/(\d+)m([\d.]+)s/g)]
  return parts.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0)
}

async function textOf(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

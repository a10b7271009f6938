/**
 * aria2c, which is told of peers by trackers only. With `--seed-time=0` it ends as soon as it has its file.
 *
 * It dials with its encrypted handshake first, whatever `--bt-require-crypto` and `--bt-min-crypto-level` say, and again
 * in the clear when the other side hangs up; no option changes that.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from '../free-port.ts'
import { ProcessEndedError, ProcessTimeoutError, type RunningProcess, startProcess } from '../process.ts'
import {
  type BitTorrentClient,
  blobName,
  type ClientTask,
  HOST,
  type RunningClient,
  START_TIMEOUT_MS,
  torrentOf,
} from './client.ts'
import { startFixedTracker } from './fixed-tracker.ts'

const QUIET = [
  '--no-conf=true',
  '--disable-ipv6=true',
  '--enable-dht=false',
  '--enable-dht6=false',
  '--bt-enable-lpd=false',
  '--enable-peer-exchange=false',
  '--bt-tracker-interval=1',
  '--file-allocation=none',
  '--show-console-readout=false',
  '--summary-interval=0',
]

export const aria2Client: BitTorrentClient = {
  name: 'aria2',
  components: ['aria2'],
  transferTimeoutMs: 20_000,
  dialsLoopback: true,
  async download(task, peer) {
    await using undo = new AsyncDisposableStack()
    const tracker = undo.use(await startFixedTracker(peer))
    const started = undo.use(await start(task, ['--seed-time=0'], tracker.announceUrl))
    const stop = undo.move()
    return {
      address: started.address,
      finished: (timeoutMs) => endOf(started.program, timeoutMs),
      [Symbol.asyncDispose]: () => stop.disposeAsync(),
    }
  },
  seed: (task) => start(task, ['--seed-ratio=0.0', '--check-integrity=true']),
}

async function start(
  task: ClientTask,
  role: readonly string[],
  announceUrl?: string,
): Promise<RunningClient & { readonly program: RunningProcess }> {
  const torrentPath = join(task.folder, `${blobName(task)}.torrent`)
  await writeFile(torrentPath, torrentOf(task, announceUrl))
  const port = await freePort()
  const where = [`--interface=${HOST}`, `--listen-port=${port}`, `--dir=${task.folder}`]
  const program = startProcess('aria2c', [...QUIET, ...where, ...role, torrentPath], {
    env: { http_proxy: undefined, all_proxy: undefined },
  })
  try {
    // It listens when it has checked the file that is there.
    await program.waitForLine((line) => line.includes(`listening on TCP port ${port}`), START_TIMEOUT_MS)
  } catch (error) {
    await program.kill9()
    throw error
  }
  return {
    program,
    address: { host: HOST, port },
    [Symbol.asyncDispose]: async () => {
      // On SIGTERM it takes a second for its farewells.
      await program.kill9()
    },
  }
}

async function endOf(program: RunningProcess, timeoutMs: number): Promise<void> {
  const timeout = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => timeout.reject(new ProcessTimeoutError('aria2c', timeoutMs, program.lines)),
    timeoutMs,
  )
  const exit = await Promise.race([program.exited, timeout.promise]).finally(() => clearTimeout(timer))
  if (exit.code !== 0) throw new ProcessEndedError('aria2c', exit, program.lines)
}

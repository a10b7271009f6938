/** One service of Shoal as a child process: its ready line, its last words, its end. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { ServiceEndedError } from './service-ended.ts'

export interface ReadyAddresses {
  /** `host:port` */
  readonly listen: string
  readonly peerListen: string
}

const LAST_LINES_MAX = 12
const LINE_LENGTH_MAX = 600
/** The service gives itself ten seconds. */
const STOP_TIMEOUT_MS = 12_000

export class ServiceProcess {
  readonly ready: Promise<ReadyAddresses>
  /** Rejects with a ServiceEndedError when the process ends without having been asked to. */
  readonly failed: Promise<never>
  readonly #child: ChildProcess
  readonly #exited: Promise<void>
  readonly #lastLines: string[] = []
  #isStopping = false

  readonly name: string

  /** @param command program and arguments */
  constructor(name: string, command: readonly string[]) {
    this.name = name
    const [program, ...args] = command as [string, ...string[]]
    // Away from the terminal's process group: Ctrl-C reaches the demo alone, which then stops its children in order.
    // The channel is their lifeline: a service whose starter has died stops by itself.
    this.#child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], detached: true })
    const ready = Promise.withResolvers<ReadyAddresses>()
    const failed = Promise.withResolvers<never>()
    const exited = Promise.withResolvers<void>()
    this.ready = ready.promise
    this.failed = failed.promise
    this.#exited = exited.promise
    for (const promise of [this.ready, this.failed]) promise.catch(() => {})

    const hear = (line: string) => {
      const addresses = readyAddresses(line)
      if (addresses !== undefined) ready.resolve(addresses)
      this.#lastLines.push(line.slice(0, LINE_LENGTH_MAX))
      if (this.#lastLines.length > LAST_LINES_MAX) this.#lastLines.shift()
    }
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      createInterface({ input: stream! }).on('line', hear)
    }
    const end = (how: string) => {
      exited.resolve()
      const error = new ServiceEndedError(name, how, this.#lastLines)
      ready.reject(error)
      if (!this.#isStopping) failed.reject(error)
    }
    this.#child.once('error', (error) => end(`before it began: ${error.message}`))
    // `close` and not `exit`: the last lines have been read then.
    this.#child.once('close', (code, signal) => end(signal === null ? `with status ${code}` : `by ${signal}`))
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** SIGTERM, SIGKILL when that does not help. Safe to call twice. */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#child.kill('SIGTERM')
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await this.#exited
    clearTimeout(timer)
  }

  kill(): void {
    this.#isStopping = true
    this.#child.kill('SIGKILL')
  }
}

/** @returns undefined for any other line */
function readyAddresses(line: string): ReadyAddresses | undefined {
  if (!line.startsWith('{') || !line.includes('"ready"')) return undefined
  try {
    const { event, listen, peerListen } = JSON.parse(line) as Record<string, unknown>
    if (event !== 'ready' || typeof listen !== 'string' || typeof peerListen !== 'string') return undefined
    return { listen, peerListen }
  } catch {
    return undefined
  }
}

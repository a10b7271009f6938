/**
 * Child processes for tests: daemons whose lines can be awaited, and commands that run to their end.
 * A daemon dies with the test process (Linux' parent-death signal), however that ends.
 * Only syntax that Node itself can strip, so that a child of a test can import this file.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { programPaths } from './components.ts'

export interface Exit {
  /** null when a signal ended it. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface ProcessOptions {
  readonly cwd?: string
  /** Set or, with `undefined`, unset over this process's own environment. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** How long SIGTERM may take before SIGKILL follows. */
  readonly stopTimeoutMs?: number
}

export interface RunningProcess extends AsyncDisposable {
  readonly pid: number
  /** What it wrote to both streams, in order of arrival, the last `LINES_MAX` lines. */
  readonly lines: readonly string[]
  /** Settles when it has ended; never rejects. */
  readonly exited: Promise<Exit>
  readonly hasExited: boolean
  /**
   * Waits for a line on either stream; lines that are already here count.
   * @throws ProcessEndedError when it ends before, ProcessTimeoutError after `timeoutMs`; both quote its last lines
   */
  waitForLine(predicate: (line: string) => boolean, timeoutMs: number): Promise<string>
  signal(name: NodeJS.Signals): void
  /** SIGTERM, then SIGKILL after `stopTimeoutMs`. Safe to call twice. */
  stop(): Promise<Exit>
  /** SIGKILL: the crash of a node. */
  kill9(): Promise<Exit>
}

export class ProcessEndedError extends Error {
  readonly code = 'TEST_PROCESS_ENDED'
  readonly command: string
  readonly exit: Exit
  constructor(command: string, exit: Exit, lines: readonly string[]) {
    super(`${command} ended with ${exit.signal ?? `code ${exit.code}`}${quote(lines)}`)
    this.command = command
    this.exit = exit
  }
}

export class ProcessTimeoutError extends Error {
  readonly code = 'TEST_PROCESS_TIMEOUT'
  readonly command: string
  readonly timeoutMs: number
  constructor(command: string, timeoutMs: number, lines: readonly string[]) {
    super(`${command} did not get there within ${timeoutMs} ms${quote(lines)}`)
    this.command = command
    this.timeoutMs = timeoutMs
  }
}

const LINES_MAX = 20_000
const QUOTED_LINES_MAX = 30
const STOP_TIMEOUT_MS = 10_000

/** Starts `command` and returns at once; a program that does not exist shows as an early end. */
export function startProcess(
  command: string,
  args: readonly string[] = [],
  options: ProcessOptions = {},
): RunningProcess {
  const [program, ...words] = dyingWithUs([command, ...args])
  const child = spawn(program!, words, {
    ...surroundings(options),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const lines: string[] = []
  const listeners = new Set<(line: string) => void>()
  const hear = (line: string) => {
    lines.push(line)
    if (lines.length > LINES_MAX) lines.shift()
    for (const listener of [...listeners]) listener(line)
  }
  createInterface({ input: child.stdout }).on('line', hear)
  createInterface({ input: child.stderr }).on('line', hear)
  const exited = exitOf(child, hear)

  const running: RunningProcess = {
    pid: child.pid ?? -1,
    lines,
    exited,
    get hasExited() {
      return child.pid === undefined || child.exitCode !== null || child.signalCode !== null
    },
    waitForLine: (predicate, timeoutMs) =>
      new Promise((resolve, reject) => {
        const finish = (settle: () => void) => {
          clearTimeout(timer)
          listeners.delete(listener)
          settle()
        }
        const listener = (line: string) => {
          if (predicate(line)) finish(() => resolve(line))
        }
        const timer = setTimeout(
          () => finish(() => reject(new ProcessTimeoutError(command, timeoutMs, lines))),
          timeoutMs,
        )
        const here = lines.find(predicate)
        if (here !== undefined) return finish(() => resolve(here))
        listeners.add(listener)
        exited.then((exit) => finish(() => reject(new ProcessEndedError(command, exit, lines))))
      }),
    signal: (name) => void child.kill(name),
    stop: () => {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), options.stopTimeoutMs ?? STOP_TIMEOUT_MS)
      return exited.finally(() => clearTimeout(timer))
    },
    kill9: () => {
      child.kill('SIGKILL')
      return exited
    },
    [Symbol.asyncDispose]: async () => {
      await running.stop()
    },
  }
  return running
}

/** A predicate for `waitForLine`: a pino JSON line with this `event`. */
export function jsonEvent(event: string): (line: string) => boolean {
  return (line) => line.startsWith('{') && parseLine(line)?.event === event
}

/** @returns the object on a JSON line, undefined for any other line */
export function parseLine(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

export interface CommandOptions extends ProcessOptions {
  /** What the command reads on its standard input. */
  readonly input?: Uint8Array | NodeJS.ReadableStream
  readonly timeoutMs?: number
}

export interface CommandOutput {
  readonly stdout: string
  readonly stderr: string
}

const COMMAND_TIMEOUT_MS = 120_000

/**
 * Runs a command to its end.
 * @throws ProcessEndedError when it ends otherwise than with code 0; ProcessTimeoutError (it is killed) after `timeoutMs`
 */
export async function runProcess(
  command: string,
  args: readonly string[] = [],
  options: CommandOptions = {},
): Promise<CommandOutput> {
  const timeoutMs = options.timeoutMs ?? COMMAND_TIMEOUT_MS
  const child = spawn(command, args, { ...surroundings(options), stdio: 'pipe' })
  const output = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      output[stream] += text
    })
  }
  // A command that does not read its input to the end is judged by its exit code.
  child.stdin.on('error', () => {})
  feed(child.stdin, options.input)
  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    child.kill('SIGKILL')
  }, timeoutMs)
  const exit = await new Promise<Exit>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal }))
  }).finally(() => clearTimeout(timer))
  const spoken = `${command} ${args.join(' ')}`
  const lines = `${output.stdout}\n${output.stderr}`.split('\n').filter((line) => line !== '')
  if (timedOut) throw new ProcessTimeoutError(spoken, timeoutMs, lines)
  if (exit.code !== 0) throw new ProcessEndedError(spoken, exit, lines)
  return output
}

function feed(stdin: NodeJS.WritableStream, input: CommandOptions['input']): void {
  if (input === undefined) stdin.end()
  else if (input instanceof Uint8Array) stdin.end(input)
  else input.pipe(stdin)
}

function exitOf(child: ChildProcess, hear: (line: string) => void): Promise<Exit> {
  return new Promise((resolve) => {
    child.once('error', (error) => {
      hear(error.message)
      // A program that could not be started has no exit event.
      if (child.pid === undefined) resolve({ code: 127, signal: null })
    })
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
}

/** SIGTERM rather than SIGKILL, so that a daemon can end its own children. */
function dyingWithUs(words: readonly string[]): readonly string[] {
  const setpriv = process.platform === 'linux' ? programPaths('setpriv')[0] : undefined
  return setpriv === undefined ? words : [setpriv, '--pdeathsig', 'TERM', '--', ...words]
}

const NO_PROXIES = Object.fromEntries(
  ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'].flatMap((name) => [
    [name, undefined],
    [name.toLowerCase(), undefined],
  ]),
)

function surroundings({ cwd, env }: ProcessOptions): { cwd: string; env: NodeJS.ProcessEnv } {
  // The first is of the tests, and no setting of what they start. The second has services end with any error that nobody
  // handled, so that a bug fails the test that meets it. A proxy of this machine has no way to what tests start on loopback.
  const ofTests = { SHOAL_REQUIRE_COMPONENTS: undefined, SHOAL_UNCAUGHT_ERRORS: 'fatal', ...NO_PROXIES }
  const entries = Object.entries({ ...process.env, ...ofTests, ...env }).filter(
    ([, value]) => value !== undefined,
  )
  return { cwd: cwd ?? process.cwd(), env: Object.fromEntries(entries) }
}

function quote(lines: readonly string[]): string {
  if (lines.length === 0) return '; it wrote nothing'
  return `; its last lines:\n${lines.slice(-QUOTED_LINES_MAX).join('\n')}`
}

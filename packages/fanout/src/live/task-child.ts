/**
 * A child process that is given tasks: one line of JSON per task on its standard input, one line per answer on its standard
 * output, lines of news in between. The end of its input is its end: no child outlives the process that started it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { orAborted } from '@shoal/service'
import { LiveChildError, LiveTaskError } from './errors.ts'

/** What goes to the child. */
export interface Task {
  readonly id: number
  readonly do: string
  readonly with: unknown
}

/** What comes from it. */
export type TaskLine =
  | { readonly id: number; readonly bytes: number }
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: string }

const LAST_LINES_MAX = 12
const LINE_LENGTH_MAX = 600
const STOP_TIMEOUT_MS = 12_000

interface Waiting {
  readonly task: string
  readonly onBytes: (bytes: number) => void
  resolve(result: unknown): void
  reject(error: Error): void
}

export class TaskChild {
  /** Rejects with a LiveChildError when the process ends without having been asked to. */
  readonly failed: Promise<never>
  readonly #child: ChildProcess
  readonly #exited: Promise<void>
  readonly #lastLines: string[] = []
  readonly #waiting = new Map<number, Waiting>()
  #nextId = 1
  #isStopping = false

  readonly name: string

  constructor(name: string, command: readonly string[]) {
    this.name = name
    const [program, ...args] = command as [string, ...string[]]
    // Away from the terminal's process group: Ctrl-C reaches its starter alone, which stops its children in order.
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
    // A child that has just ended is told of by its end.
    this.#child.stdin!.on('error', () => {})
    const failed = Promise.withResolvers<never>()
    const exited = Promise.withResolvers<void>()
    this.failed = failed.promise
    this.failed.catch(() => {})
    this.#exited = exited.promise
    createInterface({ input: this.#child.stdout! }).on('line', (line) => this.#hear(line))
    createInterface({ input: this.#child.stderr! }).on('line', (line) => this.#keep(line))
    const end = (how: string) => {
      exited.resolve()
      const error = new LiveChildError(name, how, this.#lastLines)
      for (const waiting of this.#waiting.values()) waiting.reject(error)
      this.#waiting.clear()
      if (!this.#isStopping) failed.reject(error)
    }
    this.#child.once('error', (error) => end(`before it began: ${error.message}`))
    // `close` and not `exit`: the last lines have been read then.
    this.#child.once('close', (code, signal) => end(signal === null ? `with status ${code}` : `by ${signal}`))
  }

  /**
   * @param input plain data
   * @throws LiveTaskError what the child says of it · LiveChildError when it ends before
   */
  do<T>(task: string, input: unknown, signal: AbortSignal, onBytes = (_bytes: number) => {}): Promise<T> {
    const id = this.#nextId++
    const result = new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { task, onBytes, resolve: resolve as (result: unknown) => void, reject })
    })
    const line: Task = { id, do: task, with: input }
    this.#child.stdin!.write(`${JSON.stringify(line)}\n`)
    return orAborted(result, signal)
  }

  /** Lets it end, SIGKILL when that does not help. Safe to call twice. */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#child.stdin!.end()
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await this.#exited
    clearTimeout(timer)
  }

  kill(): void {
    this.#isStopping = true
    this.#child.kill('SIGKILL')
  }

  #hear(text: string): void {
    const line = taskLine(text)
    if (line === undefined) this.#keep(text)
    else this.#answer(line)
  }

  #answer(line: TaskLine): void {
    const waiting = this.#waiting.get(line.id)
    if (waiting === undefined) return
    if ('bytes' in line) {
      waiting.onBytes(line.bytes)
      return
    }
    this.#waiting.delete(line.id)
    if ('error' in line) waiting.reject(new LiveTaskError(this.name, waiting.task, line.error))
    else waiting.resolve(line.result)
  }

  #keep(line: string): void {
    this.#lastLines.push(line.slice(0, LINE_LENGTH_MAX))
    if (this.#lastLines.length > LAST_LINES_MAX) this.#lastLines.shift()
  }
}

/** @returns undefined for a line that somebody else wrote */
function taskLine(text: string): TaskLine | undefined {
  if (!text.startsWith('{"id":')) return undefined
  try {
    return JSON.parse(text) as TaskLine
  } catch {
    return undefined
  }
}

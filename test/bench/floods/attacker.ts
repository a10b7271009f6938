/** The process that floods, as the benchmark sees it. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { say } from '../command-line.ts'
import type { FloodAnswer, FloodQuestion } from './flood-process.ts'

export class FloodProcess implements AsyncDisposable {
  readonly #child: ChildProcess = fork(fileURLToPath(new URL('flood-process.ts', import.meta.url)))

  get pid(): number {
    return this.#child.pid!
  }

  /** Resolves when it has ended; what it says meanwhile is shown. */
  async ask(question: FloodQuestion): Promise<void> {
    const done = Promise.withResolvers<void>()
    const hear = (answer: FloodAnswer) => {
      if (answer.kind === 'said') say(`  ${answer.line}`)
      else done.resolve()
    }
    this.#child.on('message', hear).once('exit', done.resolve)
    this.#child.send(question)
    await done.promise
    this.#child.off('message', hear).off('exit', done.resolve)
  }

  async end(): Promise<void> {
    if (this.#child.connected) this.#child.send({ kind: 'end' } satisfies FloodQuestion)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return
    const exit = once(this.#child, 'exit')
    if (this.#child.connected) this.#child.disconnect()
    await exit
  }
}

/** The benchmark's processes, as it sees them. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Answer, Question } from './protocol.ts'

/** One process; what it says comes in turn, one answer to each question. */
export class Player implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #path: string

  constructor(path: string, flags: readonly string[]) {
    this.#path = path
    this.#child = fork(fileURLToPath(new URL(path, import.meta.url)), { execArgv: [...flags] })
  }

  get pid(): number {
    return this.#child.pid!
  }

  async ask(question: Question): Promise<Extract<Answer, { kind: 'done' }>> {
    this.#child.send(question)
    return this.expect('done')
  }

  async count(): Promise<number> {
    this.#child.send({ kind: 'count' } satisfies Question)
    return (await this.expect('counts')).agents
  }

  /** @throws Error when the process ends instead */
  async expect<Kind extends Answer['kind']>(kind: Kind): Promise<Extract<Answer, { kind: Kind }>> {
    const done = new AbortController()
    const { signal } = done
    const answer = once(this.#child, 'message', { signal }).then(([said]) => said as Answer)
    const ended = once(this.#child, 'exit', { signal }).then(() => undefined)
    // The one that comes second is given up.
    for (const promise of [answer, ended]) promise.catch(() => {})
    const said = await Promise.race([answer, ended])
    done.abort()
    if (said?.kind !== kind) throw new Error(`${this.#path} ended or said ${said?.kind} instead of ${kind}`)
    return said as Extract<Answer, { kind: Kind }>
  }

  async end(): Promise<void> {
    const child = this.#child
    if (child.exitCode !== null || child.signalCode !== null) return
    const exit = once(child, 'exit')
    if (child.connected) child.disconnect()
    await exit
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end()
  }
}

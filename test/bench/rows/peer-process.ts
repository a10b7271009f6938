/**
 * Two peers as processes: asked in JSON lines on their standard input, they answer in JSON lines.
 * A peer ends when its standard input does, so that none outlives this process, however that ends.
 *
 * Sender: says `ready`; `count` starts its CPU clock (`counting`); `usage` reads it (`usage`).
 * Receiver: says `ready`; `fetch` moves the blob (`done`, with the seconds that it took).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { RowRun, Usage } from './row.ts'

export type Question =
  | { readonly kind: 'count' }
  | { readonly kind: 'usage' }
  | { readonly kind: 'fetch'; readonly port: number }

export type Answer =
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'counting' }
  | ({ readonly kind: 'usage' } & Usage)
  | ({ readonly kind: 'done'; readonly seconds: number } & Usage)

const STOP_TIMEOUT_MS = 5_000
/** 1 GiB at 3.6 MB/s: whoever is slower has stopped. */
const ANSWER_TIMEOUT_MS = 300_000

export class PeerProcess implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #answers: AsyncIterator<string>
  readonly #name: string

  constructor(command: string, args: readonly string[]) {
    this.#name = `${command} ${args.join(' ')}`
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    // An end that nobody wished for shows as the end of its answers.
    child.on('error', () => {})
    child.stdin.on('error', () => {})
    this.#child = child
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  }

  ask(question: Question): void {
    this.#child.stdin?.write(`${JSON.stringify(question)}\n`)
  }

  /** @throws Error when it ends, says something else, or nothing for `ANSWER_TIMEOUT_MS` */
  async expect<Kind extends Answer['kind']>(kind: Kind): Promise<Extract<Answer, { kind: Kind }>> {
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), ANSWER_TIMEOUT_MS)
    const { value, done } = await this.#answers.next().finally(() => clearTimeout(timer))
    if (done) throw new Error(`${this.#name} ended before it said "${kind}"`)
    const answer = JSON.parse(value) as Answer
    if (answer.kind !== kind) throw new Error(`${this.#name} said ${value} instead of "${kind}"`)
    return answer as Extract<Answer, { kind: Kind }>
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child
    child.stdin?.end()
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await once(child, 'exit')
    clearTimeout(timer)
  }
}

/** One transfer between two peers that were just started. */
export async function transferBetween(sender: PeerProcess, receiver: PeerProcess): Promise<RowRun> {
  const [{ port }] = await Promise.all([sender.expect('ready'), receiver.expect('ready')])
  sender.ask({ kind: 'count' })
  await sender.expect('counting')
  receiver.ask({ kind: 'fetch', port })
  const { seconds, cpuSeconds, peakRssMB } = await receiver.expect('done')
  sender.ask({ kind: 'usage' })
  const usage = await sender.expect('usage')
  return {
    seconds,
    sender: { cpuSeconds: usage.cpuSeconds, peakRssMB: usage.peakRssMB },
    receiver: { cpuSeconds, peakRssMB },
  }
}

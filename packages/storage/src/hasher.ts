/**
 * SHA-256 beside the event loop: one thread for the whole process, started when the first thing is to be hashed and gone when
 * nothing was for a while, because an idle node should not pay for it.
 *
 * What is hashed lies in shared memory and stays there; anything else would be copied on its way to the thread.
 */

import { createHash } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import { HashingFailedError } from './errors.ts'
import type { HashAnswer, HashJob } from './hash-worker.ts'

const IDLE_MS = 10_000
/** To hash so much takes a tenth of a millisecond: less than to have it done. */
const SHORT_BYTES = 128 * 1024
/** So much of a file is hashed by one job, so that pieces that arrive meanwhile wait a millisecond or two. */
const FILE_JOB_BYTES = 4 * 1024 * 1024

type JobWithoutId = HashJob extends infer J ? (J extends HashJob ? Omit<J, 'id'> : never) : never

export class Hasher {
  readonly #waiting = new Map<number, PromiseWithResolvers<Uint8Array | undefined>>()
  #worker: Worker | undefined
  /** The thread has begun to work; until then, who waits is served here. */
  #isAwake = false
  /** The memory that the present thread knows, by number. */
  #shared = new WeakMap<SharedArrayBuffer, number>()
  #nextId = 1
  #openFiles = 0
  #idleTimer: NodeJS.Timeout | undefined

  /** Starts the thread, which takes some 30 ms, for what will soon have to be hashed. */
  wake(): void {
    this.#worker ??= this.#start()
    if (this.#waiting.size === 0) {
      this.#worker.unref()
      this.#restSoon()
    }
  }

  /**
   * The SHA-256 of `parts`, one after the other; they must not change until it is known.
   * @param parts in shared memory, of which the thread keeps hold until it ends
   */
  async sha256(parts: readonly Uint8Array<SharedArrayBuffer>[]): Promise<Uint8Array> {
    if (!this.#isAwake || parts.reduce((bytes, { length }) => bytes + length, 0) <= SHORT_BYTES) {
      this.wake()
      const whole = createHash('sha256')
      for (const part of parts) whole.update(part)
      return whole.digest()
    }
    const shared = parts.map(({ buffer, byteOffset, length }) => ({
      buffer: this.#share(buffer),
      offset: byteOffset,
      length,
    }))
    return (await this.#ask({ kind: 'sha256', parts: shared }))!
  }

  /** Begins the digest of a file that fills up from its beginning. */
  file(path: string, algorithm: string): FileDigest {
    this.#openFiles++
    const file = this.#nextId++
    let end = 0
    let last: Promise<unknown> = Promise.resolve()
    let isEnded = false
    const settle = () => {
      if (isEnded) return
      isEnded = true
      this.#openFiles--
      this.#restSoon()
    }
    return {
      advance: (to) => {
        while (end < to) {
          end = Math.min(to, end + FILE_JOB_BYTES)
          last = this.#ask({ kind: 'file', file, path, algorithm, end })
          // Whoever asks for the digest hears of it.
          last.catch(() => {})
        }
      },
      digest: async () => {
        // Of no bytes at all there is a digest, too.
        if (end === 0) last = this.#ask({ kind: 'file', file, path, algorithm, end })
        try {
          await last
          return (await this.#ask({ kind: 'file-end', file }))!
        } finally {
          settle()
        }
      },
      forget: async () => {
        if (!isEnded) await this.#ask({ kind: 'file-forget', file }).catch(() => {})
        settle()
      },
    }
  }

  async stop(): Promise<void> {
    clearTimeout(this.#idleTimer)
    await this.#end()
    this.#fail(new HashingFailedError('the hasher was stopped'))
  }

  #ask(job: JobWithoutId): Promise<Uint8Array | undefined> {
    clearTimeout(this.#idleTimer)
    this.#worker ??= this.#start()
    const id = this.#nextId++
    const answer = Promise.withResolvers<Uint8Array | undefined>()
    this.#waiting.set(id, answer)
    this.#worker.postMessage({ ...job, id })
    this.#worker.ref()
    return answer.promise
  }

  #share(memory: SharedArrayBuffer): number {
    let number = this.#shared.get(memory)
    if (number === undefined) {
      number = this.#nextId++
      this.#shared.set(memory, number)
      this.#ask({ kind: 'share', buffer: number, memory }).catch(() => {})
    }
    return number
  }

  async #end(): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    this.#isAwake = false
    this.#shared = new WeakMap()
    await worker?.terminate()
  }

  #start(): Worker {
    // Beside this file, in whichever form this file itself is run.
    const name = import.meta.url.endsWith('.ts') ? './hash-worker.ts' : './hash-worker.js'
    const worker = new Worker(new URL(name, import.meta.url), {
      resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 16 },
      execArgv: [],
    })
    worker.once('online', () => {
      this.#isAwake = this.#worker === worker
    })
    worker.on('message', (answer: HashAnswer) => this.#hear(answer))
    worker.on('error', (error) => {
      if (this.#worker === worker) void this.#end()
      this.#fail(error)
    })
    return worker
  }

  #hear({ id, digest, error }: HashAnswer): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (this.#waiting.size === 0) {
      // A process may end while its hasher has nothing to do.
      this.#worker?.unref()
      this.#restSoon()
    }
    if (error === undefined) waiting?.resolve(digest)
    else waiting?.reject(new HashingFailedError(error))
  }

  #restSoon(): void {
    clearTimeout(this.#idleTimer)
    this.#idleTimer = setTimeout(() => {
      if (this.#waiting.size > 0 || this.#openFiles > 0) return
      void this.#end()
    }, IDLE_MS).unref()
  }

  #fail(error: unknown): void {
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }
}

export interface FileDigest {
  /** The file's bytes up to `end` are final: they may be hashed. */
  advance(end: number): void
  /** The digest of the bytes up to the last `advance`. @throws what the system says of the file */
  digest(): Promise<Uint8Array>
  forget(): Promise<void>
}

/** One for the process: hashing is bound by its core, not by who asks. */
export const sharedHasher = new Hasher()

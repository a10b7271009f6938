/** Collects garbage now and then. */
import type { ImageStore } from '@shoal/registry'
import type { Logger } from 'pino'

export class GarbageSchedule {
  readonly #stopping = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined

  readonly #parts: {
    readonly images: Pick<ImageStore, 'collectGarbage'>
    readonly log: Logger
    readonly onRemoved: (bytes: number) => void
  }
  readonly #init: { readonly intervalMs: number }

  constructor(
    parts: {
      readonly images: Pick<ImageStore, 'collectGarbage'>
      readonly log: Logger
      readonly onRemoved: (bytes: number) => void
    },
    init: { readonly intervalMs: number },
  ) {
    this.#parts = parts
    this.#init = init
  }

  start(): void {
    if (this.#init.intervalMs === 0) return
    this.#timer = setInterval(() => {
      this.#running ??= this.#run().finally(() => {
        this.#running = undefined
      })
    }, this.#init.intervalMs)
    this.#timer.unref()
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#stopping.abort(new Error('the seeder stops'))
    await this.#running
  }

  async #run(): Promise<void> {
    const { images, log, onRemoved } = this.#parts
    try {
      const outcome = await images.collectGarbage({ isDryRun: false, signal: this.#stopping.signal })
      if (outcome.kind === 'done') onRemoved(outcome.report.removedBytes)
    } catch (err) {
      if (!this.#stopping.signal.aborted)
        log.error({ event: 'garbage-not-collected', err }, 'garbage not collected; it is tried again later')
    }
  }
}

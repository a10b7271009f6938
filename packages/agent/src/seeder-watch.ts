/**
 * Remembers whether the seeder can be asked, and has nobody wait for one that cannot: performs what `stepSeederHealth` decides.
 */
import { within } from '@shoal/service'
import type { Logger } from 'pino'
import { SourceUnavailableError } from './errors.ts'
import {
  isSure,
  type SeederHealth,
  type SeederHealthEvent,
  type SeederSight,
  stepSeederHealth,
  UNKNOWN_HEALTH,
} from './seeder-health.ts'

/** Where nobody listens a look ends at once, and is worth waiting for; where somebody hangs it is not. */
const QUICK_LOOK_MS = 100

/** A question that takes longer is reason to look whether the seeder is there at all. */
const DOUBT_AFTER_MS = 500

export interface SeederWatchParts {
  /** Never rejects, and takes little time. */
  readonly look: () => Promise<SeederSight>
  readonly log: Logger
  readonly nowMs: () => number
}

export class SeederWatch {
  readonly #parts: SeederWatchParts
  /** Without names, passwords and paths that may stand in a URL. */
  readonly #where: string
  #health: SeederHealth = UNKNOWN_HEALTH
  #timer: NodeJS.Timeout | undefined
  #probe: Promise<void> = Promise.resolve()
  #wasFound = false
  /** How long the last look took. */
  #lookMs = 0
  #isStopped = false
  /** Those who wait for an answer. */
  readonly #questions = new Set<AbortController>()

  constructor(parts: SeederWatchParts, init: { readonly seederUrl: string }) {
    this.#parts = parts
    this.#where = new URL(init.seederUrl).origin
  }

  /** Resolves when it is known what is there. */
  async start(): Promise<void> {
    this.doubt()
    await this.#probe
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  get health(): SeederHealth {
    return this.#health
  }

  /** Whether the seeder was ever there since this service began. */
  get wasFound(): boolean {
    return this.#wasFound
  }

  /** What is wrong, in a sentence for operators and clients; undefined while nothing is known to be. */
  get problem(): string | undefined {
    const { reason } = this.#health
    return reason === undefined ? undefined : `the seeder at ${this.#where} cannot be reached: ${reason}`
  }

  /** It said something. */
  heard(): void {
    this.#step({ kind: 'heard' })
  }

  /** Something speaks against it: it is looked at. */
  doubt(): void {
    this.#step({ kind: 'doubted' })
  }

  /** Whether it answers now; asked only where there was no sign of life of late. */
  async confirm(): Promise<boolean> {
    if (isSure(this.#health, this.#parts.nowMs())) return true
    if (this.#health.kind === 'silent') return this.#isBack()
    if (this.#health.kind === 'stranger') return false
    this.doubt()
    await this.#probe
    return this.#health.kind === 'answers'
  }

  /**
   * Asks the seeder something, unless it is known not to answer. While the answer takes long, it is looked whether anybody is
   * there, and when nobody is, the question ends.
   * @throws SourceUnavailableError, and what the question throws
   */
  async ask<T>(question: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#health.kind === 'silent' && !(await this.#isBack())) throw this.#unreachable()
    const controller = new AbortController()
    const doubtTimer = setTimeout(() => this.doubt(), DOUBT_AFTER_MS)
    this.#questions.add(controller)
    try {
      const answer = await question(controller.signal)
      // Anything may answer that it knows nothing.
      if (answer !== undefined) this.heard()
      else if (this.#health.kind === 'stranger') throw this.#unreachable()
      return answer
    } catch (error) {
      if (error instanceof SourceUnavailableError && error.isUnanswered) this.doubt()
      if (controller.signal.aborted) throw this.#unreachable(error)
      throw error
    } finally {
      clearTimeout(doubtTimer)
      this.#questions.delete(controller)
    }
  }

  /** Whether a seeder that was away answers again, where that is soon found out. */
  async #isBack(): Promise<boolean> {
    this.doubt()
    if (this.#lookMs < QUICK_LOOK_MS) await within(this.#probe, QUICK_LOOK_MS)
    return this.#health.kind === 'answers'
  }

  #unreachable(cause?: unknown): SourceUnavailableError {
    return new SourceUnavailableError('the seeder', this.#health.reason ?? 'it cannot be reached in time', {
      cause,
    })
  }

  #step(event: SeederHealthEvent): void {
    if (this.#isStopped) return
    const { health, effects } = stepSeederHealth(this.#health, this.#parts.nowMs(), event)
    this.#health = health
    for (const effect of effects) {
      if (effect.kind === 'probe') this.#probe = this.#look()
      else if (effect.kind === 'found') this.#found()
      else this.#lost(effect.reason)
    }
    clearTimeout(this.#timer)
    const { nextProbeAtMs } = health
    if (nextProbeAtMs === undefined) return
    // Not all agents in one instant.
    const waitMs = (nextProbeAtMs - this.#parts.nowMs()) * (1 + Math.random() / 2)
    this.#timer = setTimeout(() => this.#step({ kind: 'timer' }), Math.max(1, waitMs)).unref()
  }

  async #look(): Promise<void> {
    const { look, nowMs } = this.#parts
    const beganAtMs = nowMs()
    const sight = await look()
    this.#lookMs = nowMs() - beganAtMs
    this.#step({ kind: 'probed', sight })
  }

  #found(): void {
    this.#parts.log.info({ event: 'seeder-reached', seeder: this.#where }, 'the seeder answers')
    this.#wasFound = true
  }

  #lost(reason: string): void {
    this.#parts.log.warn({ event: 'seeder-unreachable', seeder: this.#where, reason }, this.problem)
    if (this.#health.kind === 'silent') for (const question of this.#questions) question.abort()
  }
}

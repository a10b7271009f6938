/**
 * Asks other agents what an image is and whether they have its blobs, all at once, and keeps of each answer what proves itself.
 * Who does not answer is left alone for a while.
 */
import { formatHostPort, type PeerAddress, ShoalError } from '@shoal/core'
import type { Platform } from '@shoal/oci'
import type { Resolution } from '@shoal/wire'
import { LRUCache } from 'lru-cache'
import type { Logger } from 'pino'
import { type ContactAnswerParts, type ProvenAnswer, provenPart } from './contact-answer.ts'
import { SourceUnavailableError } from './errors.ts'
import type { ResolveQuestion, SeederClient } from './seeder-client.ts'

/** A question, whoever asks it. */
export type Asked = Omit<ResolveQuestion, 'platform' | 'peerId' | 'later'>

export interface ContactQuestionsParts {
  readonly client: Pick<SeederClient, 'resolve'>
  readonly contacts: ContactAnswerParts['contacts']
  readonly log: Logger
  readonly nowMs: () => number
}

/** An agent that did not answer is not asked again for so long: a pull waits for it once. */
const RESTS_MS = 10_000
const RESTING_MAX = 64

export class ContactQuestions {
  readonly #parts: ContactQuestionsParts
  readonly #platform: Platform
  /** Until when agents that did not answer are left alone, by address. */
  readonly #resting = new LRUCache<string, number>({ max: RESTING_MAX })
  /** When an agent last answered anything. */
  readonly #answered = new LRUCache<string, number>({ max: RESTING_MAX })

  constructor(parts: ContactQuestionsParts, init: { readonly platform: Platform }) {
    this.#parts = parts
    this.#platform = init.platform
  }

  /** What those of the agents have proved that answered. */
  async ask(question: Asked, agents: readonly PeerAddress[]): Promise<readonly ProvenAnswer[]> {
    const answers = await Promise.all(agents.map((agent) => this.#askOne(question, agent)))
    return answers.flatMap((answer) => answer ?? [])
  }

  /** @returns undefined when it does not answer, or proves nothing */
  async #askOne(question: Asked, contact: PeerAddress): Promise<ProvenAnswer | undefined> {
    const { contacts, log } = this.#parts
    const resolution = await this.#resolve(question, contact)
    if (resolution === undefined) return undefined
    try {
      // At once: what an answer does not prove need not wait in memory for the others.
      return provenPart(question, resolution, { contacts, contact, platform: this.#platform })
    } catch (err) {
      if (!(err instanceof ShoalError)) throw err
      const { host, port } = contact
      log.warn({ event: 'contact-refused', ...question, host, port, err }, 'a contact gave a wrong answer')
      return undefined
    }
  }

  async #resolve(question: Asked, contact: PeerAddress): Promise<Resolution | undefined> {
    const { client, nowMs } = this.#parts
    const address = formatHostPort(contact)
    const rests = (this.#resting.peek(address) ?? 0) - nowMs()
    if (rests > 0 && rests <= RESTS_MS) return undefined
    const askedAtMs = nowMs()
    const whole = { ...question, platform: formatPlatform(this.#platform), peerId: '' }
    try {
      const resolution = await client.resolve(`http://${address}`, whole, 'contact')
      this.#answered.set(address, nowMs())
      return resolution
    } catch (error) {
      if (!(error instanceof ShoalError)) throw error
      // It is asked one thing at a time: who has answered meanwhile is busy, and not away.
      const isBusy = (this.#answered.peek(address) ?? Number.NEGATIVE_INFINITY) >= askedAtMs
      if (error instanceof SourceUnavailableError && error.isUnanswered && !isBusy) {
        this.#resting.set(address, nowMs() + RESTS_MS)
      }
      return undefined
    }
  }
}

export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/')
}

/**
 * Bounds the bytes of answers that were made and are not taken yet, for all clients together and for each address: an answer
 * stays in memory until its client reads it. When there is no room, the answers go that were left unread longest, of the
 * address that has most; where none was left for long, the new one is refused.
 */
import { addressKey } from '@shoal/core'

export interface UnreadAnswersInit {
  readonly bytesMax: number
  readonly bytesPerAddressMax: number
  /** From when on an answer that is not taken may be cut. */
  readonly stallMs: number
}

export interface UnreadAnswer {
  readonly ip: string
  readonly bytes: number
  /** Cuts the connection. */
  cut(): void
}

interface FromAddress {
  bytes: number
  /** The oldest first. */
  readonly sinceMs: Map<UnreadAnswer, number>
}

export class UnreadAnswers {
  readonly #init: UnreadAnswersInit
  readonly #byAddress = new Map<string, FromAddress>()
  #bytes = 0

  constructor(init: UnreadAnswersInit) {
    this.#init = init
  }

  get bytes(): number {
    return this.#bytes
  }

  /** @returns false when there is no room; otherwise the answer is to be removed when it was taken */
  add(answer: UnreadAnswer, nowMs: number): boolean {
    const key = addressKey(answer.ip)
    const { bytesMax, bytesPerAddressMax } = this.#init
    while ((this.#byAddress.get(key)?.bytes ?? 0) + answer.bytes > bytesPerAddressMax)
      if (!this.#cutOldest(this.#byAddress.get(key), nowMs)) return false
    while (this.#bytes + answer.bytes > bytesMax) if (!this.#cutOldest(this.#greediest(), nowMs)) return false
    const from = this.#byAddress.get(key) ?? { bytes: 0, sinceMs: new Map() }
    from.sinceMs.set(answer, nowMs)
    from.bytes += answer.bytes
    this.#byAddress.set(key, from)
    this.#bytes += answer.bytes
    return true
  }

  /** Does nothing for one that is not here. */
  remove(answer: UnreadAnswer): void {
    const key = addressKey(answer.ip)
    const from = this.#byAddress.get(key)
    if (from === undefined || !from.sinceMs.delete(answer)) return
    from.bytes -= answer.bytes
    this.#bytes -= answer.bytes
    if (from.sinceMs.size === 0) this.#byAddress.delete(key)
  }

  #cutOldest(from: FromAddress | undefined, nowMs: number): boolean {
    const [oldest] = from?.sinceMs ?? []
    if (oldest === undefined) return false
    const [answer, sinceMs] = oldest
    if (nowMs - sinceMs < this.#init.stallMs) return false
    this.remove(answer)
    answer.cut()
    return true
  }

  #greediest(): FromAddress | undefined {
    let most: FromAddress | undefined
    for (const from of this.#byAddress.values()) if (from.bytes > (most?.bytes ?? 0)) most = from
    return most
  }
}

/**
 * Which replica works on a repository: a small object that is written on condition, with a lease. A replica that crashed
 * stops renewing, and after the lease another takes over.
 *
 * The replicas' clocks must agree to well within a lease. Where they do not, an event may be worked upon twice, which the
 * handler must bear anyway.
 */

import type { Clock } from '@shoal/service'
import { type ObjectStore, readWhole } from '@shoal/storage'
import { type ClaimRecord, claimKeyOf, decodeClaim, encodeRecord, RECORD_BYTES_MAX } from './event-records.ts'

/** Held until it is released, or until it could not be renewed in time. */
export interface Claim {
  readonly key: string
  etag: string
  untilMs: number
}

export type ClaimOutcome =
  | { readonly kind: 'claimed'; readonly claim: Claim }
  | { readonly kind: 'held'; readonly untilMs: number }

export class EventClaims {
  readonly #objects: ObjectStore
  readonly #clock: Clock
  readonly #owner: string
  readonly #leaseMs: number

  constructor(
    parts: { readonly objects: ObjectStore; readonly clock: Clock },
    init: { readonly owner: string; readonly leaseMs: number },
  ) {
    this.#objects = parts.objects
    this.#clock = parts.clock
    this.#owner = init.owner
    this.#leaseMs = init.leaseMs
  }

  async claim(repositoryHash: string): Promise<ClaimOutcome> {
    const key = claimKeyOf(repositoryHash)
    const object = await this.#objects.read(key)
    const nowMs = this.#clock.nowMs()
    if (object !== undefined) {
      const record = decodeClaim(await readWhole(key, object, RECORD_BYTES_MAX))
      // One's own, from before a crash, is waited for as well: a name may be used twice by mistake.
      if (record !== undefined && record.owner !== '' && record.untilMs > nowMs)
        return { kind: 'held', untilMs: record.untilMs }
    }
    const untilMs = nowMs + this.#leaseMs
    const precondition = object === undefined ? { ifAbsent: true as const } : { ifMatch: object.etag }
    const outcome = await this.#objects.put(key, encodeRecord({ owner: this.#owner, untilMs }), precondition)
    if (outcome.kind !== 'stored') return { kind: 'held', untilMs }
    return { kind: 'claimed', claim: { key, etag: outcome.etag, untilMs } }
  }

  /** @returns false when somebody else has it now */
  async renew(claim: Claim): Promise<boolean> {
    return this.#write(claim, { owner: this.#owner, untilMs: this.#clock.nowMs() + this.#leaseMs })
  }

  /** Lets others at once; what was lost already is left alone. */
  async release(claim: Claim): Promise<void> {
    await this.#write(claim, { owner: '', untilMs: 0 })
  }

  async #write(claim: Claim, record: ClaimRecord): Promise<boolean> {
    const outcome = await this.#objects.put(claim.key, encodeRecord(record), { ifMatch: claim.etag })
    if (outcome.kind !== 'stored') return false
    claim.etag = outcome.etag
    claim.untilMs = record.untilMs
    return true
  }
}

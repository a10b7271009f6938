/**
 * Keeps two runs of garbage collection from doing the same work. It is not what keeps blobs safe: two runs at once remove
 * nothing that one would not. So it is short, and a run that dies holds up the next for a minute.
 */
import { type ObjectStore, readWhole, StorageFullError } from '@shoal/storage'
import { keys } from './layout.ts'

const LEASE_MS = 60_000
const RENEWED_AFTER_MS = 15_000

export interface GarbageLeaseParts {
  readonly objects: ObjectStore
  readonly nowMs: () => number
  readonly newId: () => string
}

export class GarbageLease {
  #renewedAtMs: number

  readonly #parts: GarbageLeaseParts
  readonly #holder: string
  /** Undefined where the store is full: the run is what makes room. */
  #etag: string | undefined

  private constructor(parts: GarbageLeaseParts, holder: string, etag: string | undefined) {
    this.#parts = parts
    this.#holder = holder
    this.#etag = etag
    this.#renewedAtMs = parts.nowMs()
  }

  /** @returns undefined while another run goes on */
  static async take(parts: GarbageLeaseParts): Promise<GarbageLease | undefined> {
    const { objects, nowMs, newId } = parts
    const holder = newId()
    try {
      const record = encode(holder, nowMs())
      const taken = await objects.put(keys.garbageLease, record, { ifAbsent: true })
      if (taken.kind === 'stored') return new GarbageLease(parts, holder, taken.etag)
      const held = await read(objects)
      if (held === undefined) return undefined
      // One that runs for hours was written before leases were short: whoever holds it does not renew it.
      if (held.untilMs > nowMs() && held.untilMs <= nowMs() + LEASE_MS) return undefined
      const outcome = await objects.put(keys.garbageLease, record, { ifMatch: held.etag })
      return outcome.kind === 'stored' ? new GarbageLease(parts, holder, outcome.etag) : undefined
    } catch (error) {
      if (!(error instanceof StorageFullError)) throw error
      return new GarbageLease(parts, holder, undefined)
    }
  }

  /** @returns false when another run has taken over */
  async renew(): Promise<boolean> {
    const { objects, nowMs } = this.#parts
    if (this.#etag === undefined || nowMs() - this.#renewedAtMs < RENEWED_AFTER_MS) return true
    this.#renewedAtMs = nowMs()
    try {
      const record = encode(this.#holder, nowMs())
      const outcome = await objects.put(keys.garbageLease, record, { ifMatch: this.#etag })
      if (outcome.kind === 'stored') this.#etag = outcome.etag
      else {
        const held = await read(objects)
        // It is the run's own lease: the answer to its write was lost.
        if (held?.holder !== this.#holder) return false
        this.#etag = held.etag
      }
    } catch (error) {
      if (!(error instanceof StorageFullError)) throw error
    }
    return true
  }

  async release(): Promise<void> {
    if (this.#etag !== undefined) await this.#parts.objects.deleteIf(keys.garbageLease, this.#etag)
  }
}

function encode(holder: string, nowMs: number): Uint8Array {
  return Buffer.from(JSON.stringify({ version: 1, holder, untilMs: nowMs + LEASE_MS }))
}

async function read(
  objects: ObjectStore,
): Promise<{ readonly holder: unknown; readonly untilMs: number; readonly etag: string } | undefined> {
  const held = await objects.read(keys.garbageLease)
  if (held === undefined) return undefined
  const { holder, untilMs } = JSON.parse(
    Buffer.from(await readWhole(keys.garbageLease, held, 1_024)).toString(),
  )
  return { holder, untilMs, etag: held.etag }
}

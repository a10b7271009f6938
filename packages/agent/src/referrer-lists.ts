/**
 * What is attached to a manifest: the seeder's list, or while it is away the last one that this node was given. Never an
 * empty list by guess: who asks for signatures would believe it.
 */
import { type Digest, digestAlgorithm, digestHex } from '@shoal/core'
import { OciError } from '@shoal/oci'
import type { ReferrersPage } from '@shoal/registry'
import { Gate } from '@shoal/service'
import { SourceUnavailableError } from './errors.ts'
import type { ImageRecords } from './image-records.ts'
import type { ReferrersQuery, SeederClient } from './seeder-client.ts'
import type { SeederWatch } from './seeder-watch.ts'

/** Pages that are read from the seeder at a time: each may be as long as a manifest. */
const PAGES_AT_ONCE = 4

export class ReferrerLists {
  readonly #gate = new Gate(PAGES_AT_ONCE)
  readonly #client: SeederClient
  readonly #seeder: Pick<SeederWatch, 'ask'>
  readonly #records: ImageRecords
  readonly #seederUrl: string

  constructor(
    parts: { client: SeederClient; seeder: Pick<SeederWatch, 'ask'>; records: ImageRecords },
    init: { seederUrl: string },
  ) {
    this.#client = parts.client
    this.#seeder = parts.seeder
    this.#records = parts.records
    this.#seederUrl = init.seederUrl
  }

  /** @throws OciError UNAVAILABLE when nobody can say */
  async page(
    repository: string,
    subject: Digest,
    query: ReferrersQuery,
    signal: AbortSignal,
  ): Promise<ReferrersPage> {
    const key = `repos/${repository}/_referrers/${digestAlgorithm(subject)}/${digestHex(subject)}`
    // Only whole first pages are kept: enough for what images have, and a filter can be applied to them.
    const isFirst = query.after === undefined
    try {
      const page = await this.#gate.run(() =>
        this.#seeder.ask((gone) =>
          this.#client.referrers(
            this.#seederUrl,
            repository,
            subject,
            query,
            AbortSignal.any([signal, gone]),
          ),
        ),
      )
      if (isFirst && query.artifactType === undefined && page.next === undefined)
        await this.#records.write(key, Buffer.from(JSON.stringify(page.referrers)))
      return page
    } catch (error) {
      if (!(error instanceof SourceUnavailableError)) throw error
      const kept = isFirst ? await this.#records.read(key) : undefined
      if (kept === undefined)
        throw new OciError('UNAVAILABLE', 'the seeder cannot be asked for referrers now', { cause: error })
      const referrers = JSON.parse(Buffer.from(kept).toString()) as ReferrersPage['referrers']
      const { artifactType } = query
      return {
        referrers: referrers.filter(
          (each) => artifactType === undefined || each.artifactType === artifactType,
        ),
      }
    }
  }
}

/** The tags of a repository: the seeder's list, or while it is away the tags that this node knows itself. */
import type { TagsPage } from '@shoal/oci'
import type { ObjectStore } from '@shoal/storage'
import { SourceUnavailableError } from './errors.ts'
import type { SeederClient } from './seeder-client.ts'
import type { SeederWatch } from './seeder-watch.ts'

export class TagLists {
  readonly #client: SeederClient
  readonly #seeder: Pick<SeederWatch, 'ask'>
  readonly #objects: ObjectStore
  readonly #seederUrl: string

  constructor(
    parts: { client: SeederClient; seeder: Pick<SeederWatch, 'ask'>; objects: ObjectStore },
    init: { seederUrl: string },
  ) {
    this.#client = parts.client
    this.#seeder = parts.seeder
    this.#objects = parts.objects
    this.#seederUrl = init.seederUrl
  }

  async tags(repository: string, page: { tagsMax: number; after?: string }): Promise<TagsPage | undefined> {
    try {
      return await this.#seeder.ask((signal) => this.#client.tags(this.#seederUrl, repository, page, signal))
    } catch (error) {
      if (!(error instanceof SourceUnavailableError)) throw error
    }
    const prefix = `repos/${repository}/_tags/`
    const { keys, next } = await this.#objects.list(prefix, {
      keysMax: page.tagsMax,
      ...(page.after !== undefined && { after: `${prefix}${page.after}` }),
    })
    const isKnown = keys.length > 0 || page.after !== undefined
    return isKnown
      ? { tags: keys.map((key) => key.slice(prefix.length)), more: next !== undefined }
      : undefined
  }

  /** Whether this node ever pulled from the repository; the seeder's own refusal says no more to a client. */
  async hasRepository(repository: string): Promise<boolean> {
    const { keys } = await this.#objects.list(`repos/${repository}/_`, { keysMax: 1 })
    return keys.length > 0
  }
}

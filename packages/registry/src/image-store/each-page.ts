/** The keys below a prefix, page after page. */
import type { ListOptions, ListPage, ObjectStore } from '@shoal/storage'

/** S3 gives at most so many keys at a time. */
export const LIST_KEYS_MAX = 1_000

export async function* eachPage(
  objects: Pick<ObjectStore, 'list'>,
  prefix: string,
  options: Pick<ListOptions, 'withLengths' | 'after'> = {},
): AsyncGenerator<ListPage> {
  let { after } = options
  do {
    const page = await objects.list(prefix, {
      ...options,
      keysMax: LIST_KEYS_MAX,
      ...(after === undefined ? {} : { after }),
    })
    yield page
    after = page.next
  } while (after !== undefined)
}

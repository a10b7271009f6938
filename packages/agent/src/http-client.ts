/**
 * undici's pool and `request` without the rest of it: fetch, WebSockets, caches and mocks take 11 MB of an idle node.
 * The paths are undici's own files; its version is pinned, and the types are those of its public interface.
 */
import { createRequire } from 'node:module'
import { heard } from '@shoal/service'
import type { Agent, Dispatcher } from 'undici'

const requireFile = createRequire(import.meta.url)
const api: (this: Dispatcher, options: Dispatcher.RequestOptions) => Promise<Dispatcher.ResponseData> =
  requireFile('undici/lib/api/api-request.js')

export const HttpAgent: typeof Agent = requireFile('undici/lib/dispatcher/agent.js')
export type HttpAgent = Agent

export async function request(
  url: string | URL,
  {
    dispatcher,
    ...options
  }: Omit<Dispatcher.RequestOptions, 'origin' | 'path' | 'method'> & {
    dispatcher: Dispatcher
    method?: Dispatcher.HttpMethod
    /** As it is, where it must not be tidied. */
    path?: string
  },
): Promise<Dispatcher.ResponseData> {
  const { origin, pathname, search } = new URL(url)
  const path = `${pathname}${search}`
  return heard(await api.call(dispatcher, { method: 'GET', path, ...options, origin }))
}

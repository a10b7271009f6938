/** Where a redirect leads, and whether Shoal goes there. Pure. Addresses behind names are checked when they are looked up. */
import { UpstreamInvalidError, UpstreamRedirectRefusedError } from './errors.ts'

const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308]
const LOCATION_CHARACTERS_MAX = 8_192

export function isRedirect(status: number): boolean {
  return REDIRECTS.includes(status)
}

/**
 * @param from what was asked
 * @throws UpstreamInvalidError · UpstreamRedirectRefusedError
 */
export function redirectTarget(upstream: string, from: URL, location: string | undefined): URL {
  if (
    location === undefined ||
    location.length > LOCATION_CHARACTERS_MAX ||
    !URL.canParse(location, from.href)
  ) {
    throw new UpstreamInvalidError(upstream, 'it redirects without saying where')
  }
  const target = new URL(location, from)
  target.hash = ''
  if (target.protocol !== 'https:' && target.protocol !== 'http:') {
    throw new UpstreamRedirectRefusedError(
      upstream,
      `it redirects to ${target.protocol}, which is not followed`,
    )
  }
  if (from.protocol === 'https:' && target.protocol === 'http:') {
    throw new UpstreamRedirectRefusedError(
      upstream,
      `it redirects from https to http at ${target.host}, which is not followed`,
    )
  }
  if (target.username !== '' || target.password !== '') {
    throw new UpstreamRedirectRefusedError(upstream, `it redirects to ${target.host} with a user in the URL`)
  }
  return target
}

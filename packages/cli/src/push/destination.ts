/** Where a push goes, from the reference that a person typed. Pure. */
import { isIPv4 } from 'node:net'
import { looksLikeHost, parseImageReference, ReferenceInvalidError } from '@shoal/oci'

export interface Destination {
  /** With the port where there is one. */
  readonly host: string
  /** `https://host:port` */
  readonly registryUrl: string
  readonly repository: string
  readonly tag: string
}

const DEFAULT_TAG = 'latest'

/**
 * Plain HTTP is for this machine; anywhere else it must be asked for, as `http://host/name:tag`.
 * @throws ReferenceInvalidError
 */
export function parseDestination(text: string): Destination {
  const [, scheme, rest] = /^(?:(https?):\/\/)?(.*)$/s.exec(text)!
  const slash = rest!.indexOf('/')
  const host = rest!.slice(0, Math.max(0, slash))
  // After a scheme comes a host, whatever it looks like.
  const isHost =
    looksLikeHost(host) || (scheme !== undefined && /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i.test(host))
  if (!isHost)
    throw new ReferenceInvalidError(
      text,
      'it does not say which registry; a push needs one, as in host:port/name:tag',
    )
  // A name may itself begin with what looks like a host: parsed behind `localhost`, it is not taken for one.
  const { repository, tag = DEFAULT_TAG, digest } = parseImageReference(`localhost/${rest!.slice(slash + 1)}`)
  if (digest !== undefined)
    throw new ReferenceInvalidError(text, 'a digest cannot be pushed to, it follows from what is pushed')
  return { host, registryUrl: `${scheme ?? schemeFor(host)}://${host}`, repository, tag }
}

function schemeFor(host: string): 'http' | 'https' {
  const name = host.replace(/:\d+$/, '').toLowerCase()
  const isHere =
    name === 'localhost' ||
    name.endsWith('.localhost') ||
    name === '[::1]' ||
    (isIPv4(name) && name.startsWith('127.'))
  return isHere ? 'http' : 'https'
}

/**
 * What of a URL may go into a log. Pure.
 * Registries that cannot set headers show their secret in the query, clients have been seen to put a login into `ns`, and
 * presigned URLs are passwords: only what is known to be no secret is written out.
 */

/** Parameters of Shoal's own routes; `secret` is not among them. */
const SHOWN: ReadonlySet<string> = new Set([
  'after',
  'artifactType',
  'blob',
  'digest',
  'digest-algorithm',
  'dryRun',
  'format',
  'from',
  'last',
  'mount',
  'n',
  'ns',
  'peerId',
  'platform',
  'reference',
  'registry',
  'repository',
  'tag',
  'wait',
])
const CHARACTERS_MAX = 2_048

/** @param url path and query, as they were sent */
export function loggableUrl(url: string): string {
  const mark = url.indexOf('?')
  const path = withoutLogin(mark === -1 ? url : url.slice(0, mark))
  if (mark === -1) return path.slice(0, CHARACTERS_MAX)
  const query = url
    .slice(mark + 1)
    .split('&')
    .map((parameter) => {
      const equals = parameter.indexOf('=')
      if (equals === -1) return SHOWN.has(parameter) ? parameter : '…'
      const name = parameter.slice(0, equals)
      return SHOWN.has(name) ? `${name}=${withoutLogin(parameter.slice(equals + 1))}` : `${hidden(name)}=…`
    })
  return `${path}?${query.join('&')}`.slice(0, CHARACTERS_MAX)
}

/** Leaves out `user:password@` in front of a host, encoded or not. */
export function withoutLogin(text: string): string {
  return text.replace(/[^/]*(?:@|%40)/gi, '…@')
}

/** A name that nobody knows may be anything, too. */
function hidden(name: string): string {
  return /^[a-z]{1,20}$/i.test(name) ? name : '…'
}

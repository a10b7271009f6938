/** The origin as it is written in settings: a folder, or a bucket with what is needed to reach it. */
import { OriginInvalidError } from './errors.ts'
import { FilesystemObjectStore } from './filesystem-object-store.ts'
import type { ObjectStore } from './object-store.ts'
import type { S3ObjectStoreInit } from './s3-object-store.ts'

export type Origin =
  | { readonly kind: 'filesystem'; readonly folder: string }
  | {
      readonly kind: 's3'
      readonly bucket: string
      /** Empty, or ends without `/`. */
      readonly prefix: string
      readonly endpoint?: string
      readonly region?: string
      readonly forcePathStyle: boolean
    }

const BUCKET = /^[a-z0-9][a-z0-9._-]{1,253}[a-z0-9]$/
const PREFIX = /^([A-Za-z0-9._=+-]+(\/[A-Za-z0-9._=+-]+)*)?$/
const PARAMETERS = ['endpoint', 'region', 'forcePathStyle']

/** @throws OriginInvalidError */
export function parseOrigin(text: string): Origin {
  if (!text.startsWith('s3:')) {
    if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) throw new OriginInvalidError(text, 'only s3:// URLs are known')
    if (text === '') throw new OriginInvalidError(text, 'it is empty')
    return { kind: 'filesystem', folder: text }
  }
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !BUCKET.test(url.hostname))
    throw new OriginInvalidError(text, 'the bucket has no proper name')
  if (url.username !== '' || url.password !== '') {
    throw new OriginInvalidError(
      `s3://…@${url.hostname}`,
      'credentials do not belong here; set AWS_ACCESS_KEY_ID and so on',
    )
  }
  const prefix = url.pathname.replace(/^\//, '').replace(/\/$/, '')
  if (!PREFIX.test(prefix))
    throw new OriginInvalidError(text, `the prefix ${JSON.stringify(prefix)} has odd characters`)
  for (const key of url.searchParams.keys()) {
    if (!PARAMETERS.includes(key))
      throw new OriginInvalidError(text, `${key} is none of ${PARAMETERS.join(', ')}`)
  }
  const endpoint = url.searchParams.get('endpoint')
  if (endpoint !== null && !/^https?:$/.test(URL.canParse(endpoint) ? new URL(endpoint).protocol : '')) {
    throw new OriginInvalidError(text, `the endpoint ${JSON.stringify(endpoint)} is no http or https URL`)
  }
  const region = url.searchParams.get('region')
  const pathStyle = url.searchParams.get('forcePathStyle') ?? 'false'
  if (pathStyle !== 'true' && pathStyle !== 'false') {
    throw new OriginInvalidError(text, `forcePathStyle is true or false, not ${JSON.stringify(pathStyle)}`)
  }
  return {
    kind: 's3',
    bucket: url.hostname,
    prefix,
    ...(endpoint !== null && { endpoint }),
    ...(region !== null && { region }),
    forcePathStyle: pathStyle === 'true',
  }
}

/** The store, not started. S3's client is loaded only where it is used: it takes some 10 MB of memory. */
export async function openObjectStore(
  origin: Origin,
  parts: Pick<S3ObjectStoreInit, 'proxyFor'> = {},
): Promise<ObjectStore> {
  if (origin.kind === 'filesystem') return new FilesystemObjectStore(origin)
  const { S3ObjectStore } = await import('./s3-object-store.ts')
  return new S3ObjectStore({ ...origin, ...parts })
}

/**
 * Descriptors: how a manifest names other content. Pure.
 * OCI image specification, "Content Descriptors". Only what Shoal acts upon is read; the rest stays in the raw bytes.
 */
import { type Digest, tryParseDigest } from '@shoal/core'
import { OciError } from './errors.ts'
import { isJsonObject } from './json-object.ts'

export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
  readonly osVersion?: string
}

/** Names and texts; OCI image specification, "Annotations". */
export type Annotations = { readonly [name: string]: string }

export interface Descriptor {
  /** Empty where nothing was said, which the specification forbids and registries take. */
  readonly mediaType: string
  readonly digest: Digest
  /** Bytes of the content. */
  readonly size: number
  /** The content is somewhere else as well, or only there. Shoal never fetches from these. */
  readonly urls: readonly string[]
  readonly platform?: Platform
  readonly artifactType?: string
}

/**
 * @param where the place in the document, for messages: `layers[3]`
 * @throws OciError MANIFEST_INVALID
 */
export function parseDescriptor(value: unknown, where: string): Descriptor {
  if (!isJsonObject(value)) throw invalid(where, 'is not a descriptor')
  const { digest, size } = value
  const mediaType = parseText(value.mediaType, `${where}.mediaType`) ?? ''
  const parsedDigest = typeof digest === 'string' ? tryParseDigest(digest) : undefined
  if (parsedDigest === undefined) throw invalid(where, 'has no valid digest')
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw invalid(where, 'has no size in whole bytes')
  }
  const platform = parsePlatform(value.platform, where)
  const artifactType = parseText(value.artifactType, `${where}.artifactType`)
  return {
    mediaType,
    digest: parsedDigest,
    size,
    urls: parseUrls(value.urls, where),
    ...(platform === undefined ? {} : { platform }),
    ...(artifactType === undefined ? {} : { artifactType }),
  }
}

/** What Go's encoders write for an empty list, map or pointer is read as nothing, as Distribution does. */
export function isAbsent(value: unknown): value is undefined | null {
  return value === undefined || value === null
}

/** An optional string of a manifest, at most 255 characters; an empty one counts as absent. */
export function parseText(value: unknown, where: string): string | undefined {
  if (isAbsent(value) || value === '') return undefined
  if (typeof value !== 'string' || value.length > 255) throw invalid(where, 'is not a short string')
  return value
}

/** Absent ones are none; one without a text is one with an empty text. */
export function parseAnnotations(value: unknown, where: string): Annotations {
  if (isAbsent(value)) return {}
  const isText = (text: unknown) => isAbsent(text) || typeof text === 'string'
  if (!isJsonObject(value) || !Object.values(value).every(isText)) {
    throw invalid(where, 'are not texts by name')
  }
  return Object.fromEntries(Object.entries(value).map(([name, text]) => [name, (text ?? '') as string]))
}

export function invalid(where: string, what: string): OciError {
  return new OciError('MANIFEST_INVALID', `manifest invalid: ${where} ${what}`, { detail: { where } })
}

function parseUrls(value: unknown, where: string): readonly string[] {
  if (isAbsent(value)) return []
  if (!Array.isArray(value) || value.length > 64 || !value.every((url) => typeof url === 'string')) {
    throw invalid(where, 'has urls that are not a short list of strings')
  }
  return value
}

function parsePlatform(value: unknown, where: string): Platform | undefined {
  if (isAbsent(value)) return undefined
  if (!isJsonObject(value)) throw invalid(where, 'has a platform that is not an object')
  const variant = parseText(value.variant, `${where}.platform.variant`)
  const osVersion = parseText(value['os.version'], `${where}.platform.os.version`)
  return {
    // Required by the specification, missing in real indexes ("unknown" is meant then).
    os: parseText(value.os, `${where}.platform.os`) ?? 'unknown',
    architecture: parseText(value.architecture, `${where}.platform.architecture`) ?? 'unknown',
    ...(variant === undefined ? {} : { variant }),
    ...(osVersion === undefined ? {} : { osVersion }),
  }
}

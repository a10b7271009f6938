/**
 * What a schema says of each setting: its flag, its variable, what it allows. Everything that people see of settings is
 * derived here from the one schema, so that help, messages and documentation cannot differ. Pure.
 */
import { parseHostPort } from '@shoal/core'
import {
  parseHostList,
  parseRealmHosts,
  parseUpstreamList,
  parseWatchList,
  UpstreamListInvalidError,
} from '@shoal/oci'
import { OriginInvalidError, parseOrigin } from '@shoal/storage'
import type { TObject, TSchema } from 'typebox'
import { Compile, type Validator } from 'typebox/compile'
import { formatBytes, parseBytes } from './bytes-text.ts'

export type SettingValue = string | number | boolean

export interface Setting {
  /** As in the YAML file: `peerListen`. */
  readonly key: string
  /** `peer-listen`, without dashes before it. */
  readonly flag: string
  readonly variable: string
  readonly description: string
  readonly default: SettingValue
  /** As a person would write it; `empty` for no text. */
  readonly defaultText: string
  /** In words, for messages. */
  readonly allowed: string
  /** Where only some words are allowed. */
  readonly choices?: readonly string[]
  /** What stands for the value in help: `HOST:PORT`. */
  readonly placeholder: string
  /** @returns undefined when the value is not allowed; text is what flags and variables give */
  accept(value: unknown, from: 'text' | 'file'): SettingValue | undefined
}

/** The parts of JSON schema that settings use. */
interface PropertySchema {
  readonly type?: string
  readonly format?: string
  readonly enum?: readonly string[]
  readonly default: SettingValue
  readonly description: string
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
}

/** In the order of the schema. */
export function settingsOf(schema: TObject): Setting[] {
  return Object.entries(schema.properties).map(([key, property]) => settingOf(key, property))
}

function settingOf(key: string, schema: TSchema): Setting {
  const property = schema as unknown as PropertySchema
  const flag = key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  // Made when a value is given: most settings keep their defaults.
  let validator: Validator | undefined
  const isBytes = /Bytes(PerSecond)?$/.test(key)
  return {
    key,
    flag,
    variable: `SHOAL_${flag.replaceAll('-', '_').toUpperCase()}`,
    description: property.description,
    default: property.default,
    defaultText: defaultTextOf(property.default, isBytes),
    allowed: allowedBy(property, isBytes),
    placeholder: placeholderFor(property, isBytes),
    ...(property.enum !== undefined && { choices: property.enum }),
    accept(value, from) {
      const typed = typeof value === 'string' ? fromText(value, property, isBytes, from) : value
      validator ??= Compile(schema)
      if (!validator.Check(typed) || !hasFormat(typed, property.format)) return undefined
      return typed as SettingValue
    },
  }
}

function fromText(text: string, { type }: PropertySchema, isBytes: boolean, from: 'text' | 'file'): unknown {
  if (type === 'integer' && isBytes) return parseBytes(text)
  // A file has numbers of its own: a quoted one is a mistake.
  if (from === 'file') return text
  if (type === 'integer') return /^-?\d{1,15}$/.test(text) ? Number(text) : undefined
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : undefined
  return text
}

function hasFormat(value: unknown, format: string | undefined): boolean {
  if (format === undefined) return true
  if (typeof value !== 'string') return false
  if (format === 'host-port') return parseHostPort(value) !== undefined
  const parse = PARSED_FORMATS[format]
  if (parse !== undefined) return canBeParsed(parse, value)
  return URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)
}

const PARSED_FORMATS: Readonly<Record<string, (text: string) => unknown>> = {
  origin: parseOrigin,
  'upstream-list': parseUpstreamList,
  'host-list': parseHostList,
  'realm-hosts': parseRealmHosts,
  'watch-list': parseWatchList,
}

function canBeParsed(parse: (text: string) => unknown, text: string): boolean {
  try {
    parse(text)
    return true
  } catch (error) {
    if (error instanceof OriginInvalidError || error instanceof UpstreamListInvalidError) return false
    throw error
  }
}

function allowedBy(property: PropertySchema, isBytes: boolean): string {
  if (property.enum !== undefined) return `one of ${property.enum.join(', ')}`
  if (property.type === 'integer') {
    const unit = isBytes ? 'a number of bytes, such as 500MB or 64GiB,' : 'a whole number'
    const { minimum, maximum } = property
    const shown = (limit: number) => (isBytes ? formatBytes(limit) : String(limit))
    return `${unit}${minimum === undefined ? '' : ` from ${shown(minimum)}`}${maximum === undefined ? '' : ` to ${shown(maximum)}`}`
  }
  if (property.type === 'boolean') return 'true or false'
  if (property.format === 'host-port') return 'host:port, such as 127.0.0.1:5001, [::1]:5001 or 0.0.0.0:5001'
  if (property.format === 'http-url') return 'an http or https URL, such as http://seeder:7000'
  if (property.format === 'origin') {
    return 'a folder, or s3://bucket/prefix with endpoint=URL, region=NAME, forcePathStyle=true or false behind a ?'
  }
  if (property.format === 'upstream-list')
    return 'hosts separated by commas, each with =URL behind it where it is not at https://host'
  if (property.format === 'host-list')
    return 'hosts separated by commas, such as registry.corp,localhost:5000'
  if (property.format === 'realm-hosts')
    return 'registry=host pairs separated by commas, such as nvcr.io=authn.nvidia.com'
  if (property.format === 'watch-list')
    return 'host/name:tags separated by commas, where tags may have * and ?'
  return property.minLength === undefined ? 'any text' : 'text that is not empty'
}

function defaultTextOf(value: SettingValue, isBytes: boolean): string {
  if (isBytes && typeof value === 'number') return formatBytes(value)
  return value === '' ? 'empty' : String(value)
}

function placeholderFor(property: PropertySchema, isBytes: boolean): string {
  if (property.enum !== undefined) return 'WORD'
  if (property.type === 'integer') return isBytes ? 'BYTES' : 'NUMBER'
  if (property.type === 'boolean') return 'true|false'
  if (property.format === 'host-port') return 'HOST:PORT'
  return property.format === 'http-url' ? 'URL' : 'TEXT'
}

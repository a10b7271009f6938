/**
 * The part of the chart's values.schema.json that follows from Shoal's own settings: `seeder.settings` and `agent.settings`.
 * What the chart makes itself is let through here, because its templates refuse it with a word on what to set instead.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TObject } from 'typebox'
import { parse } from 'yaml'
import { agentReference, seederReference } from '../../../packages/cli/src/services.ts'
import { BYTES_PATTERN } from '../../../packages/settings/src/bytes-text.ts'
import { CHART_FOLDER } from './chart-renderer.ts'

type JsonSchema = Record<string, unknown>

/** The schema's file as it has to be. */
export function valuesSchemaInStep(current: string): string {
  const schema = JSON.parse(current) as { definitions: Record<string, JsonSchema> }
  const own = ownSettings()
  schema.definitions.bytes = { ...schema.definitions.bytes, pattern: BYTES_PATTERN }
  schema.definitions.seederSettings = settingsSchema(seederReference.schema, own.seeder!)
  schema.definitions.agentSettings = settingsSchema(agentReference.schema, own.agent!)
  return `${JSON.stringify(schema, null, 2)}\n`
}

/** What the chart makes itself, and of which values, as its templates say. */
export function ownSettings(): Record<string, Record<string, string>> {
  const text = readFileSync(join(CHART_FOLDER, 'templates/_settings.tpl'), 'utf8')
  const yaml = /define "shoal.ownSettings" -}}\n([\s\S]*?)\n{{- end }}/.exec(text)?.[1]
  return parse(yaml ?? '')
}

function settingsSchema({ properties }: TObject, own: Record<string, string>): JsonSchema {
  const entries = Object.entries(properties).map(([key, property]) => {
    const instead = own[key]
    if (instead !== undefined) return [key, { description: `Made by the chart: set ${instead}.` }]
    return [key, settingSchema(key, property as JsonSchema)]
  })
  return {
    description: 'Generated from the settings’ schemas; docs/configuration.md explains them.',
    type: 'object',
    additionalProperties: false,
    properties: Object.fromEntries(entries),
  }
}

function settingSchema(key: string, { type, description, ...rest }: JsonSchema): JsonSchema {
  const { minimum, maximum, minLength, enum: words } = rest
  if (words !== undefined) return { description, enum: words }
  const limits = {
    ...(minimum !== undefined && { minimum }),
    ...(maximum !== undefined && { maximum }),
    ...(minLength !== undefined && { minLength }),
  }
  const isBytes = type === 'integer' && /Bytes(PerSecond)?$/.test(key)
  if (!isBytes) return { description, type, ...limits }
  return {
    description,
    type: ['integer', 'string'],
    ...limits,
    pattern: BYTES_PATTERN,
  }
}

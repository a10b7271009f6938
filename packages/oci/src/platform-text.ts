/** Platforms as people write them: `linux/arm64/v8`. Pure. */
import type { Platform } from './descriptor.ts'

const GRAMMAR = /^([a-z0-9]{1,32})\/([a-z0-9_]{1,32})(?:\/([a-z0-9.]{1,32}))?$/

/** @returns undefined when `text` is no platform */
export function parsePlatform(text: string): Platform | undefined {
  const [, os, architecture, variant] = GRAMMAR.exec(text) ?? []
  if (os === undefined || architecture === undefined) return undefined
  return { os, architecture, ...(variant === undefined ? {} : { variant }) }
}

export function platformText({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/')
}

/** Rates, durations and shares as people write them: `10Gbps`, `300MB/s`, `200ms`, `5%`. Pure. */
import { parseBytes } from '@shoal/settings'

const BITS: Readonly<Record<string, number>> = { bps: 1, kbps: 1e3, mbps: 1e6, gbps: 1e9, tbps: 1e12 }
const MILLISECONDS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1e3,
  m: 60e3,
  h: 3600e3,
  d: 86_400e3,
}

/** @returns bytes per second, or undefined when `text` is no rate: `20Mbps` (bits, decimal) or `300MB/s` (bytes) */
export function parseRate(text: string): number | undefined {
  const bits = /^(\d{1,9}(?:\.\d{1,6})?)\s*([kmgt]?bps)$/i.exec(text)
  if (bits !== null) return positive((Number(bits[1]) * BITS[bits[2]!.toLowerCase()]!) / 8)
  const bytes = /^(.{1,24})\/s$/.exec(text)
  return bytes === null ? undefined : positive(parseBytes(bytes[1]!))
}

/** @returns milliseconds, or undefined when `text` is no duration */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,9}(?:\.\d{1,6})?)\s*(ms|s|m|h|d)$/.exec(text)
  return match === null ? undefined : Number(match[1]) * MILLISECONDS[match[2]!]!
}

/** @returns a number from 0 to 1, or undefined when `text` is no share: `5%` */
export function parseShare(text: string): number | undefined {
  const match = /^(\d{1,3}(?:\.\d{1,6})?)\s*%$/.exec(text)
  const share = match === null ? Number.NaN : Number(match[1]) / 100
  return share >= 0 && share <= 1 ? share : undefined
}

function positive(value: number | undefined): number | undefined {
  return value !== undefined && value > 0 ? value : undefined
}

/** Durations as people write them: `500ms`, `90s`, `10m`, `2h`. Pure. */

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

/** @returns whole milliseconds, or undefined when `text` is no duration */
export function parseDurationMs(text: string): number | undefined {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)\s*(ms|s|m|h)$/i.exec(text)
  const unit = UNITS[match?.[2]?.toLowerCase() ?? 'none']
  return match === null || unit === undefined ? undefined : Math.round(Number(match[1]) * unit)
}

/** Sizes as people write them: `150MB`, `64GiB`, `1048576`. Pure. */

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
}

/** @returns whole bytes, or undefined when `text` is no size */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]{0,3})$/.exec(text)
  const unit = UNITS[match?.[2]?.toUpperCase() ?? 'none']
  if (match === null || unit === undefined) return undefined
  const bytes = Math.round(Number(match[1]) * unit)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** The shortest exact text: `64GiB`, `500MB`, `1234567`. The inverse of {@link parseBytes}. */
export function formatBytes(bytes: number): string {
  const names = ['', 'TiB', 'GiB', 'MiB', 'KiB', 'TB', 'GB', 'MB', 'KB']
  const texts = names.map((name) => `${bytes / UNITS[name.toUpperCase()]!}${name}`)
  const [first = String(bytes), ...others] = texts.filter((text) => parseBytes(text) === bytes)
  return others.reduce((best, text) => (text.length < best.length ? text : best), first)
}

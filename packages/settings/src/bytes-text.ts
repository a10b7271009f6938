/** Sizes as people write them: `150MB`, `64GiB`, `1048576`, and as Kubernetes does: `64Gi`, `500M`. Pure. */

/** What a size looks like. The Helm chart's schema has the same, so that it lets nothing pass that ends a service. */
export const BYTES_PATTERN = '^[0-9]{1,15}(\\.[0-9]{1,6})?\\s*([kKmMgGtT][iI]?)?[bB]?$'

/** Without the `B`, which changes nothing. */
const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  K: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  KI: 2 ** 10,
  MI: 2 ** 20,
  GI: 2 ** 30,
  TI: 2 ** 40,
}

/** @returns whole bytes, or undefined when `text` is no size */
export function parseBytes(text: string): number | undefined {
  const match = new RegExp(BYTES_PATTERN).test(text) ? /^([\d.]+)\s*([a-z]*)$/i.exec(text) : null
  if (match === null) return undefined
  const unit = UNITS[match[2]!.toUpperCase().replace(/B$/, '')]!
  const bytes = Math.round(Number(match[1]) * unit)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** The shortest exact text: `64GiB`, `500MB`, `1234567`. The inverse of {@link parseBytes}. */
export function formatBytes(bytes: number): string {
  const units = ['', 'Ti', 'Gi', 'Mi', 'Ki', 'T', 'G', 'M', 'K']
  const texts = units.map((unit) => `${bytes / UNITS[unit.toUpperCase()]!}${unit === '' ? '' : `${unit}B`}`)
  const [first = String(bytes), ...others] = texts.filter((text) => parseBytes(text) === bytes)
  return others.reduce((best, text) => (text.length < best.length ? text : best), first)
}

/** For people who read many of them below each other: `12.3 MB`. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

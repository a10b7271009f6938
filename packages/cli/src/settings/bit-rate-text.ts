/** Speeds of links as people write them: `20Mbps`, `10Gbps`; bits per second, decimal. Pure. */

const UNITS: Readonly<Record<string, number>> = { bps: 1, kbps: 1e3, mbps: 1e6, gbps: 1e9 }

/** @returns whole bits per second, or undefined when `text` is no speed */
export function parseBitRate(text: string): number | undefined {
  const match = /^(\d{1,12}(?:\.\d{1,6})?)\s*([kmg]?bps)$/i.exec(text)
  const unit = UNITS[match?.[2]?.toLowerCase() ?? 'none']
  if (match === null || unit === undefined) return undefined
  const bitsPerSecond = Math.round(Number(match[1]) * unit)
  return Number.isSafeInteger(bitsPerSecond) ? bitsPerSecond : undefined
}

/** The largest unit that leaves no zero before the point. The inverse of {@link parseBitRate}. */
export function formatBitRate(bitsPerSecond: number): string {
  const [name, unit] = [['Gbps', 1e9] as const, ['Mbps', 1e6] as const, ['kbps', 1e3] as const].find(
    ([, size]) => bitsPerSecond >= size,
  ) ?? ['bps', 1]
  return `${bitsPerSecond / unit}${name}`
}

/** What the benchmarks' command lines have in common. Results go to stdout, everything else to stderr. */
import { InvalidArgumentError } from 'commander'
import { parseBytes } from '../../packages/settings/src/bytes-text.ts'

export function bytesArgument(text: string): number {
  const bytes = parseBytes(text)
  if (bytes === undefined || bytes < 1)
    throw new InvalidArgumentError('Say 64MiB, 1GiB or a number of bytes.')
  return bytes
}

export function countArgument(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new InvalidArgumentError('Say a whole number from 1 to 9999.')
  return Number(text)
}

/** A parser of comma-separated names out of `known`. */
export function namesArgument<Name extends string>(known: readonly Name[]): (text: string) => Name[] {
  return (text) => text.split(',').map((word) => nameArgument(known)(word.trim()))
}

export function nameArgument<Name extends string>(known: readonly Name[]): (text: string) => Name {
  return (text) => {
    const name = known.find((one) => one === text)
    if (name === undefined) throw new InvalidArgumentError(`There are ${known.join(', ')}.`)
    return name
  }
}

export function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** The last line of a run with `--json`. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

/** A table for people: every column as wide as its longest cell, all but the first to the right. */
export function printTable(rows: readonly (readonly string[])[]): void {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  for (const row of rows) {
    const cells = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
    )
    process.stdout.write(`${cells.join('  ')}\n`)
  }
}

/**
 * How fast a blob gets from one process to another on loopback, verified and on disk at the end: Shoal's engines beside
 * webtorrent, libtorrent and `curl` from nginx. Every row once per round, in turn, so that what slows the machine for a
 * while slows them all; ratios are medians of the rounds' ratios.
 */
import { Command } from 'commander'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { makeBenchBlob, touchMemory } from './bench-blob.ts'
import { bytesArgument, countArgument, namesArgument, printJson, printTable, say } from './command-line.ts'
import { engineRow } from './rows/engine.ts'
import { libtorrentRow } from './rows/libtorrent.ts'
import { nginxRow } from './rows/nginx.ts'
import { type Row, type RowInit, type RowRun, RowUnavailableError, type Usage } from './rows/row.ts'
import { median, megabytesPerSecond, pairedRatio, rounded, type Spread, spread } from './statistics.ts'

const ROW_NAMES = ['native', 'webtorrent', 'libtorrent', 'nginx'] as const
type RowName = (typeof ROW_NAMES)[number]

const createRow: Record<RowName, (init: RowInit) => Row | Promise<Row>> = {
  native: (init) => engineRow('native', init),
  webtorrent: (init) => engineRow('webtorrent', init),
  libtorrent: libtorrentRow,
  nginx: nginxRow,
}

export interface TransferReport {
  readonly bytes: number
  readonly runs: number
  readonly rows: readonly RowReport[]
  readonly ratios: Readonly<Record<`native/${Exclude<RowName, 'native'>}`, number | null>>
  readonly skipped: readonly { readonly name: RowName; readonly reason: string; readonly remedy: string }[]
}

export interface RowReport {
  readonly name: RowName
  readonly mbPerSecond: Spread
  /** Medians; for the whole blob, not for a GiB. */
  readonly senderCpuSeconds: number | null
  readonly receiverCpuSeconds: number | null
  /** The highest of all runs. */
  readonly senderPeakRssMB: number | null
  readonly receiverPeakRssMB: number | null
}

interface Options {
  readonly bytes: number
  readonly runs: number
  readonly rows: readonly RowName[]
  readonly json?: true
}

const options = new Command('bench:transfer')
  .description('One blob from process to process, on loopback and to disk.')
  .option('--bytes <size>', 'size of the blob', bytesArgument, 2 ** 30)
  .option('--runs <count>', 'rounds', countArgument, 5)
  .option('--rows <names>', `some of ${ROW_NAMES}`, namesArgument(ROW_NAMES), [...ROW_NAMES])
  .option('--json', 'print one line of JSON instead of a table')
  .parse()
  .opts<Options>()

const report = await measure(options)
if (options.json) printJson(report)
else print(report)

async function measure({ bytes, runs, rows: names }: Options): Promise<TransferReport> {
  await using folder = await temporaryFolder('bench')
  say(`making a blob of ${bytes} bytes`)
  const init = { blob: await makeBenchBlob(folder.path, bytes), folder: folder.path }
  const rows = new Map<RowName, Row>()
  const skipped: TransferReport['skipped'][number][] = []
  for (const name of names) {
    try {
      rows.set(name, await createRow[name](init))
    } catch (error) {
      if (!(error instanceof RowUnavailableError)) throw error
      say(`${name} is skipped: ${error.message} (${error.remedy})`)
      skipped.push({ name, reason: error.message, remedy: error.remedy })
    }
  }
  const done = new Map<RowName, RowRun[]>([...rows.keys()].map((name) => [name, []]))
  for (let round = 1; round <= runs; round++) {
    for (const [name, row] of rows) {
      await touchMemory(folder.path, bytes)
      const run = await row.run(round === 1)
      done.get(name)!.push(run)
      say(`round ${round} of ${runs}: ${name} ${megabytesPerSecond(bytes, run.seconds).toFixed(0)} MB/s`)
    }
  }
  for (const row of rows.values()) await row[Symbol.asyncDispose]()
  const speeds = (name: RowName) => done.get(name)?.map(({ seconds }) => megabytesPerSecond(bytes, seconds))
  return {
    bytes,
    runs,
    rows: [...done].map(([name, of]) => ({ name, mbPerSecond: spread(speeds(name)!), ...usageOf(of) })),
    ratios: {
      'native/webtorrent': pairedRatio(speeds('native'), speeds('webtorrent')),
      'native/libtorrent': pairedRatio(speeds('native'), speeds('libtorrent')),
      'native/nginx': pairedRatio(speeds('native'), speeds('nginx')),
    },
    skipped,
  }
}

function usageOf(runs: readonly RowRun[]): Omit<RowReport, 'name' | 'mbPerSecond'> {
  const all = (side: 'sender' | 'receiver', value: keyof Usage) =>
    runs.map((run) => run[side][value]).filter((one) => one !== null)
  const cpu = (side: 'sender' | 'receiver') => orNull(all(side, 'cpuSeconds'), (of) => rounded(median(of)))
  const peak = (side: 'sender' | 'receiver') => orNull(all(side, 'peakRssMB'), (of) => Math.max(...of))
  return {
    senderCpuSeconds: cpu('sender'),
    receiverCpuSeconds: cpu('receiver'),
    senderPeakRssMB: peak('sender'),
    receiverPeakRssMB: peak('receiver'),
  }
}

function orNull(values: readonly number[], of: (values: readonly number[]) => number): number | null {
  return values.length === 0 ? null : of(values)
}

function print({ rows, ratios }: TransferReport): void {
  const text = (value: number | null, digits: number) => value?.toFixed(digits) ?? '-'
  printTable([
    ['', 'MB/s', 'min', 'max', 'sender CPU s', 'receiver CPU s', 'sender MB', 'receiver MB'],
    ...rows.map((row) => [
      row.name,
      text(row.mbPerSecond.median, 0),
      text(row.mbPerSecond.min, 0),
      text(row.mbPerSecond.max, 0),
      text(row.senderCpuSeconds, 2),
      text(row.receiverCpuSeconds, 2),
      text(row.senderPeakRssMB, 0),
      text(row.receiverPeakRssMB, 0),
    ]),
  ])
  for (const [name, ratio] of Object.entries(ratios)) console.log(`${name}: ${text(ratio, 2)}`)
}

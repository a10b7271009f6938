/** One way to move a blob from one process to another, on loopback and to disk. */
import type { BenchBlob } from '../bench-blob.ts'

export interface Row extends AsyncDisposable {
  readonly name: string
  /**
   * Moves the blob once, with processes and files of its own, and leaves nothing.
   * @param check whether the file that came is compared with the blob, outside the clock
   */
  run(check: boolean): Promise<RowRun>
}

export interface RowRun {
  readonly seconds: number
  readonly sender: Usage
  readonly receiver: Usage
}

/** What one process took for the transfer; null where it cannot be told. */
export interface Usage {
  readonly cpuSeconds: number | null
  readonly peakRssMB: number | null
}

export interface RowInit {
  readonly blob: BenchBlob
  /** A folder for everything that the row writes. */
  readonly folder: string
}

/** Why a row cannot be measured on this machine, and what would help. */
export class RowUnavailableError extends Error {
  readonly code = 'BENCH_ROW_UNAVAILABLE'
  readonly remedy: string
  constructor(reason: string, remedy: string) {
    super(reason)
    this.remedy = remedy
  }
}

/** Archives whose bytes depend on the files alone: names are sorted, owners and times are fixed. Needs GNU tar. */
import { execFileSync } from 'node:child_process'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

const TIMEOUT_MS = 10 * 60_000

export interface TarInit {
  /** The archive that is written. */
  readonly path: string
  /** What the names in it are relative to. */
  readonly folder: string
  readonly names: readonly string[]
  /** Of all files; root's where absent. */
  readonly owner?: number
  /** As `chmod` takes it, where a checkout's own modes are no matter. */
  readonly mode?: string
}

/** Under its name only when it is whole. */
export function writeTar({ path, folder, names, owner = 0, mode }: TarInit): void {
  const still = ['--sort=name', '--mtime=@0', `--owner=${owner}`, `--group=${owner}`, '--numeric-owner']
  const modes = mode === undefined ? [] : [`--mode=${mode}`]
  const words = ['--format=gnu', ...still, ...modes, '-cf', `${path}.part`, '-C', folder, ...names]
  execFileSync('tar', words, { stdio: ['ignore', 'ignore', 'inherit'], timeout: TIMEOUT_MS })
  renameSync(`${path}.part`, path)
}

/** Of the same Node the same bytes: its zlib writes no time and no name. */
export function gzipFile(from: string, to: string): void {
  writeFileSync(`${to}.part`, gzipSync(readFileSync(from)))
  renameSync(`${to}.part`, to)
}

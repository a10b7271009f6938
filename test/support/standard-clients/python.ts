import { spawnSync } from 'node:child_process'
import { programPaths } from '../components.ts'

/** Several Pythons may be on PATH; Debian's package serves Debian's own. */
export function pythonWithLibtorrent(): string | undefined {
  return programPaths('python3').find(
    (path) => spawnSync(path, ['-c', 'import libtorrent'], { stdio: 'ignore' }).status === 0,
  )
}

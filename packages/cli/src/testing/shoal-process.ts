/** The built command, as a shell would run it. Needs `tsc -b`, which `npm test` runs first. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const BIN = fileURLToPath(new URL('../../bin/shoal.js', import.meta.url))

export interface EndedProcess {
  readonly status: number
  readonly out: string
  readonly err: string
}

/** @param env all that it inherits, besides the path and what Node compiled before */
export function startShoal(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): { readonly child: ChildProcess; readonly ended: Promise<EndedProcess> } {
  const { PATH, NODE_COMPILE_CACHE } = process.env
  const child = spawn(process.execPath, [BIN, ...args], {
    env: { PATH, NODE_COMPILE_CACHE, SHOAL_UNCAUGHT_ERRORS: 'fatal', ...env },
  })
  const text = { out: '', err: '' }
  child.stdout.on('data', (chunk) => {
    text.out += chunk
  })
  child.stderr.on('data', (chunk) => {
    text.err += chunk
  })
  return { child, ended: once(child, 'close').then(([status]) => ({ status: status as number, ...text })) }
}

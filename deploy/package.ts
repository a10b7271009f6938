/**
 * Packs Shoal for hosts without containers: the production tree with its own Node, systemd units and licences.
 *
 *     npm run package [-- --cpu x64|arm64] [--out FOLDER]
 *
 * The same sources give the same bytes: names are sorted, owners and times are fixed. Needs GNU tar.
 */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { assemble } from './assemble.ts'
import { CPUS } from './kept-files.ts'
import { gzipFile, writeTar } from './release/reproducible-tar.ts'

const REPOSITORY = fileURLToPath(new URL('..', import.meta.url))
const COMMAND_TIMEOUT_MS = 10 * 60_000

/** @returns the archive's path */
function packArchive({ out, cpu }: { readonly out: string; readonly cpu: string }): string {
  const staging = mkdtempSync(join(tmpdir(), 'shoal-package-'))
  try {
    const tree = join(staging, 'shoal')
    assemble({ out: tree, cpu })
    return packTree({ tree, out, cpu, node: nodeFor(cpu, join(staging, 'node')) })
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
}

export interface PackInit {
  /** The production tree, in a folder called `shoal` that has nothing beside it: it is unpacked to /opt/shoal. Is changed. */
  readonly tree: string
  readonly out: string
  readonly cpu: string
  /** A folder with `bin/node` and its `LICENSE`. */
  readonly node: string
}

/** @returns the archive's path */
export function packTree({ tree, out, cpu, node }: PackInit): string {
  addNode(tree, node)
  writeLauncher(tree)
  cpSync(join(REPOSITORY, 'deploy/systemd'), join(tree, 'systemd'), { recursive: true })
  for (const name of readdirSync(join(tree, 'systemd'))) chmodSync(join(tree, 'systemd', name), 0o644)
  mkdirSync(out, { recursive: true })
  const archive = join(out, `shoal-${manifest().version}-linux-${cpu}.tar.gz`)
  const tar = `${tree}.tar`
  writeTar({ path: tar, folder: dirname(tree), names: [basename(tree)] })
  gzipFile(tar, archive)
  return archive
}

export function manifest(): { version: string; devDependencies: { node: string } } {
  return JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8'))
}

/**
 * The Node that the project is tested with: from its own node_modules, or npm's package for the other processor.
 * @param folder for what is fetched, not there yet
 */
export function nodeFor(cpu: string, folder: string): string {
  const name = `node-linux-${cpu}`
  const version = manifest().devDependencies.node
  const installed = join(REPOSITORY, 'node_modules/node/node_modules', name)
  if (existsSync(join(installed, 'bin/node'))) return installed
  mkdirSync(folder, { recursive: true })
  run('npm', ['pack', '--silent', `--pack-destination=${folder}`, `${name}@${version}`])
  run('tar', ['-xzf', join(folder, `${name}-${version}.tgz`), '-C', folder])
  return join(folder, 'package')
}

function addNode(root: string, from: string): void {
  mkdirSync(join(root, 'node/bin'), { recursive: true })
  cpSync(join(from, 'bin/node'), join(root, 'node/bin/node'))
  chmodSync(join(root, 'node/bin/node'), 0o755)
  cpSync(join(from, 'LICENSE'), join(root, 'node/LICENSE'))
  chmodSync(join(root, 'node/LICENSE'), 0o644)
}

/** In place of the link in the tree, which takes the Node that is on PATH; with the same flags. */
function writeLauncher(root: string): void {
  const [shebang] = readFileSync(join(root, 'packages/cli/bin/shoal.js'), 'utf8').split('\n', 1)
  const flags = /^#!\/usr\/bin\/env -S node (.*)$/.exec(shebang ?? '')?.[1]
  if (flags === undefined) throw new Error(`the first line of bin/shoal.js is not understood: ${shebang}`)
  const path = join(root, 'bin/shoal')
  rmSync(path)
  writeFileSync(
    path,
    `#!/bin/sh
# Shoal with the Node beside it, whatever else this machine has.
here=$(dirname "$(readlink -f "$0")")
exec "$here/../node/bin/node" ${flags} "$here/../packages/cli/bin/shoal.js" "$@"
`,
  )
  chmodSync(path, 0o755)
}

function run(command: string, args: readonly string[]): void {
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'], timeout: COMMAND_TIMEOUT_MS })
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      out: { type: 'string', default: 'dist' },
      cpu: { type: 'string', default: process.arch },
    },
  })
  if (!CPUS.some((known) => known === values.cpu)) {
    console.error(`usage: npm run package [-- --cpu ${CPUS.join('|')}] [--out FOLDER]`)
    process.exit(2)
  }
  console.log(packArchive({ out: resolve(values.out), cpu: values.cpu }))
}

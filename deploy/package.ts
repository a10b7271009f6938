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
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { assemble } from './assemble.ts'
import { CPUS } from './kept-files.ts'

const REPOSITORY = fileURLToPath(new URL('..', import.meta.url))
const COMMAND_TIMEOUT_MS = 10 * 60_000

/** @returns the archive's path */
export function packArchive({ out, cpu }: { readonly out: string; readonly cpu: string }): string {
  const { version, devDependencies } = manifest()
  const staging = mkdtempSync(join(tmpdir(), 'shoal-package-'))
  try {
    // The folder that it is unpacked to: /opt/shoal.
    const root = join(staging, 'shoal')
    assemble({ out: root, cpu })
    addNode(root, cpu, devDependencies.node)
    writeLauncher(root)
    cpSync(join(REPOSITORY, 'deploy/systemd'), join(root, 'systemd'), { recursive: true })
    for (const name of readdirSync(join(root, 'systemd'))) chmodSync(join(root, 'systemd', name), 0o644)
    mkdirSync(out, { recursive: true })
    const archive = join(out, `shoal-${version}-linux-${cpu}.tar.gz`)
    const tar = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '--format=gnu']
    // Under its name only when it is whole. `gzip -n` leaves out the time.
    run('tar', [...tar, '--use-compress-program=gzip -n', '-cf', `${archive}.part`, '-C', staging, 'shoal'])
    renameSync(`${archive}.part`, archive)
    return archive
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
}

function manifest(): { version: string; devDependencies: { node: string } } {
  return JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8'))
}

/** The Node that the project is tested with: from its own node_modules, or npm's package for the other processor. */
function addNode(root: string, cpu: string, version: string): void {
  const name = `node-linux-${cpu}`
  const installed = join(REPOSITORY, 'node_modules/node/node_modules', name)
  let from = installed
  const fetched = join(root, '..', 'node')
  if (!existsSync(join(installed, 'bin/node'))) {
    mkdirSync(fetched)
    run('npm', ['pack', '--silent', `--pack-destination=${fetched}`, `${name}@${version}`])
    run('tar', ['-xzf', join(fetched, `${name}-${version}.tgz`), '-C', fetched])
    from = join(fetched, 'package')
  }
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

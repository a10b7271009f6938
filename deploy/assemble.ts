/**
 * Writes the production tree: what runs `shoal` and nothing else.
 *
 *     node deploy/assemble.ts --out FOLDER [--cpu x64|arm64]
 *
 * Takes the packages' built files (`npm run build` comes first) and has npm install what they need for Linux with glibc on
 * that processor, whatever this machine is. No script of any package runs. The folder holds `bin/shoal`, `packages` and
 * `node_modules`; owners and times are the caller's affair, modes are set.
 */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { CPUS, isKept, type Target } from './kept-files.ts'

const REPOSITORY = fileURLToPath(new URL('..', import.meta.url))
const COMMAND_PACKAGE = '@shoal/cli'
/** What of a package of Shoal's runs. */
const PACKAGE_PARTS = ['package.json', 'bin', 'dist', 'scenarios']
const INSTALL_TIMEOUT_MS = 10 * 60_000

/** @throws Error when `out` is there and not empty, when the packages are not built, or when npm fails */
export function assemble({ out, cpu }: { readonly out: string } & Target): void {
  if (existsSync(out) && readdirSync(out).length > 0) {
    throw new Error(`${out} is not empty; name a new folder`)
  }
  const staging = mkdtempSync(join(tmpdir(), 'shoal-assemble-'))
  try {
    install(staging, cpu)
    mkdirSync(out, { recursive: true })
    const modules = join(staging, 'node_modules')
    cpSync(modules, join(out, 'node_modules'), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (path) => path === modules || isKept(relative(modules, path), { cpu }),
    })
    // npm linked those of Shoal's packages that the command needs, and no others.
    for (const name of readdirSync(join(modules, '@shoal'))) copyPackage(name, out)
    mkdirSync(join(out, 'bin'))
    symlinkSync('../packages/cli/bin/shoal.js', join(out, 'bin/shoal'))
    cpSync(join(REPOSITORY, 'LICENSE'), join(out, 'LICENSE'))
    tidy(out)
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
}

/** The lock file's own packages, installed where only manifests are: no sources, no devDependencies. */
function install(staging: string, cpu: string): void {
  const lock = readFileSync(join(REPOSITORY, 'package-lock.json'), 'utf8')
  const workspaces = Object.keys(JSON.parse(lock).packages).filter((path) => !path.includes('node_modules'))
  for (const path of ['package-lock.json', ...workspaces.map((folder) => join(folder, 'package.json'))]) {
    cpSync(join(REPOSITORY, path), join(staging, path))
  }
  const words = ['ci', `--workspace=${COMMAND_PACKAGE}`, '--omit=dev', '--ignore-scripts', '--no-bin-links']
  const platform = ['--os=linux', `--cpu=${cpu}`, '--libc=glibc']
  const quiet = ['--prefer-offline', '--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=error']
  execFileSync('npm', [...words, ...platform, ...quiet], {
    cwd: staging,
    stdio: ['ignore', 'inherit', 'inherit'],
    timeout: INSTALL_TIMEOUT_MS,
  })
}

function copyPackage(name: string, out: string): void {
  const from = join(REPOSITORY, 'packages', name)
  if (!existsSync(join(from, 'dist'))) throw new Error(`${from} is not built; run npm run build`)
  for (const part of PACKAGE_PARTS.filter((one) => existsSync(join(from, one)))) {
    cpSync(join(from, part), join(out, 'packages', name, part), {
      recursive: true,
      filter: (path) => isFolder(path) || isOfPackage(from, path),
    })
  }
}

/** Built from a source that is still there: a checkout keeps what was built of files that are gone. */
function isOfPackage(folder: string, path: string): boolean {
  const [part, ...rest] = relative(folder, path).split('/')
  if (part !== 'dist') return true
  return path.endsWith('.js') && existsSync(join(folder, 'src', rest.join('/').replace(/\.js$/, '.ts')))
}

/** Folders without files go; what is left may be read by everybody and written by its owner alone. */
function tidy(folder: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    const stat = lstatSync(path)
    if (stat.isDirectory()) tidy(path)
    else if (stat.isFile()) chmodSync(path, stat.mode & 0o111 && isProgram(path) ? 0o755 : 0o644)
  }
  if (readdirSync(folder).length === 0) rmdirSync(folder)
  else chmodSync(folder, 0o755)
}

function isProgram(path: string): boolean {
  return dirname(path).endsWith('/bin')
}

function isFolder(path: string): boolean {
  return lstatSync(path).isDirectory()
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { out: { type: 'string' }, cpu: { type: 'string', default: process.arch } },
  })
  const { out, cpu } = values
  if (out === undefined || !CPUS.some((known) => known === cpu)) {
    console.error(`usage: node deploy/assemble.ts --out FOLDER [--cpu ${CPUS.join('|')}]`)
    process.exit(2)
  }
  assemble({ out: resolve(out), cpu })
}

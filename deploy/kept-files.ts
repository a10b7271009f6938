/**
 * Which files of installed packages a running Shoal can need. Pure.
 * By name alone, so that it holds for the next version of a package too. That nothing is missed is tested from the outside:
 * every module that Node could be led to is still there, and every command runs (test/deploy/production-tree.test.ts).
 */
import { basename, extname, sep } from 'node:path'

export interface Target {
  /** As npm and Node call it: `x64`, `arm64`. */
  readonly cpu: string
}

export const CPUS = ['x64', 'arm64'] as const

/** For compilers, editors, debuggers and readers; `.bare` are addons of another runtime. */
const UNUSED_ENDINGS = words(`
  .ts .mts .cts .map .flow .tsbuildinfo
  .c .cc .cpp .h .hpp .gyp .gypi .cmake .vcxproj .props .iml .py .sh .patch .bare
  .md .markdown .html .css .svg .ico .png .yml .yaml .zip
`)

/** Only at the top of a package: `docs` further down may be code. */
const UNUSED_AT_TOP = words(`
  test test.js tests __tests__ spec specs coverage benchmark benchmarks bench perf scripts
  example examples docs doc man tsconfigs typings dist-types
`)

/** Builds of the same for something else than Node: bundlers, browsers, other runtimes. */
const UNUSED_BUILDS = [
  // For Bare, a runtime beside Node: Node's conditions lead past them. (Files that are kept name bare-events.)
  /^bare-(?!events\/)[a-z]+\//,
  /^@(aws-sdk|smithy)\/[^/]+\/dist-es\//,
  /^msgpackr\/dist\/(test|index)\.js$/,
  /^tldts\/dist\/[^/]+\.min\.js$/,
  /(^|\/)\.package-lock\.json$/,
]

const LICENCE = /^(licen[cs]e|notice|copying|patents|authors)/i

/**
 * @param path of a file or folder below `node_modules`, with the system's separators
 * @returns false for a folder when nothing in it is kept
 */
export function isKept(path: string, { cpu }: Target): boolean {
  const parts = path.split(sep)
  const inner = parts.slice(parts.lastIndexOf('node_modules') + 1)
  const nameParts = inner[0]?.startsWith('@') ? 2 : 1
  const [top] = inner.slice(nameParts)
  // The package's folder itself, or the folder of a scope.
  if (top === undefined) return top !== '.bin' && inner[0] !== '.bin' && inner[0] !== '.package-lock.json'
  if (UNUSED_AT_TOP.has(top) || top.startsWith('.')) return false
  if (UNUSED_BUILDS.some((build) => build.test(inner.join('/')))) return false
  const prebuilds = inner.indexOf('prebuilds')
  const platform = inner[prebuilds + 1]
  if (prebuilds > 0 && platform !== undefined && platform !== `linux-${cpu}`) return false
  const name = basename(path)
  // The images' C library is glibc.
  if (/\bmusl\b.*\.node$/.test(name)) return false
  return LICENCE.test(name) || !UNUSED_ENDINGS.has(extname(name).toLowerCase())
}

function words(text: string): ReadonlySet<string> {
  return new Set(text.trim().split(/\s+/))
}

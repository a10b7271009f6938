/**
 * One version for everything: the root's package.json states it, and all other places follow.
 *
 *     npm run versions                                    names the places that disagree
 *     npm run versions -- --set 0.2.0 --date 2027-01-31   writes it everywhere, and heads the changelog with it
 *     npm run versions -- --tag v0.2.0                    the same as the first, and a release of this tag may be made
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const REPOSITORY = fileURLToPath(new URL('..', import.meta.url))
const VERSION = String.raw`\d+\.\d+\.\d+(?:-(?:alpha|beta|rc)\.\d+)?`

interface Rule {
  readonly files: RegExp
  /** The version is the second group; what stands before it is the first. */
  readonly pattern: RegExp
}

/** Manifests are not among them: they are read as JSON. */
const RULES: readonly Rule[] = [
  rule(/^(deploy|docs|test)\/|^README\.md$/, String.raw`\b(?:registry\.example\.com|tools)/shoal:`),
  rule(/^(deploy|docs|test)\/|^README\.md$/, String.raw`\bshoal-`, '-linux-'),
  rule(/^deploy\/Dockerfile$/, '^ARG VERSION='),
  rule(/^deploy\/helm\/shoal\/Chart\.yaml$/, '^(?:version|appVersion): '),
  rule(/^deploy\/kubernetes\/.*\.yaml$/, String.raw`\bnewTag: |app\.kubernetes\.io/version: "`),
]

export interface Place {
  readonly path: string
  readonly version: string
}

/** Every place that states Shoal's version, in a text that is no manifest. */
export function versionsIn(path: string, text: string): Place[] {
  return RULES.filter(({ files }) => files.test(path)).flatMap(({ pattern }) =>
    [...text.matchAll(pattern)].map(([, , version]) => ({ path, version: version! })),
  )
}

function withVersion(path: string, text: string, version: string): string {
  return RULES.filter(({ files }) => files.test(path)).reduce(
    (changed, { pattern }) => changed.replace(pattern, (_, before: string) => before + version),
    text,
  )
}

/** @returns the changelog with what was not released yet under a heading of `version` */
export function withRelease(changelog: string, version: string, date: string): string {
  const heading = '## [Unreleased]\n'
  if (!changelog.includes(heading)) throw new Error(`the changelog has no heading ${heading.trim()}`)
  return changelog.replace(heading, `${heading}\n## [${version}] - ${date}\n`)
}

export function hasRelease(changelog: string, version: string): boolean {
  return changelog.split('\n').some((line) => line.startsWith(`## [${version}] - `))
}

/** @returns what disagrees with the root's package.json, in words */
export function disagreements(repository = REPOSITORY): string[] {
  const { version } = manifestAt(repository, 'package.json')
  const places = [
    ...manifestPaths(repository).flatMap((path) => manifestVersions(path, manifestAt(repository, path))),
    ...lockVersions(manifestAt(repository, 'package-lock.json')),
    ...textPaths(repository).flatMap((path) =>
      versionsIn(path, readFileSync(join(repository, path), 'utf8')),
    ),
  ]
  const others = places.filter((place) => place.version !== version)
  return [
    ...new Set(others.map(({ path, version: other }) => `${path} says ${other}, package.json ${version}`)),
  ]
}

/** @throws Error when `tag` is not this version's, or the changelog does not tell of it */
export function expectReleasable(tag: string, repository = REPOSITORY): void {
  const { version } = manifestAt(repository, 'package.json')
  if (tag !== `v${version}`) throw new Error(`the tag is ${tag}, and package.json says ${version}`)
  if (!hasRelease(readFileSync(join(repository, 'CHANGELOG.md'), 'utf8'), version))
    throw new Error(`CHANGELOG.md has no heading "## [${version}] - …"; npm run versions -- --set writes it`)
}

export function setVersion(version: string, date: string, repository = REPOSITORY): void {
  const edit = (path: string, change: (text: string) => string) => {
    const text = readFileSync(join(repository, path), 'utf8')
    const changed = change(text)
    if (changed !== text) writeFileSync(join(repository, path), changed)
  }
  for (const path of ['package.json', ...manifestPaths(repository)])
    edit(path, (text) => asFile(manifestOf(JSON.parse(text), version)))
  edit('package-lock.json', (text) => {
    const lock = JSON.parse(text)
    lock.version = version
    for (const [path, manifest] of Object.entries<Manifest>(lock.packages))
      if (isOwn(path)) lock.packages[path] = manifestOf(manifest, version)
    return asFile(lock)
  })
  for (const path of textPaths(repository)) edit(path, (text) => withVersion(path, text, version))
  edit('CHANGELOG.md', (text) => withRelease(text, version, date))
}

interface Manifest {
  readonly version: string
  readonly dependencies?: Readonly<Record<string, string>>
}

const isOwn = (path: string) => !path.includes('node_modules/')

function manifestOf(manifest: Manifest, version: string): Manifest {
  const { dependencies } = manifest
  if (dependencies === undefined) return { ...manifest, version }
  const named = Object.entries(dependencies).map(([name, at]) => [
    name,
    name.startsWith('@shoal/') ? version : at,
  ])
  return { ...manifest, version, dependencies: Object.fromEntries(named) }
}

function manifestVersions(path: string, { version, dependencies = {} }: Manifest): Place[] {
  const own = Object.entries(dependencies).filter(([name]) => name.startsWith('@shoal/'))
  return [version, ...own.map(([, at]) => at)].map((one) => ({ path, version: one }))
}

function lockVersions(lock: { version: string; packages: Record<string, Manifest> }): Place[] {
  const own = Object.entries(lock.packages).filter(([path]) => isOwn(path))
  return own.flatMap(([, manifest]) => manifestVersions('package-lock.json', manifest))
}

function manifestPaths(repository: string): string[] {
  const packages = readdirSync(join(repository, 'packages')).map((name) => `packages/${name}/package.json`)
  return [...packages, 'test/package.json']
}

function textPaths(repository: string): string[] {
  const below = ['deploy', 'docs', 'test'].flatMap((folder) =>
    readdirSync(join(repository, folder), { recursive: true, encoding: 'utf8', withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(join(repository, '/').length)),
  )
  return ['README.md', ...below].filter((path) => RULES.some(({ files }) => files.test(path)))
}

function rule(files: RegExp, before: string, after = ''): Rule {
  return { files, pattern: new RegExp(`(${before})(${VERSION})(?=${after})`, 'gm') }
}

// biome-ignore lint/suspicious/noExplicitAny: a manifest or a lock file
function manifestAt(repository: string, path: string): any {
  return JSON.parse(readFileSync(join(repository, path), 'utf8'))
}

function asFile(document: unknown): string {
  return `${JSON.stringify(document, null, 2)}\n`
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { set: { type: 'string' }, date: { type: 'string' }, tag: { type: 'string' } },
  })
  if (values.set !== undefined) setVersion(values.set, values.date ?? new Date().toISOString().slice(0, 10))
  if (values.tag !== undefined) expectReleasable(values.tag)
  const wrong = disagreements()
  for (const line of wrong) console.error(line)
  process.exitCode = wrong.length > 0 ? 1 : 0
}

/**
 * `config.toml` of containerd: where its registry plugin looks for `hosts.toml`, and how it is told to. Pure.
 *
 * Version 1 and 2 are containerd 1.x, 3 and later 2.x, which reads the older ones as well. Imported files come after the
 * file that names them. In 1.x a plugin's section in a later file replaces the one of an earlier file as a whole, in 2.x
 * both are merged: what stands in the last file that has the section is right for either.
 */
import { posix } from 'node:path'
import { at, isSameDocument, parseToml, type TomlDocument, withValue } from '../documents.ts'
import { RuntimeRefusedError } from '../errors.ts'
import type { HostView, Merged } from '../plan.ts'

export const MAIN_CONFIG = '/etc/containerd/config.toml'
/** Where `hosts.toml` files are put when no configuration says where they are read. */
export const CONFIG_PATH_DEFAULT = '/etc/containerd/certs.d'
const FILES_MAX = 64
const MATCHES_MAX = 1_000
const CRI_PLUGINS = ['cri', 'io.containerd.grpc.v1.cri', 'io.containerd.cri.v1.images']

export interface RegistryConfig {
  /** Where `hosts.toml` files are, in containerd's order. */
  readonly folders: readonly [string, ...string[]]
  /** The file that says so, or has to. */
  readonly path: string
  /** What it has to say; absent when Kubernetes' part of containerd is switched off, and nothing reads it. */
  readonly configPath?: string
  /** Only containerd 2 reads a file of this version. */
  readonly isVersion2Only: boolean
}

const GIVEN = /config_path\s*=\s*(?:"[^"\\]*"|'[^']*')/
const GIVEN_LINE = new RegExp(`^\\s*${GIVEN.source}\\s*(?:#.*)?$`)

interface ConfigFile {
  readonly path: string
  readonly document: TomlDocument
}

/** @throws RuntimeRefusedError when a file is not valid, or has what excludes `hosts.toml` */
export function registryConfig(view: HostView): RegistryConfig {
  const files = configFiles(view)
  for (const { path, document } of files) refuseOldMirrors(path, document)
  const set = files.findLast(({ document }) => configPathOf(document) !== undefined)
  const given = set === undefined ? CONFIG_PATH_DEFAULT : configPathOf(set.document)!
  const deciding = files.findLast(({ document }) => at(document, ...pluginKeys(document)) !== undefined)
  const path = deciding?.path ?? set?.path ?? MAIN_CONFIG
  const [first, ...others] = given.split(':').filter((folder) => folder !== '')
  if (first?.startsWith('/') !== true)
    throw new RuntimeRefusedError(
      path,
      `has a config_path that is no absolute path: ${JSON.stringify(given)}; mend it and run this again`,
    )
  // containerd 2.1 and later, when they pull by their transfer service, take a list for the name of one folder, and find no
  // hosts.toml at all: where the others hold nothing, only the first is named.
  const isSingle = others.every((folder) => view.isOfHost(folder) && view.list(folder).length === 0)
  return {
    folders: isSingle ? [clean(first)] : [clean(first), ...others.map(clean)],
    path,
    isVersion2Only: files.some(({ document }) => versionOf(document) >= 3),
    ...(!isCriDisabled(files) && { configPath: isSingle ? first : given }),
  }
}

/** Adds `config_path` to the text of a file and leaves every other byte as it is. */
export function withConfigPath(path: string, configPath: string, before: string | undefined): Merged {
  const text = before ?? ''
  const document = parseToml(path, text)
  if (configPathOf(document) === configPath) return { kind: 'text', text }
  const isEmpty = Object.keys(document).length === 0
  const keys = [...(isEmpty ? pluginKeys({ version: 2n }) : pluginKeys(document)), 'registry']
  const versioned = isEmpty ? { ...document, version: 2n } : document
  const wanted = withValue(versioned, [...keys, 'config_path'], configPath)
  const line = `config_path = ${JSON.stringify(configPath)}`
  for (const candidate of candidates(text, keys, line, isEmpty)) {
    try {
      if (isSameDocument(parseToml(path, candidate), wanted)) return { kind: 'text', text: candidate }
    } catch (error) {
      if (!(error instanceof RuntimeRefusedError)) throw error
    }
  }
  return {
    kind: 'refused',
    reason: `has its tables written so that no line can be added safely; put ${line} into [${keys.map(bare).join('.')}] by hand, and run this again`,
  }
}

/** Texts that may be right, the most natural first; which is, is seen by parsing them. */
function* candidates(text: string, keys: readonly string[], line: string, isEmpty: boolean) {
  const newline = text.includes('\r\n') ? '\r\n' : '\n'
  const lines = text.split(/(?<=\n)/)
  for (const [i, header] of lines.entries()) {
    const indent = headerIndent(header, keys)
    if (indent === undefined) continue
    const head = lines.slice(0, i + 1).join('')
    const rest = lines.slice(i + 1)
    const given = rest.findIndex((one) => GIVEN_LINE.test(one.trimEnd()))
    // `containerd config default` writes the key with nothing in it, or with a list.
    if (given !== -1) {
      const mended = rest[given]!.replace(GIVEN, () => line)
      yield head + [...rest.slice(0, given), mended, ...rest.slice(given + 1)].join('')
    }
    yield `${head}${header.endsWith('\n') ? '' : newline}${indent}  ${line}${newline}${rest.join('')}`
  }
  const gap = text === '' || text.endsWith('\n') ? '' : newline
  const space = text.trim() === '' ? '' : newline
  const version = isEmpty ? `version = 2${newline}${newline}` : ''
  yield `${text}${gap}${space}${version}[${keys.map(bare).join('.')}]${newline}  ${line}${newline}`
}

/** @returns how far the header of this table is indented, undefined for any other line */
function headerIndent(line: string, keys: readonly string[]): string | undefined {
  const match = /^(\s*)\[[^[].*\]\s*(?:#.*)?$/.exec(line.trimEnd())
  if (match === null) return undefined
  try {
    const isWanted = isSameDocument(parseToml('', line), withValue({}, keys, {}))
    return isWanted ? match[1] : undefined
  } catch {
    return undefined
  }
}

function configFiles(view: HostView): readonly ConfigFile[] {
  const files: ConfigFile[] = []
  const pending = [MAIN_CONFIG]
  const seen = new Set<string>()
  for (let path = pending.shift(); path !== undefined; path = pending.shift()) {
    if (seen.has(path)) continue
    if (seen.size >= FILES_MAX)
      throw new RuntimeRefusedError(MAIN_CONFIG, `imports more than ${FILES_MAX} files; import fewer`)
    seen.add(path)
    if (!view.isOfHost(path))
      throw new RuntimeRefusedError(
        MAIN_CONFIG,
        `${path === MAIN_CONFIG ? 'is' : `imports ${path}, which is`} not to be seen from here; mount its folder below --root, and run this again`,
      )
    const text = view.read(path)
    if (text === undefined) continue
    const document = parseToml(path, text)
    files.push({ path, document })
    const { imports } = document
    if (!Array.isArray(imports)) continue
    for (const pattern of imports)
      if (typeof pattern === 'string') pending.push(...matching(view, path, pattern))
  }
  return files
}

/** As containerd finds them: relative to the file that names them, `*` within a name, sorted. */
function matching(view: HostView, from: string, pattern: string): readonly string[] {
  const absolute = pattern.startsWith('/') ? pattern : `${from.slice(0, from.lastIndexOf('/'))}/${pattern}`
  let paths = ['']
  for (const part of absolute.split('/').slice(1)) {
    if (part === '' || part === '.') continue
    if (/[*?]/.test(part) && paths.some((path) => !view.isOfHost(path || '/'))) return paths
    if (part === '..') paths = paths.map((path) => path.slice(0, Math.max(0, path.lastIndexOf('/'))))
    else if (!/[*?]/.test(part)) paths = paths.map((path) => `${path}/${part}`)
    else {
      const name = nameMatcher(part)
      paths = paths.flatMap((path) =>
        view
          .list(path || '/')
          .filter((one) => name.test(one))
          .map((one) => `${path}/${one}`),
      )
      if (paths.length > MATCHES_MAX)
        throw new RuntimeRefusedError(from, `imports more than ${MATCHES_MAX} files; import fewer`)
    }
  }
  return paths
}

function nameMatcher(pattern: string): RegExp {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  return new RegExp(`^${source}$`, 's')
}

/** Without repeated or closing slashes, and steps back. */
function clean(folder: string): string {
  return posix.normalize(`${folder}/`).slice(0, -1)
}

/** A file without one is of the first. */
function versionOf({ version }: TomlDocument): number {
  return typeof version === 'bigint' ? Number(version) : 1
}

function pluginKeys(document: TomlDocument): readonly string[] {
  const version = versionOf(document)
  if (version >= 3) return ['plugins', 'io.containerd.cri.v1.images']
  const keys = ['plugins', 'io.containerd.grpc.v1.cri']
  // An imported file often has no version; a full name in it means the same in every release.
  return version === 2 || at(document, ...keys) !== undefined ? keys : ['plugins', 'cri']
}

function configPathOf(document: TomlDocument): string | undefined {
  const value = at(document, ...pluginKeys(document), 'registry', 'config_path')
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** containerd does not start with both. */
function refuseOldMirrors(path: string, document: TomlDocument): void {
  const registry = at(document, ...pluginKeys(document), 'registry')
  const mirrors = Object.keys((at(registry, 'mirrors') as object | undefined) ?? {})
  const configs = Object.entries((at(registry, 'configs') as Record<string, unknown> | undefined) ?? {})
  const tls = configs.filter(([, config]) => at(config, 'tls') !== undefined).map(([host]) => host)
  if (mirrors.length === 0 && tls.length === 0) return
  const what =
    mirrors.length > 0
      ? `registry.mirrors (${mirrors.join(', ')})`
      : `registry.configs.tls (${tls.join(', ')})`
  throw new RuntimeRefusedError(
    path,
    `has ${what}, and containerd refuses that together with config_path; move it to certs.d/HOST/hosts.toml files, and run this again`,
  )
}

function isCriDisabled(files: readonly ConfigFile[]): boolean {
  const disabled = files.flatMap(({ document }) => document.disabled_plugins ?? [])
  return disabled.some((plugin) => CRI_PLUGINS.includes(String(plugin)))
}

function bare(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key)
}

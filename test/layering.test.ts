/**
 * Goal: the packages stay apart as the design has it: who may import whom, what the pure layers may not use, that what is
 * declared is used, that nothing goes round in a circle, that no package grows into a cupboard, and that a name means one thing.
 * Method: every source file's imports and words are read as text; tests and what only they use are left out.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const PACKAGES = fileURLToPath(new URL('../packages', import.meta.url))

/** Layer by layer, what each package may import of Shoal. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  wire: ['core'],
  oci: ['core'],
  engine: ['core', 'wire'],
  simulator: ['core', 'wire', 'engine'],
  storage: ['core'],
  settings: ['core', 'oci', 'storage'],
  images: ['core', 'oci'],
  'client-config': ['core', 'oci'],
  swarm: ['core', 'wire', 'engine', 'storage'],
  'webtorrent-engine': ['core', 'engine', 'storage', 'swarm'],
  service: ['core', 'wire', 'oci', 'engine', 'storage'],
  registry: ['core', 'wire', 'oci', 'engine', 'storage', 'service'],
  'registry-client': ['core', 'oci', 'storage', 'images', 'service'],
  tracker: ['core', 'wire', 'engine'],
  triggers: ['core', 'oci', 'storage', 'service'],
  seeder: [
    ...['core', 'wire', 'oci', 'engine', 'storage', 'swarm', 'service'],
    ...['registry', 'registry-client', 'tracker', 'triggers'],
  ],
  agent: ['core', 'wire', 'oci', 'engine', 'storage', 'swarm', 'service', 'registry'],
  fanout: ['core', 'oci', 'service', 'simulator', 'images', 'settings', 'registry-client', 'agent'],
  cli: [
    ...['core', 'wire', 'oci', 'storage', 'settings', 'service', 'images', 'client-config'],
    ...['registry-client', 'seeder', 'agent', 'simulator', 'fanout'],
  ],
  // What tests of several packages share: no other source imports it.
  testing: ['core', 'wire', 'storage', 'swarm'],
}

/** Layers 0–2 without storage, and the simulator, which runs the agents' own code on virtual time: no I/O, no clock, no chance, no waiting. */
const PURE = ['core', 'wire', 'oci', 'engine', 'simulator']
const BANNED_IN_PURE = [
  /\basync\b/,
  /\bawait\b/,
  /\bDate\.now\b|\bnew Date\b/,
  /\bMath\.random\b/,
  /\bset(Timeout|Interval|Immediate)\b/,
  /\bperformance\b/,
  /\bprocess\./,
  /\bcrypto\b/,
]
/** Of all lines of sources. */
const LARGEST_PACKAGE_SHARE = 0.15

/** What a pure package may import beside Shoal's own. */
const LIBRARIES_OF_PURE: Readonly<Record<string, readonly string[]>> = {
  core: ['ipaddr.js'],
  wire: ['msgpackr', 'typebox', 'typebox/compile'],
}

interface Source {
  /** Within the package's `src`. */
  readonly file: string
  readonly path: string
  readonly lines: number
  /** Without comments: the words that do something. */
  readonly code: string
  readonly imports: readonly string[]
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly exports?: Readonly<Record<string, unknown>>
}

function sourcesOf(name: string): Source[] {
  const folder = join(PACKAGES, name, 'src')
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !/\.(test|bench)\.ts$|(^|\/)testing\//.test(file))
    .map((file) => {
      const text = readFileSync(join(folder, file), 'utf8')
      const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')
      const imports = [
        ...code.matchAll(
          /^(?:import|export)\b[^'"]*?\bfrom '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm,
        ),
      ].map(([, target, bare, lazy]) => (target ?? bare ?? lazy)!)
      return { file, path: `${name}/src/${file}`, lines: text.split('\n').length, code, imports }
    })
}

function manifestOf(name: string): Manifest {
  return JSON.parse(readFileSync(join(PACKAGES, name, 'package.json'), 'utf8'))
}

/** The packages that sources import, Node's own aside: `@shoal/core`, `undici`. */
function packagesIn(sources: readonly Source[]): string[] {
  const targets = sources
    .flatMap(({ imports }) => imports)
    .filter((target) => !target.startsWith('.') && !target.startsWith('node:'))
    .map((target) => target.split('/', target.startsWith('@') ? 2 : 1).join('/'))
  return [...new Set(targets)].toSorted()
}

function referencesOf(path: string): string[] {
  const { references } = JSON.parse(readFileSync(path, 'utf8')) as { references: { path: string }[] }
  return references.map((reference) => posix.basename(reference.path)).toSorted()
}

/** What a module exports, with what it passes on from files beside it. */
function exportsOf(path: string): Set<string> {
  const code = readFileSync(path, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '')
  const declared = code.matchAll(
    /^export (?:abstract |async )*(?:class|interface|type|function\*?|const|let) ([\w$]+)/gm,
  )
  const listed = [...code.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, list]) => list!.split(','))
  const passed = [...code.matchAll(/^export \* from '(\.[^']+)'/gm)].map(([, from]) =>
    exportsOf(join(dirname(path), from!)),
  )
  return new Set([
    ...[...declared].map(([, name]) => name!),
    ...listed
      .map((item) =>
        item
          .trim()
          .replace(/^type /, '')
          .replace(/^.* as /, ''),
      )
      .filter(Boolean),
    ...passed.flatMap((names) => [...names]),
  ])
}

/** The modules that a package's `exports` lead to. */
function doorsOf(name: string): string[] {
  const folder = join(PACKAGES, name)
  return Object.values(manifestOf(name).exports ?? {}).flatMap((door) => {
    const source = typeof door === 'string' ? door : (door as { 'shoal-source': string })['shoal-source']
    if (!source.includes('*')) return [join(folder, source)]
    return readdirSync(join(folder, 'src')).map((file) => join(folder, 'src', file))
  })
}

/** @returns the nodes of a circle, its first again at the end; undefined when there is none */
function circleIn(graph: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>()
  const search = (node: string, way: readonly string[]): string[] | undefined => {
    const begin = way.indexOf(node)
    if (begin >= 0) return [...way.slice(begin), node]
    if (done.has(node)) return undefined
    for (const next of graph.get(node) ?? []) {
      const circle = search(next, [...way, node])
      if (circle !== undefined) return circle
    }
    done.add(node)
    return undefined
  }
  for (const node of graph.keys()) {
    const circle = search(node, [])
    if (circle !== undefined) return circle
  }
  return undefined
}

const names = readdirSync(PACKAGES)
const sources = new Map(names.map((name) => [name, sourcesOf(name)]))

describe('the layers', () => {
  it('know every package', () => {
    expect(names.toSorted()).toEqual(Object.keys(MAY_IMPORT).toSorted())
  })

  it.each(names)('%s imports only what lies below it', (name) => {
    for (const { path, imports } of sources.get(name)!) {
      for (const target of imports.filter((from) => from.startsWith('@shoal/'))) {
        expect(MAY_IMPORT[name], `${path} imports ${target}`).toContain(target.split('/')[1])
      }
    }
  })

  it.each(names)('%s declares what it imports, and nothing else', (name) => {
    expect(Object.keys(manifestOf(name).dependencies ?? {}).toSorted()).toEqual(
      packagesIn(sources.get(name)!),
    )
  })

  it.each(names)('%s is built after what it imports, and after nothing else', (name) => {
    const path = join(PACKAGES, name, 'tsconfig.json')
    // What only tests use is checked with them, and never built.
    if (!existsSync(path)) return
    const own = packagesIn(sources.get(name)!).filter((target) => target.startsWith('@shoal/'))
    expect(referencesOf(path)).toEqual(own.map((target) => posix.basename(target)))
  })

  it('are all built', () => {
    const built = names.filter((name) => existsSync(join(PACKAGES, name, 'tsconfig.json')))
    for (const file of ['tsconfig.json', 'tsconfig.tests.json'])
      expect(referencesOf(join(PACKAGES, '..', file)), file).toEqual(expect.arrayContaining(built))
  })

  it('go round in no circle', () => {
    const graph = new Map(names.map((name) => [`@shoal/${name}`, packagesIn(sources.get(name)!)]))
    expect(circleIn(graph)).toBeUndefined()
  })

  it.each(names)('%s has no files that import each other in a circle', (name) => {
    const graph = new Map<string, string[]>()
    for (const { file, imports } of sources.get(name)!) {
      const near = imports.filter((target) => target.startsWith('.'))
      graph.set(
        file,
        near.map((target) => posix.join(posix.dirname(file), target)),
      )
    }
    expect(circleIn(graph)).toBeUndefined()
  })

  it('export each name from one package only', () => {
    const owners = new Map<string, string[]>()
    for (const name of names) {
      for (const exported of new Set(doorsOf(name).flatMap((door) => [...exportsOf(door)])))
        owners.set(exported, [...(owners.get(exported) ?? []), name])
    }
    expect([...owners].filter(([, packages]) => packages.length > 1)).toEqual([])
    // It has read them.
    expect(owners.get('parseDigest')).toEqual(['core'])
    expect(owners.get('ServiceProcess')).toEqual(['fanout'])
  })

  it('are rooms, none of them a cupboard', () => {
    const lines = names.map((name) => sources.get(name)!.reduce((sum, source) => sum + source.lines, 0))
    const all = lines.reduce((sum, count) => sum + count, 0)
    for (const [index, name] of names.entries())
      expect(lines[index]! / all, `${name}'s share of all lines of sources`).toBeLessThan(
        LARGEST_PACKAGE_SHARE,
      )
  })

  it.each(PURE)('%s is pure', (name) => {
    for (const { path, imports, code } of sources.get(name)!) {
      for (const target of imports) {
        const isAllowed =
          /^\.{1,2}\//.test(target) ||
          target.startsWith('@shoal/') ||
          LIBRARIES_OF_PURE[name]?.includes(target)
        expect(isAllowed, `${path} imports ${target}`).toBe(true)
      }
      for (const banned of BANNED_IN_PURE)
        expect(banned.exec(code)?.[0], `${path} uses ${banned}`).toBeUndefined()
    }
  })

  it('are entered through the doors that each package.json names', () => {
    for (const name of names) {
      for (const { path, imports } of sources.get(name)!) {
        for (const target of imports) {
          expect(/^(\.\.\/)+(packages|[a-z-]+\/src)\//.test(target), `${path} imports ${target}`).toBe(false)
          const [, owner, door] = /^@shoal\/([a-z-]+)\/(.+)$/.exec(target) ?? []
          if (owner === undefined) continue
          expect(Object.keys(manifestOf(owner).exports ?? {}), `${path} imports ${target}`).toContain(
            `./${door}`,
          )
        }
      }
    }
  })
})

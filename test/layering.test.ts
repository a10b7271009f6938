/**
 * Goal: the packages stay apart as the design has it: who may import whom, and what the pure layers may not use.
 * Method: every source file's imports and words are read as text; tests are left out.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
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
  service: ['core', 'wire', 'oci', 'engine'],
  registry: ['core', 'wire', 'oci', 'engine', 'storage', 'service'],
  'registry-client': ['core', 'oci', 'storage', 'images', 'service'],
  tracker: ['core', 'wire', 'engine'],
  triggers: ['core', 'oci', 'storage', 'service'],
  seeder: [
    ...['core', 'wire', 'oci', 'engine', 'storage', 'swarm', 'service'],
    ...['registry', 'registry-client', 'tracker', 'triggers'],
  ],
  agent: ['core', 'wire', 'oci', 'engine', 'storage', 'swarm', 'service', 'registry'],
  fanout: ['core', 'oci', 'simulator', 'images', 'settings', 'service', 'registry-client', 'agent'],
  cli: [
    ...['core', 'wire', 'oci', 'storage', 'settings', 'service', 'images', 'client-config'],
    ...['registry-client', 'seeder', 'agent', 'simulator', 'fanout'],
  ],
  // What tests of several packages share: no other source imports it.
  testing: ['core', 'wire', 'oci', 'engine', 'storage', 'swarm', 'service', 'registry', 'images'],
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
/** What a pure package may import beside Shoal's own. */
const LIBRARIES_OF_PURE: Readonly<Record<string, readonly string[]>> = {
  core: ['ipaddr.js'],
  wire: ['msgpackr', 'typebox', 'typebox/compile'],
}

interface Source {
  readonly path: string
  readonly text: string
  /** Without comments and strings' surroundings: the words that do something. */
  readonly code: string
  readonly imports: readonly string[]
}

function sourcesOf(name: string): Source[] {
  const folder = join(PACKAGES, name, 'src')
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !/\.(test|bench)\.ts$|(^|\/)testing\//.test(path))
    .map((path) => {
      const text = readFileSync(join(folder, path), 'utf8')
      const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')
      const imports = [
        ...code.matchAll(/^(?:import|export)\b[^'"]*?\bfrom '([^']+)'|\bimport\('([^']+)'\)/gm),
      ].map(([, target, lazy]) => (target ?? lazy)!)
      return { path: `${name}/src/${path}`, text, code, imports }
    })
}

const names = readdirSync(PACKAGES)

describe('the layers', () => {
  it('know every package', () => {
    expect(names.toSorted()).toEqual(Object.keys(MAY_IMPORT).toSorted())
  })

  it.each(names)('%s imports only what lies below it', (name) => {
    for (const { path, imports } of sourcesOf(name)) {
      for (const target of imports.filter((from) => from.startsWith('@shoal/'))) {
        expect(MAY_IMPORT[name], `${path} imports ${target}`).toContain(target.split('/')[1])
      }
    }
  })

  it.each(names)('%s declares what it imports', (name) => {
    const manifest = JSON.parse(readFileSync(join(PACKAGES, name, 'package.json'), 'utf8'))
    // All of what tests share is for development.
    const declared = Object.keys({
      ...manifest.dependencies,
      ...(name === 'testing' && manifest.devDependencies),
    })
    const used = new Set<string>()
    for (const { imports } of sourcesOf(name)) {
      for (const target of imports) {
        if (target.startsWith('.') || target.startsWith('node:')) continue
        used.add(target.split('/', target.startsWith('@') ? 2 : 1).join('/'))
      }
    }
    expect(declared).toEqual(expect.arrayContaining([...used]))
  })

  it.each(PURE)('%s is pure', (name) => {
    for (const { path, imports, code } of sourcesOf(name)) {
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
      for (const { path, imports } of sourcesOf(name)) {
        for (const target of imports) {
          expect(/^(\.\.\/)+(packages|[a-z-]+\/src)\//.test(target), `${path} imports ${target}`).toBe(false)
          const [, owner, door] = /^@shoal\/([a-z-]+)\/(.+)$/.exec(target) ?? []
          if (owner === undefined || owner === 'testing') continue
          const { exports } = JSON.parse(readFileSync(join(PACKAGES, owner, 'package.json'), 'utf8'))
          expect(Object.keys(exports), `${path} imports ${target}`).toContain(`./${door}`)
        }
      }
    }
  })
})

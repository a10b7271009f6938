/**
 * What modules can be led to: by the packages' own entries, and by the references in their files.
 * Reads files only; nothing is loaded.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { createRequire, isBuiltin } from 'node:module'
import { dirname, join, relative } from 'node:path'

/** What stands in `require('…')`, `from '…'`, `import('…')` and `import '…'`. */
const REFERENCE = /(?:\brequire\(|\bfrom\s*|\bimport\(|\bimport\s+)\s*['"]([@\w.][^'"\s]*)['"]/g
const LOADABLE = /\.(?:js|cjs|mjs|json|node|wasm)$/
const SCRIPT = /\.(?:js|cjs|mjs)$/
const COMPLETIONS = ['', '.js', '.cjs', '.mjs', '.json', '.node', '/index.js', '/index.cjs', '/package.json']

export interface Reference {
  /** From the folder that was read. */
  readonly file: string
  readonly to: string
  /** The file that is meant, in the folder that was compared with. */
  readonly target: string
}

/**
 * The references in the scripts below a `node_modules` folder that lead to a file in `whole`, a fuller copy of the same:
 * by path, and by a package's name and a path in it. Names alone are entries, see below.
 */
export function fileReferences(folder: string, whole: string): Reference[] {
  return scriptsBelow(folder).flatMap((file) => {
    const text = readFileSync(join(folder, file), 'utf8')
    return [...text.matchAll(REFERENCE)].flatMap(([, to]) => {
      // Node's own module, also where a package has the name: that one is asked for with a slash at the end.
      if (isBuiltin(to!)) return []
      const path = to!.startsWith('.') ? join(dirname(file), to!) : to!
      const target = COMPLETIONS.map((end) => path + end).find((one) => isFile(join(whole, one)))
      // Types are named in comments; nothing loads them.
      return target === undefined || target.endsWith('.d.ts') ? [] : [{ file, to: to!, target }]
    })
  })
}

/**
 * What Node loads for each package below a `node_modules` folder, for `require` and for `import`.
 * @returns files by package and subpath, relative to `folder`; entries that are no file there are left out
 */
export function packageEntries(folder: string, packages: readonly string[]): string[] {
  const found = new Set<string>()
  for (const path of packages) {
    const manifest = JSON.parse(readFileSync(join(folder, path, 'package.json'), 'utf8'))
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
    const require = createRequire(join(folder, path, 'entry.js'))
    for (const conditions of [
      ['node', 'import', 'default'],
      ['node', 'require', 'default'],
    ]) {
      for (const target of targetsOf(manifest.exports, conditions)) add(join(path, target))
    }
    if (manifest.exports === undefined) {
      // Without exports, `main` is what both load; it may be a folder or lack its ending.
      const main = join(folder, path, manifest.main ?? 'index.js')
      try {
        add(relative(folder, require.resolve(main)))
      } catch (error) {
        // Of types alone.
        if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND')
          throw new Error(name, { cause: error })
      }
    }
  }
  return [...found].sort()

  function add(path: string): void {
    // Some packages export their types and their README as well.
    if (LOADABLE.test(path) && isFile(join(folder, path))) found.add(path)
  }
}

/** Every package below, nested ones too, as `node_modules/a` and `node_modules/a/node_modules/b`. */
export function packagesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => /(?:^|\/)node_modules\/(?:@[^/]+\/)?[^/@]+\/package\.json$/.test(path))
    .map((path) => dirname(path))
}

/** The branches of `exports` that Node takes with these conditions. Patterns and types are not files. */
function targetsOf(exports: unknown, conditions: readonly string[]): string[] {
  if (typeof exports === 'string') return exports.includes('*') ? [] : [exports]
  if (Array.isArray(exports)) return exports.flatMap((one) => targetsOf(one, conditions))
  if (typeof exports !== 'object' || exports === null) return []
  const entries = Object.entries(exports)
  if (entries.some(([key]) => key.startsWith('.'))) {
    return entries.flatMap(([, target]) => targetsOf(target, conditions))
  }
  const taken = entries.find(
    ([key, target]) => conditions.includes(key) && targetsOf(target, conditions).length > 0,
  )
  return taken === undefined ? [] : targetsOf(taken[1], conditions)
}

function scriptsBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (path) => SCRIPT.test(path) && isFile(join(folder, path)),
  )
}

function isFile(path: string): boolean {
  return existsSync(path) && statSync(path).isFile()
}

/** Where a function stands in the sources, of what V8 knows by its place in dist/. */
import { existsSync, readFileSync } from 'node:fs'
import { SourceMap } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { CallFrame, Locate } from './call-tree.ts'

const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url))

export function sourcePlaces(): Locate {
  const maps = new Map<string, SourceMap | undefined>()
  return ({ url, lineNumber, columnNumber }: CallFrame) => {
    // ES modules are known by their URL, CommonJS modules by their path, what is Node's own by `node:…`.
    if (!url.startsWith('file:') && !url.startsWith('/')) return url
    const path = url.startsWith('/') ? url : fileURLToPath(url)
    const library = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]
    if (library !== undefined) return library
    if (!maps.has(path)) maps.set(path, mapOf(path))
    const entry = maps.get(path)?.findEntry(lineNumber, columnNumber)
    const isMapped = entry !== undefined && 'originalSource' in entry
    const file = isMapped ? join(dirname(path), entry.originalSource) : path
    return `${relative(REPOSITORY, file)}:${(isMapped ? entry.originalLine : lineNumber) + 1}`
  }
}

function mapOf(path: string): SourceMap | undefined {
  const file = `${path}.map`
  return existsSync(file) ? new SourceMap(JSON.parse(readFileSync(file, 'utf8'))) : undefined
}

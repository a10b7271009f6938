/** A host's file system in a temporary folder, and pictures of it to compare. */
import {
  accessSync,
  constants,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/** Every file is made safe on its disk, which some hundred runs had better not wait for. */
const MEMORY = ['/dev/shm'].find((folder) => {
  try {
    accessSync(folder, constants.W_OK)
    return true
  } catch {
    return false
  }
})

export interface HostTree extends Disposable {
  readonly root: string
  /** Writes a file and the folders above it. */
  put(path: string, content: string | Uint8Array, mode?: number): void
  text(path: string): string
  remove(path: string): void
  has(path: string): boolean
  /** Everything that can be told of every path; two pictures are equal when nothing at all was changed. */
  picture(options?: { readonly times?: boolean; readonly except?: readonly string[] }): Record<string, string>
}

/** @param files by their path on the host */
export function hostTree(files: Readonly<Record<string, string>> = {}): HostTree {
  const root = mkdtempSync(join(MEMORY ?? tmpdir(), 'shoal-host-'))
  const at = (path: string) => join(root, path)
  const tree: HostTree = {
    root,
    put(path, content, mode) {
      mkdirSync(dirname(at(path)), { recursive: true })
      writeFileSync(at(path), content, mode === undefined ? {} : { mode })
    },
    text: (path) => readFileSync(at(path), 'utf8'),
    remove: (path) => rmSync(at(path), { force: true }),
    has: (path) => lstatSync(at(path), { throwIfNoEntry: false }) !== undefined,
    picture: ({ times = false, except = [] } = {}) => {
      const found: Record<string, string> = {}
      for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' }).sort()) {
        if (except.some((path) => `/${name}` === path || `/${name}`.startsWith(`${path}/`))) continue
        const stats = lstatSync(at(name), { bigint: true })
        const content = stats.isSymbolicLink()
          ? `-> ${readlinkSync(at(name))}`
          : stats.isFile()
            ? readFileSync(at(name), 'latin1')
            : 'folder'
        const owner = `${stats.mode.toString(8)} ${stats.uid}:${stats.gid}`
        found[`/${name}`] = `${owner}${times ? ` ${stats.mtimeNs}` : ''} ${content}`
      }
      return found
    },
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  }
  for (const folder of ['/etc', '/var/lib']) mkdirSync(at(folder), { recursive: true })
  for (const [path, content] of Object.entries(files)) tree.put(path, content)
  return tree
}

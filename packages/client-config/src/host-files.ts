/**
 * Files of a host below a root: the only place of this folder that writes.
 *
 * Paths are the host's own. A symbolic link leads where it would lead on the host: an absolute one begins at the root again,
 * and none leads out of it. A file is replaced as a whole: written beside, made safe, renamed; who owns it and who may read
 * it stays. What a run that was killed left beside a file has a name of its own, so that the next run finds it.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  rmdirSync,
  rmSync,
  type Stats,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { HostFileError } from './errors.ts'

/** No client's configuration comes near. */
const FILE_BYTES_MAX = 1024 ** 2
const LINKS_MAX = 40
const FILE_MODE = 0o644
const FOLDER_MODE = 0o755

export interface WriteOptions {
  /** Of a file that is not there yet; one that is keeps its own. */
  readonly mode?: number
}

export class HostFiles {
  readonly root: string
  readonly #onChange: (change: string) => void

  /**
   * @param root an existing folder, without symbolic links
   * @param onChange told of every change right before it is made; throws where a test wants the end to be
   */
  constructor(root: string, onChange: (change: string) => void = () => {}) {
    this.root = root
    this.#onChange = onChange
  }

  /** @returns undefined when there is none @throws HostFileError also when it is no file, or too long */
  read(path: string): Buffer | undefined {
    return this.#do(path, () => {
      const real = this.#resolve(path).real
      if (lstatSync(real, { throwIfNoEntry: false }) === undefined) return undefined
      // Not waited for: somebody may have put a pipe there.
      const handle = openSync(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
      try {
        const { size } = fstatOfFile(path, handle)
        if (size > FILE_BYTES_MAX) throw new HostFileError(path, `is longer than ${FILE_BYTES_MAX} bytes`)
        return readWhole(path, handle)
      } finally {
        closeSync(handle)
      }
    })
  }

  /** @returns sorted names, none when there is no such folder */
  list(path: string): readonly string[] {
    return this.#do(path, () => {
      const { real } = this.#resolve(path)
      return lstatSync(real, { throwIfNoEntry: false })?.isDirectory() ? readdirSync(real).sort() : []
    })
  }

  hasFolder(path: string): boolean {
    return this.#do(path, () => this.#look(path)?.isDirectory() === true)
  }

  /** @throws HostFileError; what was there is there still, and nothing beside it */
  write(path: string, content: Uint8Array, { mode = FILE_MODE }: WriteOptions = {}): void {
    this.#do(path, () => {
      const real = this.#writable(path)
      const before = lstatSync(real, { throwIfNoEntry: false })
      if (before !== undefined && !before.isFile()) throw new HostFileError(path, 'is not a regular file')
      const temporary = temporaryOf(real)
      try {
        this.#onChange(`create ${temporary}`)
        rmSync(temporary, { force: true })
        const handle = openSync(temporary, 'wx', 0o600)
        try {
          this.#onChange(`fill ${temporary}`)
          writeWhole(handle, content)
          if (before !== undefined) fchownSync(handle, before.uid, before.gid)
          fchmodSync(handle, before === undefined ? mode : before.mode & 0o7777)
          fsyncSync(handle)
        } finally {
          closeSync(handle)
        }
        this.#onChange(`rename ${temporary}`)
        renameSync(temporary, real)
        syncFolder(dirname(real))
      } catch (error) {
        this.#forget(temporary)
        throw error
      }
    })
  }

  /** Creates an empty file where there is none. */
  ensure(path: string, mode: number): void {
    this.#do(path, () => {
      const real = this.#writable(path)
      if (lstatSync(real, { throwIfNoEntry: false }) !== undefined) return
      this.#onChange(`create ${real}`)
      closeSync(openSync(real, constants.O_CREAT | constants.O_WRONLY | constants.O_NOFOLLOW, mode))
    })
  }

  remove(path: string): void {
    this.#do(path, () => {
      const real = this.#writable(path)
      this.#onChange(`remove ${real}`)
      unlinkSync(real)
      syncFolder(dirname(real))
    })
  }

  /** Removes what a run that was killed has left beside this file. */
  removeRemains(path: string): void {
    this.#do(path, () => {
      const temporary = temporaryOf(this.#resolve(path).real)
      if (lstatSync(temporary, { throwIfNoEntry: false }) === undefined) return
      this.#onChange(`remove ${temporary}`)
      rmSync(temporary, { force: true })
    })
  }

  /** @returns the folders above this file that are not there, outermost first */
  missingFolders(path: string): readonly string[] {
    return this.#do(path, () => {
      const missing: string[] = []
      for (
        let folder = dirname(path);
        folder !== '/' && this.#look(folder) === undefined;
        folder = dirname(folder)
      )
        missing.unshift(folder)
      return missing
    })
  }

  makeFolder(path: string, mode: number = FOLDER_MODE): void {
    this.#do(path, () => {
      const real = this.#writable(path)
      if (lstatSync(real, { throwIfNoEntry: false })?.isDirectory()) return
      this.#onChange(`create ${real}`)
      // Whatever the umask: the clients run as others.
      mkdirSync(real)
      const handle = openSync(real, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
      fchmodSync(handle, mode)
      closeSync(handle)
      syncFolder(dirname(real))
    })
  }

  /** @returns whether it is gone: one that holds something, or is a mount of its own, stays */
  removeFolderIfEmpty(path: string): boolean {
    return this.#do(path, () => {
      const { real } = this.#resolve(path)
      if (lstatSync(real, { throwIfNoEntry: false })?.isDirectory() !== true) return true
      if (readdirSync(real).length > 0) return false
      this.#onChange(`remove ${real}`)
      try {
        rmdirSync(real)
        return true
      } catch (error) {
        if (['ENOTEMPTY', 'EEXIST', 'EBUSY'].includes((error as NodeJS.ErrnoException).code ?? ''))
          return false
        throw error
      }
    })
  }

  /** Removes a folder of Shoal's own with what is in it; nothing when there is none. */
  removeTree(path: string): void {
    this.#do(path, () => {
      const { real } = this.#resolve(path)
      if (lstatSync(real, { throwIfNoEntry: false }) === undefined) return
      this.#onChange(`remove ${real}`)
      rmSync(real, { recursive: true, force: true })
    })
  }

  /** @returns false when something is there already, nothing is here, or there is on another file system */
  move(from: string, to: string): boolean {
    return this.#do(from, () => {
      const real = { from: this.#resolve(from).real, to: this.#resolve(to).real }
      try {
        this.#onChange(`rename ${real.from}`)
        renameSync(real.from, real.to)
      } catch (error) {
        if (
          ['EEXIST', 'ENOTEMPTY', 'ENOENT', 'EXDEV', 'EBUSY'].includes(
            (error as NodeJS.ErrnoException).code ?? '',
          )
        )
          return false
        throw error
      }
      syncFolder(dirname(real.to))
      return true
    })
  }

  /** Which file system this file is on, or would be. */
  deviceOf(path: string): number {
    return this.#do(path, () => {
      for (let at = this.#resolve(path).real; ; at = dirname(at)) {
        const stats = lstatSync(at, { throwIfNoEntry: false })
        if (stats !== undefined) return stats.dev
      }
    })
  }

  /** For what has to be opened by name: the path in this process's own file system. */
  realPath(path: string): string {
    return this.#do(path, () => this.#resolve(path).real)
  }

  #look(path: string): Stats | undefined {
    return lstatSync(this.#resolve(path).real, { throwIfNoEntry: false })
  }

  #forget(temporary: string): void {
    try {
      this.#onChange(`remove ${temporary}`)
      rmSync(temporary, { force: true })
    } catch {
      // The reason why it could not be written is what counts; the next run removes it.
    }
  }

  /** Where a link leads nowhere, nobody knows whether what is written there would ever be read. */
  #writable(path: string): string {
    const { real, links } = this.#resolve(path)
    for (const { link, target } of links) {
      if (lstatSync(target, { throwIfNoEntry: false }) === undefined)
        throw new HostFileError(
          path,
          `${link} is a symbolic link to ${target}, which is not there; create that, or mount it below --root`,
        )
    }
    return real
  }

  #resolve(path: string): { real: string; links: readonly { link: string; target: string }[] } {
    const at: string[] = []
    const pending = namesOf(path).map((name) => ({ name, closes: undefined as string | undefined }))
    const links: { link: string; target: string }[] = []
    let followed = 0
    for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
      const { name, closes } = next
      if (name === '..') at.pop()
      else if (name !== '.') {
        const here = join(this.root, ...at, name)
        if (lstatSync(here, { throwIfNoEntry: false })?.isSymbolicLink() === true) {
          followed += 1
          if (followed > LINKS_MAX) throw new HostFileError(path, 'leads through too many symbolic links')
          const target = readlinkSync(here)
          if (target.startsWith('/')) at.length = 0
          const names = namesOf(target).map((one) => ({ name: one, closes: undefined as string | undefined }))
          if (names.length > 0) names.at(-1)!.closes = here
          pending.unshift(...names)
          if (closes !== undefined && names.length > 0) links.push({ link: closes, target: here })
          continue
        }
        at.push(name)
      }
      if (closes !== undefined) links.push({ link: closes, target: join(this.root, ...at) })
    }
    return { real: join(this.root, ...at), links }
  }

  #do<T>(path: string, work: () => T): T {
    try {
      return work()
    } catch (error) {
      const { code, syscall } = error as NodeJS.ErrnoException
      if (error instanceof HostFileError || code === undefined || syscall === undefined) throw error
      throw new HostFileError(path, reasonOf(code, syscall), { cause: error })
    }
  }
}

function namesOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '')
}

function temporaryOf(real: string): string {
  return join(dirname(real), `.${basename(real)}.shoal-new`)
}

function fstatOfFile(path: string, handle: number): Stats {
  const stats = fstatSync(handle)
  if (stats.isFile()) return stats
  throw new HostFileError(path, 'is not a regular file')
}

function readWhole(path: string, handle: number): Buffer {
  const buffer = Buffer.allocUnsafe(FILE_BYTES_MAX + 1)
  let length = 0
  for (let read = -1; read !== 0 && length < buffer.length; length += read)
    read = readSync(handle, buffer, length, buffer.length - length, null)
  if (length > FILE_BYTES_MAX) throw new HostFileError(path, `is longer than ${FILE_BYTES_MAX} bytes`)
  return Buffer.from(buffer.subarray(0, length))
}

function writeWhole(handle: number, content: Uint8Array): void {
  for (let at = 0; at < content.length; ) at += writeSync(handle, content, at)
}

function syncFolder(real: string): void {
  const handle = openSync(real, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}

function reasonOf(code: string, syscall: string): string {
  const reasons: Readonly<Record<string, string>> = {
    EROFS: 'the file system is read-only; mount it so that it can be written',
    EACCES: 'this user may not; run this as root',
    EPERM: 'this user may not; run this as root',
    ENOSPC: 'the file system is full; make room, and run this again',
    EDQUOT: 'the quota is used up; make room, and run this again',
    EBUSY: 'is a mount of its own, which cannot be replaced; mount the folder that it is in',
    ENOTDIR: 'something above it is no folder',
    EISDIR: 'is a folder',
    ELOOP: 'is a symbolic link that was put there just now; run this again',
    ENXIO: 'is not a regular file',
  }
  return reasons[code] ?? `${syscall} failed with ${code}`
}

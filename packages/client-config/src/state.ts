/**
 * Where the record, the backups and the lock are: `/var/lib/shoal/client` of the host.
 *
 * The folder appears with its record in it, by one rename, and goes by one as well: a run that is killed leaves either a record
 * of all that it made, or a folder that nothing but the name tells apart, and the next run removes that.
 */
import { ClientRecordError, HostFileError } from './errors.ts'
import type { HostFiles } from './host-files.ts'
import { type Lock, takeLock } from './lock.ts'
import { emptyRecord, type InstallRecord, parseRecord, recordText, sha256Of } from './record.ts'

const ABOVE = '/var/lib'
export const PARENT = `${ABOVE}/shoal`
const STATE_FOLDER = `${PARENT}/client`
const RECORD = `${STATE_FOLDER}/record.json`
const LOCK = `${STATE_FOLDER}/lock`
const BACKUPS = `${STATE_FOLDER}/backup`
/** What is built or taken down has a name that begins so, beside the folder that it becomes or was. */
const STAGED = '.shoal-client-'
const GOING = `${ABOVE}/${STAGED}old`
/** Backups may hold secrets. The record holds none, and others than root look at it. */
const PRIVATE_FOLDER = 0o700
const PRIVATE_FILE = 0o600
const OPEN_ATTEMPTS_MAX = 10

/** @returns what is recorded, read without the lock: it is replaced as a whole */
export function recorded(files: HostFiles): InstallRecord | undefined {
  const content = files.read(RECORD)
  return content === undefined ? undefined : parseRecord(RECORD, content)
}

/** Whether anything is recorded; removes what runs that were killed have left of the folder. */
export function hasState(files: HostFiles): boolean {
  removeLeavings(files)
  return files.hasFolder(STATE_FOLDER)
}

/** Takes the lock, making the folder where it is missing. @throws ClientConfigBusyError, HostFileError, ClientRecordError */
export function openState(files: HostFiles): State {
  for (let attempt = 0; attempt < OPEN_ATTEMPTS_MAX; attempt += 1) {
    removeLeavings(files)
    if (!files.hasFolder(STATE_FOLDER) && !makeState(files)) continue
    const lock = lockIn(files)
    if (lock === undefined) continue
    try {
      return new State(files, lock, recorded(files) ?? emptyRecord(false))
    } catch (error) {
      lock.release()
      throw error
    }
  }
  throw new HostFileError(STATE_FOLDER, 'is made and removed by others all the time; run this again')
}

export class State {
  #record: InstallRecord
  #text: string

  readonly #files: HostFiles
  readonly #lock: Lock

  constructor(files: HostFiles, lock: Lock, record: InstallRecord) {
    this.#files = files
    this.#lock = lock
    this.#record = record
    this.#text = recordText(record).toString()
    files.removeRemains(RECORD)
    for (const { path } of record.files) files.removeRemains(path)
  }

  get record(): InstallRecord {
    return this.#record
  }

  /** Written only when it says something new. */
  save(record: InstallRecord): void {
    const content = recordText(record)
    if (content.toString() !== this.#text) this.#files.write(RECORD, content)
    this.#record = record
    this.#text = content.toString()
  }

  keep(content: Uint8Array): void {
    const path = `${BACKUPS}/${sha256Of(content)}`
    if (this.#files.read(path) !== undefined) return
    this.#files.makeFolder(BACKUPS, PRIVATE_FOLDER)
    this.#files.removeRemains(path)
    this.#files.write(path, content, { mode: PRIVATE_FILE })
  }

  /** @throws ClientRecordError when it is gone or damaged */
  kept(sha256: string): Buffer {
    const path = `${BACKUPS}/${sha256}`
    const content = this.#files.read(path)
    if (content === undefined) throw new ClientRecordError(path, 'the backup is gone')
    if (sha256Of(content) !== sha256) throw new ClientRecordError(path, 'the backup is damaged')
    return content
  }

  /** Removes backups that nothing needs any more, and everything when nothing is installed. */
  tidy(): void {
    const { files, folders, madeParent } = this.#record
    if (files.length === 0 && folders.length === 0) {
      if (madeParent && this.#files.move(STATE_FOLDER, GOING)) finishRemoval(this.#files)
      // Also where the parent is mounted, which it was not when it was made.
      else removeInPlace(this.#files, madeParent)
      return
    }
    const needed = new Set(files.map(({ before }) => before))
    for (const name of this.#files.list(BACKUPS))
      if (!needed.has(name)) this.#files.remove(`${BACKUPS}/${name}`)
    if (needed.has(null) && needed.size === 1) this.#files.removeFolderIfEmpty(BACKUPS)
  }

  release(): void {
    this.#lock.release()
  }
}

/** @returns false when somebody else made it first */
function makeState(files: HostFiles): boolean {
  const name = `${STAGED}${process.pid}-${Math.random().toString(36).slice(2)}`
  const hasParent = files.hasFolder(PARENT)
  const staged = `${hasParent ? PARENT : ABOVE}/${name}`
  const inside = hasParent ? staged : `${staged}/client`
  try {
    files.makeFolder(staged)
    if (!hasParent) files.makeFolder(inside)
    files.write(`${inside}/record.json`, recordText(emptyRecord(!hasParent)))
    if (files.move(staged, hasParent ? STATE_FOLDER : PARENT)) return true
  } catch (error) {
    // Another run took it for what one that was killed has left.
    if (codeOf(error) !== 'ENOENT') {
      forget(files, staged)
      throw error
    }
  }
  files.removeTree(staged)
  return false
}

function removeLeavings(files: HostFiles): void {
  finishRemoval(files)
  for (const folder of [ABOVE, PARENT]) {
    for (const name of files.list(folder))
      if (name.startsWith(STAGED) && `${folder}/${name}` !== GOING) files.removeTree(`${folder}/${name}`)
  }
}

/** The state was moved out of the folder that had been made for it: that goes first, then what tells of it. */
function finishRemoval(files: HostFiles): void {
  if (!files.hasFolder(GOING)) return
  files.removeFolderIfEmpty(PARENT)
  files.removeTree(GOING)
}

function removeInPlace(files: HostFiles, madeParent: boolean): void {
  files.removeTree(BACKUPS)
  files.removeTree(RECORD)
  files.removeTree(LOCK)
  files.removeFolderIfEmpty(STATE_FOLDER)
  if (!madeParent) return
  try {
    files.removeFolderIfEmpty(PARENT)
  } catch (error) {
    // A mount of its own, on a root that cannot be written.
    if (!(error instanceof HostFileError)) throw error
  }
}

function lockIn(files: HostFiles): Lock | undefined {
  try {
    files.ensure(LOCK, PRIVATE_FILE)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
  return takeLock(files.realPath(LOCK))
}

function forget(files: HostFiles, staged: string): void {
  try {
    files.removeTree(staged)
  } catch {
    // Why it could not be made is what counts; the next run removes it.
  }
}

function codeOf(error: unknown): unknown {
  return (error as { cause?: { code?: unknown } }).cause?.code
}

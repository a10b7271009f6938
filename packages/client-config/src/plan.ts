/** What planning for a client is given and what it gives: files by what they should hold, nothing written. Types only. */
import type { Runtime } from './wish.ts'

/** The host's files as they are without Shoal: what the record says to be Shoal's own is left out. */
export interface HostView {
  /** @throws HostFileError when it is no file, too long or no UTF-8 */
  read(path: string): string | undefined
  /** Names in a folder, sorted; empty when there is none. */
  list(path: string): readonly string[]
  hasFolder(path: string): boolean
  /** Whether what is there, or is not, is the host's: a container may see some of its folders only. */
  isOfHost(path: string): boolean
}

export type Merged =
  | { readonly kind: 'text'; readonly text: string }
  /** What is there is somebody else's and is in the way: why, and what to do. */
  | { readonly kind: 'refused'; readonly reason: string }

export interface WantedFile {
  readonly path: string
  readonly runtimes: readonly Runtime[]
  /** What it should hold, given what was there before Shoal; the same text when nothing has to change. */
  readonly merge: (before: string | undefined) => Merged
  /** What tells that something of Shoal is in a file that is otherwise somebody else's; none: the whole file is Shoal's. */
  readonly marks: readonly string[]
  /** What a person would do who edited it. */
  readonly byHand: string
}

export interface RuntimePlan {
  readonly files: readonly WantedFile[]
  /** Files that should be written and cannot. */
  readonly blocked: readonly { readonly path: string; readonly reason: string }[]
  /** What a person should know of what was asked for. */
  readonly notes: readonly string[]
}

/** A file of Shoal's own: it is written where nothing is, and never over anything. */
export function ownFile(init: {
  path: string
  runtimes: readonly Runtime[]
  text: string
  byHand: string
}): WantedFile {
  const { path, runtimes, text, byHand } = init
  return {
    path,
    runtimes,
    marks: [],
    byHand: 'remove it and run this again, or keep it as it is',
    merge: (before) =>
      before === undefined || before === text
        ? { kind: 'text', text }
        : { kind: 'refused', reason: `was there before and is not Shoal’s; ${byHand}` },
  }
}

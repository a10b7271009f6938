/**
 * What becomes of one file: compared are what is there, what was there before Shoal, and what Shoal wrote. Pure.
 *
 * | what is there | install | take back |
 * | --- | --- | --- |
 * | what Shoal wrote | written anew when it should be another text | what was there before |
 * | what was there before | written | nothing to do |
 * | nothing, though something was there before | written as if nothing ever was | nothing to do |
 * | something else | left, unless it is what it should be | left, unless nothing of Shoal is in it |
 */
import type { Merged, WantedFile } from './plan.ts'
import { type InstalledFile, sha256Of } from './record.ts'

/** What a file holds; undefined: there is none. */
export type Content = Buffer | undefined

export type Standing = 'ours' | 'before' | 'gone' | 'edited' | 'new'

export type InstallDecision =
  | { readonly kind: 'write'; readonly content: Buffer; readonly base: Content }
  | { readonly kind: 'unchanged'; readonly detail?: string }
  | { readonly kind: 'left'; readonly reason: string }

export type TakeBackDecision =
  /** No content: the file goes. */
  | { readonly kind: 'restore' }
  | { readonly kind: 'forget'; readonly detail: string }
  | { readonly kind: 'left'; readonly reason: string }

export function standingOf(entry: InstalledFile | undefined, current: Content): Standing {
  if (entry === undefined) return 'new'
  const sha256 = current === undefined ? null : sha256Of(current)
  if (sha256 !== null && entry.ours.includes(sha256)) return 'ours'
  if (sha256 === entry.before) return 'before'
  return current === undefined ? 'gone' : 'edited'
}

/** @param kept what was there before; asked for only when that matters */
export function baseOf(entry: InstalledFile | undefined, current: Content, kept: () => Content): Content {
  return standingOf(entry, current) === 'ours' ? kept() : current
}

export function decideInstall(
  wanted: WantedFile,
  entry: InstalledFile | undefined,
  current: Content,
  kept: () => Content,
): InstallDecision {
  const standing = standingOf(entry, current)
  const base = baseOf(entry, current, kept)
  const merged = mergedFrom(wanted, base)
  if (standing === 'edited') {
    if (merged.kind === 'text' && current!.equals(Buffer.from(merged.text)))
      return { kind: 'unchanged', detail: 'was edited since, and says what it should' }
    return { kind: 'left', reason: `was edited since Shoal wrote it; ${wanted.byHand}` }
  }
  if (merged.kind === 'refused') return { kind: 'left', reason: merged.reason }
  const content = Buffer.from(merged.text)
  if (current?.equals(content) === true)
    return standing === 'ours' ? { kind: 'unchanged' } : { kind: 'unchanged', detail: 'was so before' }
  return { kind: 'write', content, base }
}

export function decideTakeBack(entry: InstalledFile, current: Content): TakeBackDecision {
  const standing = standingOf(entry, current)
  if (standing === 'ours') return { kind: 'restore' }
  if (standing === 'before') return { kind: 'forget', detail: 'is as it was before' }
  if (standing === 'gone') return { kind: 'forget', detail: 'was removed since' }
  const text = current!.toString('latin1')
  const isStillThere = entry.marks.length === 0 || entry.marks.some((mark) => text.includes(latin1(mark)))
  if (!isStillThere) return { kind: 'forget', detail: 'was edited since, and nothing of Shoal is left in it' }
  return { kind: 'left', reason: `was edited since Shoal wrote it; ${wayBack(entry)}` }
}

function mergedFrom(wanted: WantedFile, base: Content): Merged {
  if (base === undefined) return wanted.merge(undefined)
  try {
    return wanted.merge(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(base))
  } catch (error) {
    if (error instanceof TypeError)
      return { kind: 'refused', reason: 'is not UTF-8 text; mend it and run this again' }
    throw error
  }
}

function wayBack({ marks }: InstalledFile): string {
  return marks.length === 0
    ? 'remove it, and run this again'
    : `take what has ${marks.join(' and ')} out by hand, and run this again`
}

function latin1(text: string): string {
  return Buffer.from(text).toString('latin1')
}

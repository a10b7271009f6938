/** What the files of CRI-O and podman should hold: one and the same, since both read the same folder. Pure. */
import { parseToml } from '../documents.ts'
import { type HostView, ownFile, type RuntimePlan } from '../plan.ts'
import type { Registry, Runtime, Wish } from '../wish.ts'
import {
  DROP_INS,
  existingEntries,
  fallbackLocation,
  governs,
  OWN_DROP_IN,
  registriesText,
} from './registries-file.ts'

const FILE = `${DROP_INS}/${OWN_DROP_IN}`

/** @param runtimes which of the two it is written for */
export function planContainers(view: HostView, wish: Wish, runtimes: readonly Runtime[]): RuntimePlan {
  const names = runtimes.join(' and ')
  const entries = existingEntries(view)
  const taken = new Map<Registry, string>()
  const notes: string[] = []
  if (wish.everyRegistry)
    notes.push(
      `${names}: every registry has to be named there, * is not known; only those that were named are mirrored`,
    )
  for (const registry of wish.registries) {
    const { host, url } = registry
    const entry = entries.find(({ prefix }) => governs(prefix, registry))
    if (entry !== undefined) taken.set(registry, entry.path)
    const narrower = entries.filter(({ prefix }) => prefix.startsWith(`${host}/`))
    for (const { prefix, path } of narrower)
      notes.push(`${path} has an entry for ${prefix}, which goes on to count`)
    if (fallbackLocation(registry) === undefined)
      notes.push(
        `${names}: a path before /v2/ is not known there; without Shoal ${host} itself is asked, not ${url}`,
      )
  }
  const free = wish.registries.filter((registry) => !taken.has(registry))
  const blocked = [...taken].map(([{ host }, path]) => ({
    path,
    reason: `has an entry for ${host} already; add a [[registry.mirror]] with location = "${wish.agent}/…" and insecure = true to it by hand, or remove it and run this again`,
  }))
  if (free.length === 0) return { files: [], blocked, notes }
  const text = registriesText(wish.agent, free)
  parseToml(FILE, text)
  const byHand = 'move it away and run this again'
  return { files: [ownFile({ path: FILE, runtimes, text, byHand })], blocked, notes }
}

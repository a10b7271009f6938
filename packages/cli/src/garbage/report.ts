/** What a garbage collection did, for people. Pure. */

import { megabytes } from '@shoal/settings'
import type { GarbageReport } from '@shoal/wire'
import Table from 'cli-table3'

export function garbageText(report: GarbageReport): string {
  const { isDryRun, removedBlobs, removedBytes, removedContents, removedLinks, abandonedUploads } = report
  const table = new Table({
    head: ['what', isDryRun ? 'would go' : 'removed', 'stays'],
    colAligns: ['left', 'right', 'right'],
    // Without colours: the table is also read in logs and files.
    style: { head: [], border: [] },
  })
  const { manifests, removedManifests = 0, untagged = [], neededBlobs, leasedBlobs } = report
  table.push(
    ['manifests', removedManifests, manifests],
    ['blobs', removedBlobs, neededBlobs + leasedBlobs],
    ['of these too young to go', '', leasedBlobs],
    ['contents that no blob has', removedContents, ''],
    ['links from repositories', removedLinks, ''],
    ['abandoned uploads', abandonedUploads, ''],
  )
  const named = untagged.map(({ repository, digest }) => `${repository}@${digest}`)
  const others = removedManifests - named.length
  const list = [...named, ...(others > 0 ? [`and ${others} more`] : [])].map((line) => `${line}\n`).join('')
  const end = isDryRun
    ? `A run would free ${megabytes(removedBytes)}; nothing was removed.`
    : `Freed ${megabytes(removedBytes)}.`
  return `${list}${table}\n${end}`
}

/**
 * The images of an OCI image layout, and what is attached to them.
 * OCI image specification, "Image Layout"; names also as containerd and Docker ≥ 25 write them.
 */
import type { Digest } from '@shoal/core'
import { childManifests, type Descriptor } from '@shoal/oci'
import { type ArchiveFiles, readDocument } from './archive-files.ts'
import type { ArchivedImage, Referrer } from './archived-image.ts'
import { type Content, layoutContent } from './content.ts'
import { ArchiveFormatError } from './errors.ts'
import { annotationsOf, isManifest, parseDocument, readManifestDocument } from './manifest-document.ts'

export const LAYOUT_FILE = 'oci-layout'
const INDEX_FILE = 'index.json'
/** containerd's comes first: it is the whole name, where OCI's may be no more than a tag. */
const NAME_ANNOTATIONS = ['io.containerd.image.name', 'org.opencontainers.image.ref.name']

interface IndexEntry {
  readonly descriptor: Descriptor
  /** Of all descriptors with this digest. */
  readonly names: Set<string>
  readonly subject: Digest | undefined
  readonly children: readonly Digest[]
}

/** @throws ImageArchiveError */
export async function layoutImages(files: ArchiveFiles): Promise<readonly ArchivedImage[]> {
  await expectVersion(files)
  const content = layoutContent(files)
  const entries = await readIndex(files, content)
  const referrers = entries.flatMap(({ descriptor, subject }): Referrer[] =>
    subject === undefined ? [] : [{ descriptor, subject }],
  )
  const isPart = partsAmong(entries)
  return entries.map((entry): ArchivedImage => {
    const { descriptor, names } = entry
    return {
      names: [...names, descriptor.digest],
      isPart: isPart(entry),
      locate: async () => ({ content, root: descriptor, referrers }),
    }
  })
}

async function expectVersion(files: ArchiveFiles): Promise<void> {
  const text = (await readDocument(files, LAYOUT_FILE)).toString('utf8')
  let version: unknown
  try {
    version = JSON.parse(text)?.imageLayoutVersion
  } catch (error) {
    throw new ArchiveFormatError(files.path, `${LAYOUT_FILE} is not JSON`, { cause: error })
  }
  if (typeof version !== 'string' || !/^1\./.test(version))
    throw new ArchiveFormatError(files.path, `${LAYOUT_FILE} is not of version 1`)
}

async function readIndex(files: ArchiveFiles, content: Content): Promise<readonly IndexEntry[]> {
  const text = (await readDocument(files, INDEX_FILE)).toString('utf8')
  const index = parseDocument(files.path, INDEX_FILE, text)
  if (index.kind !== 'index') throw new ArchiveFormatError(files.path, `${INDEX_FILE} is not an index`)
  const annotations = annotationsOf(text)
  const entries = new Map<Digest, IndexEntry>()
  for (const [i, descriptor] of index.manifests.entries()) {
    // Something else's data, such as a build cache's: nothing that could be tagged.
    if (!isManifest(descriptor)) continue
    const entry = entries.get(descriptor.digest) ?? (await readEntry(content, descriptor))
    entries.set(descriptor.digest, entry)
    for (const annotation of NAME_ANNOTATIONS) {
      const name = annotations[i]?.[annotation]
      if (name !== undefined && name !== '') entry.names.add(name)
    }
  }
  return [...entries.values()]
}

async function readEntry(content: Content, descriptor: Descriptor): Promise<IndexEntry> {
  const names = new Set<string>()
  // Missing is an error once it is chosen, and of no account otherwise.
  if ((await content.find(descriptor.digest)) === undefined)
    return { descriptor, names, subject: undefined, children: [] }
  const { parsed } = await readManifestDocument(content, descriptor)
  const children = childManifests(parsed).map(({ digest }) => digest)
  return { descriptor, names, subject: parsed.subject?.digest, children }
}

/** What belongs to another image of the archive: a manifest of its index, or what is attached to it. */
function partsAmong(entries: readonly IndexEntry[]): (entry: IndexEntry) => boolean {
  const known = new Set(entries.map(({ descriptor }) => descriptor.digest))
  const parts = new Set(entries.flatMap(({ children }) => children))
  return ({ descriptor, subject }) =>
    parts.has(descriptor.digest) || (subject !== undefined && (known.has(subject) || parts.has(subject)))
}

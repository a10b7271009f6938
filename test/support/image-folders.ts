/**
 * Images as skopeo reads and writes them in folders: `oci:`, a layout by the OCI image-spec, and `dir:`, its own.
 * The bytes are compared here, not by the tool.
 */
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { expect } from 'vitest'
import type { Manifest } from './images.ts'
import type { Blob } from './layers.ts'

export interface Layout {
  /** What `oci:<folder>:<tag>` means. */
  readonly tags: Readonly<Record<string, Manifest>>
  /** Manifests that others name: the images of an index. */
  readonly manifests?: readonly Manifest[]
  readonly blobs: readonly Blob[]
}

/** Writes an `oci:` folder. OCI image-spec, image-layout.md */
export async function writeLayout(folder: string, { tags, manifests = [], blobs }: Layout): Promise<void> {
  const place = join(folder, 'blobs/sha256')
  await mkdir(place, { recursive: true })
  for (const blob of blobs) await pipeline(blob.open(), createWriteStream(join(place, hexOf(blob))))
  for (const manifest of [...Object.values(tags), ...manifests])
    await writeFile(join(place, hexOf(manifest)), manifest.bytes)
  const entries = Object.entries(tags).map(([tag, { mediaType, digest, bytes }]) => ({
    mediaType,
    digest,
    size: bytes.length,
    annotations: { 'org.opencontainers.image.ref.name': tag },
  }))
  await writeFile(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  await writeFile(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: entries }))
}

/** Expects that a `dir:` folder holds this image to the byte, signatures aside, and nothing else. */
export async function expectDirImage(
  folder: string,
  { manifest, blobs }: { manifest: Manifest; blobs: readonly Blob[] },
): Promise<void> {
  expect((await readFile(join(folder, 'manifest.json'))).equals(manifest.bytes)).toBe(true)
  const names = (await readdir(folder)).filter((name) => /^[0-9a-f]{64}$/.test(name))
  expect(names.toSorted()).toEqual([...new Set(blobs.map(hexOf))].toSorted())
  for (const name of names) expect(await sha256Of(join(folder, name))).toBe(name)
}

/** The digest of a file's bytes, in hexadecimal. */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

function hexOf({ digest }: { digest: string }): string {
  return digest.slice('sha256:'.length)
}

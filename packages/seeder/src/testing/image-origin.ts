/** A seeder's images over a temporary folder, on time that a test sets. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Digest } from '@shoal/core'
import { ImageStore } from '@shoal/registry'
import { FilesystemObjectStore } from '@shoal/storage'
import { sha256 } from '@shoal/testing/content'
import { pino } from 'pino'
import type { TestImage } from './images.ts'

export const silent = pino({ level: 'silent' })

export interface ImageOrigin extends AsyncDisposable {
  readonly images: ImageStore
  readonly clock: { nowMs: number }
  /** Everything that is stored, below the prefix. */
  keys(prefix?: string): Promise<string[]>
  pushBlob(repository: string, bytes: Uint8Array): Promise<Digest>
  pushImage(repository: string, tag: string, image: TestImage): Promise<void>
}

export async function openOrigin(): Promise<ImageOrigin> {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-origin-'))
  const objects = new FilesystemObjectStore({ folder })
  await objects.start()
  const clock = { nowMs: Date.UTC(2026, 4, 4) }
  let ids = 0
  const images = new ImageStore({
    objects,
    log: silent,
    nowMs: () => clock.nowMs,
    newId: () => `id-${ids++}`,
  })
  const pushBlob = async (repository: string, bytes: Uint8Array): Promise<Digest> => {
    const { id } = await images.startUpload(repository, { bytesExpected: bytes.length })
    async function* body() {
      yield bytes
    }
    await images.appendUpload(repository, id, body())
    return (await images.finishUpload(repository, id, sha256(bytes))).digest
  }
  return {
    images,
    clock,
    keys: async (prefix = '') => [...(await objects.list(prefix, { keysMax: 1_000 })).keys],
    pushBlob,
    async pushImage(repository, tag, { manifest, blobs }) {
      for (const bytes of blobs) await pushBlob(repository, bytes)
      const { mediaType, bytes } = manifest
      await images.putManifest(repository, { kind: 'tag', tag }, mediaType, bytes)
    },
    async [Symbol.asyncDispose]() {
      await images.stop()
      await objects.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export async function wholeOf(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of body) parts.push(Buffer.from(part))
  return Buffer.concat(parts)
}

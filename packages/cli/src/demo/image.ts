/**
 * The demo's image: real and runnable, made of what is on this machine, because nothing can be assumed to be pulled. The
 * Node that runs the demo, the shared libraries that it needs, a small program, and noise up to the size asked for.
 */

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFile, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { MEDIA_TYPES } from '@shoal/oci'
import { type Layer, type LayerFile, writeLayer } from './layer.ts'

export interface DemoImage {
  readonly layers: readonly Layer[]
  readonly config: { readonly digest: string; readonly bytes: Uint8Array }
  readonly manifest: { readonly digest: string; readonly mediaType: string; readonly bytes: Uint8Array }
  /** Manifest, configuration and layers: what one pull moves. */
  readonly totalBytes: number
}

/** What the image's program prints. */
export const GREETING = 'Hello from an image that came through the swarm.'

const NOISE_LAYERS = 2
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64' }

/** @param init.imageBytes the layers have this many bytes at least */
export async function buildDemoImage(init: {
  readonly folder: string
  readonly imageBytes: number
}): Promise<DemoImage> {
  const node = await realpath(process.execPath)
  const libraries = await sharedLibraries(node)
  const layers = [
    await writeLayer(join(init.folder, 'libraries.tar'), libraries.map(copied)),
    await writeLayer(join(init.folder, 'node.tar'), [
      { path: 'usr/bin/node', mode: 0o755, content: { kind: 'copy', of: node } },
    ]),
  ]
  const missing = init.imageBytes - layers.reduce((sum, { bytes }) => sum + bytes, 0)
  for (let i = 0; i < NOISE_LAYERS && missing > 0; i++) {
    const content = {
      kind: 'noise',
      bytes: Math.ceil(missing / NOISE_LAYERS),
      seed: `shoal demo ${i}`,
    } as const
    layers.push(
      await writeLayer(join(init.folder, `data-${i}.tar`), [{ path: `data/${i}`, mode: 0o644, content }]),
    )
  }
  const program = `console.log(${JSON.stringify(GREETING)})\n`
  layers.push(
    await writeLayer(join(init.folder, 'program.tar'), [
      { path: 'app/main.js', mode: 0o644, content: { kind: 'text', text: program } },
    ]),
  )
  return describe(layers)
}

function describe(layers: readonly Layer[]): DemoImage {
  const config = json({
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    os: 'linux',
    created: new Date(0).toISOString(),
    config: { Entrypoint: ['/usr/bin/node', '/app/main.js'], Env: ['PATH=/usr/bin:/bin'], WorkingDir: '/' },
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
    history: layers.map(() => ({ created: new Date(0).toISOString(), created_by: 'shoal demo' })),
  })
  const manifest = json({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: digestOf(config), size: config.length },
    layers: layers.map(({ digest, bytes }) => ({
      mediaType: MEDIA_TYPES.ociLayer,
      digest,
      size: bytes,
    })),
  })
  return {
    layers,
    config: { digest: digestOf(config), bytes: config },
    manifest: { digest: digestOf(manifest), mediaType: MEDIA_TYPES.ociManifest, bytes: manifest },
    totalBytes: manifest.length + config.length + layers.reduce((sum, { bytes }) => sum + bytes, 0),
  }
}

/** Absolute paths, the loader among them, by `ldd`, or where there is none by what this very process has mapped. */
async function sharedLibraries(program: string): Promise<string[]> {
  const listing = await promisify(execFile)('ldd', [program]).then(
    ({ stdout }) => stdout,
    () => '',
  )
  // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)` or `/lib64/ld-linux-x86-64.so.2 (0x…)`
  const listed = [...listing.matchAll(/^\s*(?:\S+ => )?(\/\S+) \(0x/gm)].map(([, path]) => path!)
  if (listed.length > 0) return [...new Set(listed)].sort()
  const maps = await readFile('/proc/self/maps', 'utf8')
  const mapped = [...maps.matchAll(/(\/\S+\.so[.\d]*)$/gm)].map(([, path]) => path!)
  return [...new Set(mapped)].sort()
}

function copied(path: string): LayerFile {
  return { path: path.slice(1), mode: 0o755, content: { kind: 'copy', of: path } }
}

function json(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

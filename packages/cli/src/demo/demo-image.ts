/**
 * The image that the demo distributes: this machine's Node with the libraries that it needs, files that nothing
 * compresses, and a program that checks these files and says so. On Linux it really runs.
 */
import { createHash } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { BlobSource } from '@shoal/images'
import {
  buildImage,
  buildLayer,
  fileFromDisk,
  fileFromText,
  fillerFile,
  type Image,
  type LayerFile,
} from '@shoal/images'
import { architectureOf } from '@shoal/oci'
import { sharedLibraries } from './shared-libraries.ts'

export const REPOSITORY = 'demo/app'
export const TAG = '1'

export interface DemoImage {
  readonly image: Image
  /** What the program prints. */
  readonly greeting: string
  /** Node was built for Linux, so a container can run it. */
  readonly runs: boolean
}

/** Layers of this size at most, as in images that hold data or models. */
const FILLER_LAYER_BYTES_MAX = 512 * 1024 ** 2
/** There is always something to check. */
const FILLER_BYTES_MIN = 1024 ** 2
const NODE_PATH = '/usr/local/bin/node'
const PROGRAM_PATH = '/app/main.mjs'

/** @param imageBytesMin configuration and layers together are at least this long */
export async function buildDemoImage(imageBytesMin: number, signal: AbortSignal): Promise<DemoImage> {
  const binary = await realpath(process.execPath)
  const libraries = await sharedLibraries(binary)
  const base: BlobSource[] = []
  if (libraries.length > 0) {
    const files = await Promise.all(libraries.map((path) => fileFromDisk(path, path, 0o755)))
    base.push(await buildLayer(files, signal))
  }
  base.push(await buildLayer([await fileFromDisk(NODE_PATH, binary, 0o755)], signal))

  const baseBytes = base.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const fillers = fillerFiles(Math.max(FILLER_BYTES_MIN, imageBytesMin - baseBytes))
  const greeting = `hello from ${REPOSITORY}:${TAG}, Node ${process.version}: ${fillers.length} data file(s) intact`
  const fillerLayers: BlobSource[] = []
  for (const file of fillers) fillerLayers.push(await buildLayer([file], signal))
  const program = await buildLayer(
    [fileFromText(PROGRAM_PATH, await programText(fillers, greeting, signal))],
    signal,
  )

  const image = buildImage({
    layers: [...base, ...fillerLayers, program],
    architecture: architectureOf(process.arch),
    entrypoint: [NODE_PATH, PROGRAM_PATH],
    // Where this system keeps its libraries need not be where another system's loader looks.
    env: ['PATH=/usr/local/bin', `LD_LIBRARY_PATH=${[...new Set(libraries.map(dirname))].join(':')}`],
    user: '65534:65534',
  })
  return { image, greeting, runs: process.platform === 'linux' }
}

function fillerFiles(totalBytes: number): LayerFile[] {
  const files: LayerFile[] = []
  for (let left = totalBytes; left > 0; left -= FILLER_LAYER_BYTES_MAX) {
    const name = `data-${files.length + 1}`
    const sizeBytes = Math.min(left, FILLER_LAYER_BYTES_MAX)
    files.push(fillerFile(`/app/${name}.bin`, { seed: `shoal demo ${name}`, sizeBytes }))
  }
  return files
}

async function programText(
  files: readonly LayerFile[],
  greeting: string,
  signal: AbortSignal,
): Promise<string> {
  const expected: Record<string, string> = {}
  for (const { path, open } of files) {
    const hash = createHash('sha256')
    for await (const chunk of open()) {
      signal.throwIfAborted()
      hash.update(chunk)
    }
    expected[path] = hash.digest('hex')
  }
  return `import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'

for (const [path, expected] of Object.entries(${JSON.stringify(expected)})) {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  if (hash.digest('hex') !== expected) throw new Error(path + ' is not what was pushed')
}
console.log(${JSON.stringify(greeting)})
`
}

/**
 * Makes all that a user downloads of a release, into one new folder:
 *
 *     npm run release -- --base FOLDER [--out FOLDER] [--revision COMMIT] [--source URL]
 *
 * The image for both processors, the chart, the archives for hosts, what is in them (CycloneDX), and the checksums. Of the same
 * sources, base and Node the same bytes: nothing in them tells when or where they were made. `SOURCE_DATE_EPOCH` is the time that
 * they state, the start of 1970 without it. Nothing is published. See docs/releasing.md.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { assemble } from './assemble.ts'
import { CPUS } from './kept-files.ts'
import { manifest, nodeFor, packTree } from './package.ts'
import { writeChart } from './release/chart.ts'
import { baseOf } from './release/dockerfile-config.ts'
import { TREE, writeImage } from './release/image.ts'
import { sbomOf } from './release/sbom.ts'
import { disagreements } from './versions.ts'

const REPOSITORY = fileURLToPath(new URL('..', import.meta.url))

export interface ReleaseInit {
  /** Not there yet, or empty. */
  readonly out: string
  /** An OCI layout: what deploy/Dockerfile names as its base, for every processor. */
  readonly base: string
  readonly revision: string
  readonly source: string
  readonly createdSeconds: number
}

/** What takes minutes: a test hands in less. */
export interface ReleaseParts {
  assemble(target: { readonly out: string; readonly cpu: string }): void
  /** @returns a folder with `bin/node` and its `LICENSE` */
  nodeFor(cpu: string, folder: string): string
}

/** @throws Error when the places that state the version disagree, or `out` is not empty */
export function release(init: ReleaseInit, parts: ReleaseParts = { assemble, nodeFor }): void {
  const { out, base, revision, source } = init
  const wrong = disagreements()
  if (wrong.length > 0) throw new Error(`not all places state the same version: ${wrong.join('; ')}`)
  if (existsSync(out) && readdirSync(out).length > 0)
    throw new Error(`${out} is not empty; name a new folder`)
  mkdirSync(out, { recursive: true })
  const { version, devDependencies } = manifest()
  const created = new Date(init.createdSeconds * 1000).toISOString()
  const dockerfile = readFileSync(join(REPOSITORY, 'deploy/Dockerfile'), 'utf8')
  const staging = mkdtempSync(join(tmpdir(), 'shoal-release-'))
  const folderIn = (name: string) => {
    mkdirSync(join(staging, name))
    return join(staging, name)
  }
  try {
    const folders = new Map(CPUS.map((cpu) => [cpu as string, folderIn(cpu)]))
    for (const [cpu, folder] of folders) parts.assemble({ out: join(folder, TREE), cpu })
    writeImage({
      ...{ path: join(out, `shoal-image-${version}.oci.tar`), staging: folderIn('image'), base, dockerfile },
      ...{ version, revision, source, created, folders },
    })
    writeChart({ chart: join(REPOSITORY, 'deploy/helm/shoal'), out, staging: folderIn('chart') })
    const trees = [...folders.values()].map((folder) => join(folder, TREE))
    const bom = sbomOf({ repository: REPOSITORY, trees, version, nodeVersion: devDependencies.node, created })
    writeFileSync(join(out, `shoal-${version}.cdx.json`), `${JSON.stringify(bom, null, 2)}\n`)
    // Last: this changes the trees.
    for (const [cpu, folder] of folders) {
      const node = parts.nodeFor(cpu, join(staging, `node-${cpu}`))
      packTree({ tree: join(folder, TREE), out, cpu, node })
    }
    writeChecksums(out)
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
}

/** As `sha256sum --check` reads it. */
function writeChecksums(out: string): void {
  const lines = readdirSync(out)
    .sort()
    .map(
      (name) =>
        `${createHash('sha256')
          .update(readFileSync(join(out, name)))
          .digest('hex')}  ${name}\n`,
    )
  writeFileSync(join(out, 'SHA256SUMS'), lines.join(''))
}

function usage(): never {
  const base = baseOf(readFileSync(join(REPOSITORY, 'deploy/Dockerfile'), 'utf8'))
  console.error(`usage: npm run release -- --base FOLDER [--out FOLDER] [--revision COMMIT] [--source URL]

The base is an OCI layout with all processors:
    skopeo copy --all docker://docker.io/library/${base} oci:FOLDER`)
  process.exit(2)
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      base: { type: 'string' },
      out: { type: 'string', default: 'dist/release' },
      revision: { type: 'string', default: '' },
      source: { type: 'string', default: '' },
    },
  })
  const { base = usage(), out, revision, source } = values
  const createdSeconds = Number(process.env.SOURCE_DATE_EPOCH ?? 0)
  release({ base: resolve(base), out: resolve(out), revision, source, createdSeconds })
  for (const name of readdirSync(out)) console.log(join(out, name))
}

/**
 * Goal: a release is whole, right, and the same bytes each time: the image for both processors, the chart as an OCI artifact,
 * the archives for hosts, the list of what is in them, and checksums of all.
 * Method: two releases, made one after the other in different folders, of small stand-ins for the production tree, for Node and
 * for the base: what these are is proven by production-tree.test.ts. The images are read as registries and runtimes do.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import {
  type Descriptor,
  LayoutWriter,
  MEDIA_TYPES,
  readBlob,
  rootOf,
} from '../../deploy/release/oci-layout.ts'
import { type ReleaseInit, release } from '../../deploy/release.ts'
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts'

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
const { version, devDependencies } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8'))
const BASE_ENV = ['PATH=/usr/local/bin:/usr/bin', 'NODE_VERSION=24']

let folder: TemporaryFolder
const at = (path: string) => join(folder.path, path)
const initOf = (out: string): ReleaseInit => ({
  out: at(out),
  base: at('base'),
  revision: 'abcdef',
  source: 'https://example.com/shoal',
  createdSeconds: 1_800_000_000,
})

let made = 0
const parts = {
  assemble({ out, cpu }: { out: string; cpu: string }) {
    made++
    const file = (path: string, text: string) => {
      mkdirSync(dirname(join(out, path)), { recursive: true })
      writeFileSync(join(out, path), text)
      // Another time for each making.
      utimesSync(join(out, path), made, made)
    }
    const lock = JSON.parse(readFileSync(join(REPOSITORY, 'package-lock.json'), 'utf8')).packages
    const { version: fastify } = lock['node_modules/fastify']
    file('packages/cli/bin/shoal.js', `#!/usr/bin/env -S node --flag\n// ${cpu}\n`)
    file('node_modules/fastify/package.json', JSON.stringify({ name: 'fastify', version: fastify }))
    mkdirSync(join(out, 'bin'))
    symlinkSync('../packages/cli/bin/shoal.js', join(out, 'bin/shoal'))
  },
  nodeFor(cpu: string, to: string) {
    mkdirSync(join(to, 'bin'), { recursive: true })
    writeFileSync(join(to, 'bin/node'), `Node for ${cpu}`)
    writeFileSync(join(to, 'LICENSE'), 'MIT')
    return to
  },
}

beforeAll(async () => {
  folder = await temporaryFolder('release')
  writeBase(at('base'), ['amd64', 'arm64'])
  release(initOf('first'), parts)
  release(initOf('second'), parts)
  for (const name of [`shoal-image-${version}`, `shoal-chart-${version}`]) {
    mkdirSync(at(name))
    execFileSync('tar', ['-xf', at(`first/${name}.oci.tar`), '-C', at(name)])
  }
}, 60_000)
afterAll(() => folder?.remove())

test('all that a user downloads is there, twice the same bytes', () => {
  const names = readdirSync(at('first')).toSorted()
  expect(names).toEqual([
    'SHA256SUMS',
    `shoal-${version}-linux-arm64.tar.gz`,
    `shoal-${version}-linux-x64.tar.gz`,
    `shoal-${version}.cdx.json`,
    `shoal-${version}.tgz`,
    `shoal-chart-${version}.oci.tar`,
    `shoal-image-${version}.oci.tar`,
  ])
  expect(readdirSync(at('second')).toSorted()).toEqual(names)
  for (const name of names) expect(hashOf(at(`second/${name}`)), name).toBe(hashOf(at(`first/${name}`)))
})

test('the checksums are those of every other file', () => {
  const lines = readFileSync(at('first/SHA256SUMS'), 'utf8').trimEnd().split('\n')
  const names = readdirSync(at('first')).filter((name) => name !== 'SHA256SUMS')
  expect(lines).toEqual(names.toSorted().map((name) => `${hashOf(at(`first/${name}`))}  ${name}`))
})

describe('the image', () => {
  const layout = () => at(`shoal-image-${version}`)
  const document = (descriptor: Descriptor) => JSON.parse(readBlob(layout(), descriptor).toString())
  const imageFor = (architecture: string) => {
    const { manifests } = document(rootOf(layout())) as { manifests: Descriptor[] }
    return document(manifests.find(({ platform }) => platform?.architecture === architecture)!)
  }

  test('is one for two processors, under its version, and says what it was made of', () => {
    const root = rootOf(layout())
    expect(root.annotations).toEqual({ 'org.opencontainers.image.ref.name': version })
    const index = document(root)
    expect(index.manifests.map(({ platform }: Descriptor) => platform)).toEqual([
      { os: 'linux', architecture: 'amd64' },
      { os: 'linux', architecture: 'arm64' },
    ])
    expect(index.annotations).toMatchObject({
      'org.opencontainers.image.version': version,
      'org.opencontainers.image.revision': 'abcdef',
      'org.opencontainers.image.source': 'https://example.com/shoal',
      'org.opencontainers.image.base.name': `node:${devDependencies.node}-bookworm-slim`,
      'org.opencontainers.image.base.digest': rootOf(at('base')).digest,
    })
  })

  test.each(['amd64', 'arm64'])('for %s is the base, the program and its folders', (architecture) => {
    const { layers, config } = imageFor(architecture)
    const { rootfs, history } = document(config)
    const tars = layers.map((layer: Descriptor) => gunzipSync(readBlob(layout(), layer)))
    expect(rootfs.diff_ids).toEqual(
      tars.map((tar: Buffer) => `sha256:${createHash('sha256').update(tar).digest('hex')}`),
    )
    expect(history).toHaveLength(3)
    const [base, program, state] = tars.map((tar: Buffer) => listing(tar))
    expect(base).toEqual([`a base for ${architecture}`])
    expect(program).toContain('-rw-r--r-- 0/0 opt/shoal/packages/cli/bin/shoal.js')
    expect(program).toContain('lrwxrwxrwx 0/0 opt/shoal/bin/shoal -> ../packages/cli/bin/shoal.js')
    expect(state).toEqual([
      'drwxr-xr-x 65532/65532 var/lib/shoal/',
      'drwx------ 65532/65532 var/lib/shoal/cache/',
      'drwx------ 65532/65532 var/lib/shoal/origin/',
      'drwx------ 65532/65532 var/lib/shoal/seeder/',
    ])
  })

  test('is configured as the Dockerfile says', () => {
    const { architecture, created, config } = document(imageFor('arm64').config)
    expect({ architecture, created }).toEqual({ architecture: 'arm64', created: '2027-01-15T08:00:00.000Z' })
    expect(config).toEqual({
      Env: [
        'PATH=/opt/shoal/bin:/usr/local/bin:/usr/bin',
        'NODE_VERSION=24',
        'SHOAL_DATA=/var/lib/shoal/seeder',
        'SHOAL_ORIGIN=/var/lib/shoal/origin',
        'SHOAL_CACHE=/var/lib/shoal/cache',
      ],
      Labels: {
        'org.opencontainers.image.title': 'shoal',
        'org.opencontainers.image.description': 'Peer-to-peer image distribution for container clusters',
        'org.opencontainers.image.licenses': 'Apache-2.0',
        'org.opencontainers.image.version': version,
        'org.opencontainers.image.revision': 'abcdef',
        'org.opencontainers.image.source': 'https://example.com/shoal',
      },
      User: '65532:65532',
      WorkingDir: '/var/lib/shoal',
      ExposedPorts: { '7000/tcp': {}, '7001/tcp': {}, '5001/tcp': {}, '6001/tcp': {} },
      StopSignal: 'SIGTERM',
      Healthcheck: {
        Test: ['CMD', 'shoal', 'health'],
        Interval: 30e9,
        Timeout: 5e9,
        StartPeriod: 30e9,
        Retries: 3,
      },
      Entrypoint: ['shoal'],
      Cmd: ['--help'],
    })
  })

  test('is not made on a base that lacks a processor, or of bytes that are not the digest’s', () => {
    writeBase(at('half'), ['amd64'])
    expect(() => release({ ...initOf('of-half'), base: at('half') }, parts)).toThrow(
      'no base for linux/arm64',
    )
    writeBase(at('bad'), ['amd64', 'arm64'])
    writeFileSync(join(at('bad'), 'blobs', rootOf(at('bad')).digest.replace(':', '/')), 'other')
    expect(() => release({ ...initOf('of-bad'), base: at('bad') }, parts)).toThrow('has other bytes')
  })
})

test('the chart is what Helm packs, and an artifact of Helm’s media types', () => {
  const layout = at(`shoal-chart-${version}`)
  const manifest = JSON.parse(readBlob(layout, rootOf(layout)).toString())
  const chart = join(REPOSITORY, 'deploy/helm/shoal')
  const metadata = parse(readFileSync(join(chart, 'Chart.yaml'), 'utf8'))
  expect(manifest.config.mediaType).toBe('application/vnd.cncf.helm.config.v1+json')
  expect(JSON.parse(readBlob(layout, manifest.config).toString())).toEqual(metadata)
  expect(manifest.layers.map(({ mediaType }: Descriptor) => mediaType)).toEqual([
    'application/vnd.cncf.helm.chart.content.v1.tar+gzip',
  ])
  const packed = readBlob(layout, manifest.layers[0])
  expect(packed.equals(readFileSync(at(`first/shoal-${version}.tgz`)))).toBe(true)
  const names = listing(gunzipSync(packed)).map((line) => line.split(' ').at(-1))
  const files = readdirSync(chart, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  expect(names.filter((name) => !name?.endsWith('/')).toSorted()).toEqual(
    files.map((entry) => `shoal/${join(entry.parentPath, entry.name).slice(chart.length + 1)}`).toSorted(),
  )
})

test('the list of contents has what is in the tree, and Node', () => {
  const bom = JSON.parse(readFileSync(at(`first/shoal-${version}.cdx.json`), 'utf8'))
  expect(bom).toMatchObject({ bomFormat: 'CycloneDX', metadata: { component: { name: 'shoal', version } } })
  expect(bom.components.map(({ name }: { name: string }) => name)).toEqual(['fastify', 'node'])
  expect(bom.components[0]).toMatchObject({ licenses: [{ license: { id: 'MIT' } }] })
  expect(bom.components[0].hashes[0].alg).toBe('SHA-512')
})

test('a host’s archive is the tree with its own Node', () => {
  const lines = listing(gunzipSync(readFileSync(at(`first/shoal-${version}-linux-arm64.tar.gz`))))
  for (const line of [
    '-rwxr-xr-x 0/0 shoal/bin/shoal',
    '-rwxr-xr-x 0/0 shoal/node/bin/node',
    '-rw-r--r-- 0/0 shoal/systemd/shoal-agent.service',
  ])
    expect(lines).toContain(line)
})

/** Mode, owner and name of each entry; the text where it is no tar. */
function listing(tar: Buffer): string[] {
  if (tar.length < 512) return [tar.toString()]
  const text = execFileSync('tar', ['-tvf', '-', '--numeric-owner'], { input: tar, encoding: 'utf8' })
  // -rw-r--r-- 0/0   123 1970-01-01 00:00 name
  return text
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^(\S+ \S+) +\d+ 1970-01-01 00:00 /, '$1 '))
}

function writeBase(path: string, architectures: readonly string[]): void {
  mkdirSync(path)
  chmodSync(path, 0o755)
  const layout = new LayoutWriter(path)
  const manifests = architectures.map((architecture) => {
    const bytes = Buffer.from(`a base for ${architecture}`)
    const config = layout.addDocument(MEDIA_TYPES.config, {
      architecture,
      os: 'linux',
      config: { Env: BASE_ENV, Cmd: ['node'] },
      rootfs: { type: 'layers', diff_ids: [`sha256:${createHash('sha256').update(bytes).digest('hex')}`] },
      history: [{ created_by: 'debootstrap' }],
    })
    const layers = [layout.addBytes(MEDIA_TYPES.gzippedLayer, gzipSync(bytes))]
    const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.manifest, config, layers }
    return { ...layout.addDocument(MEDIA_TYPES.manifest, manifest), platform: { os: 'linux', architecture } }
  })
  const index = layout.addDocument(MEDIA_TYPES.index, { schemaVersion: 2, manifests })
  layout.pack(`${path}.tar`, index, 'base')
}

function hashOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}

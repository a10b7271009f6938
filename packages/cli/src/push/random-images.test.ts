/**
 * Goal: whatever graph of images an archive holds, all of it arrives, byte for byte, and nothing has been sent twice.
 * Method: random graphs (shared layers, nested indexes, attachments) as an OCI layout, in a folder or a tar, pushed to a
 * registry in memory that is then compared with the layout.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startRegistryStub } from '@shoal/testing/registry-stub'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import {
  type FixtureDescriptor,
  LayoutFixture,
  tarOf,
  writeFolder,
} from '../../../images/src/testing/image-fixtures.ts'
import { parseDestination } from './destination.ts'
import { runPush } from './push.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-random-images-'))
  vi.stubEnv('DOCKER_CONFIG', folder)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(folder, { recursive: true, force: true })
})

type Node =
  | { readonly kind: 'image'; readonly layers: readonly (readonly [seed: number, sizeBytes: number])[] }
  | { readonly kind: 'index'; readonly children: readonly Node[] }

// Few seeds and sizes, so that layers are shared.
const layer = fc.tuple(fc.integer({ min: 0, max: 9 }), fc.constantFrom(0, 1, 511, 512, 5_000, 1_200_000))
const image = fc.record({ kind: fc.constant('image' as const), layers: fc.array(layer, { maxLength: 4 }) })
const index = (child: fc.Arbitrary<Node>): fc.Arbitrary<Node> =>
  fc.record({ kind: fc.constant('index' as const), children: fc.array(child, { maxLength: 3 }) })
const one = index(image)
const two = index(fc.oneof(image, one))
const graph = fc.oneof(image, one, two, index(fc.oneof(image, two)))
/** What is attached, each to the one before it or to the root. */
const attachments = fc.array(fc.record({ isDeep: fc.boolean(), image }), { maxLength: 3 })

function build(layout: LayoutFixture, node: Node, subject?: FixtureDescriptor): FixtureDescriptor {
  if (node.kind === 'index') return layout.nest(node.children.map((child) => build(layout, child)))
  const layers = node.layers.map(([seed, sizeBytes]) => Buffer.alloc(sizeBytes, `${seed}-`))
  return layout.image(layers, subject === undefined ? {} : { subject })
}

test('a random graph of images arrives whole', async () => {
  let run = 0
  await fc.assert(
    fc.asyncProperty(graph, attachments, fc.boolean(), async (node, attached, isTar) => {
      await using stub = await startRegistryStub()
      const layout = new LayoutFixture()
      const root = build(layout, node)
      layout.list(root, 'root')
      let last = root
      for (const { isDeep, image } of attached) {
        last = build(layout, image, isDeep ? last : root)
        layout.list(last)
      }
      const path = join(folder, String(++run))
      if (isTar) await writeFile(path, await tarOf(layout.files()))
      else await writeFolder(path, layout.files())

      const destination = parseDestination(`${stub.url}/random/image:1`)
      const request = { path, destination, image: 'root', platforms: [] }
      const report = await runPush(request, process.stderr, AbortSignal.timeout(20_000))

      expect(report.digest).toBe(root.digest)
      const arrived = new Map(
        [...stub.blobs].concat([...stub.manifests].map(([name, { bytes }]) => [name, bytes])),
      )
      arrived.delete('1')
      expect(new Set(arrived.keys())).toEqual(new Set(layout.blobs.keys()))
      for (const [digest, bytes] of layout.blobs) expect(arrived.get(digest)?.equals(bytes)).toBe(true)
      const sent = stub.requests.filter(({ line }) => /^(POST|PUT .*manifests)/.test(line))
      expect(sent).toHaveLength(layout.blobs.size)
      expect(sent.at(-1)?.line).toBe('PUT /v2/random/image/manifests/1')
    }),
    { numRuns: 60 },
  )
}, 120_000)

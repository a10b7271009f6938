/**
 * Goal: whoever has nodes warmed is told how many have the image, as soon as they have it, and is not kept waiting by nodes
 * that left.
 * Method: a tracker that says what the test says; pauses end when the test ends them.
 */
import { type Digest, digestHex } from '@shoal/core'
import type { Manifest } from '@shoal/oci'
import type { ImageStore } from '@shoal/registry'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { silent } from '../testing/image-origin.ts'
import { imageOf, indexOf, type TestImage } from '../testing/images.ts'
import { NodeWarmer, type WarmImage, WarmTimeoutError } from './node-warmer.ts'

const pauses: { go: () => void }[] = []
vi.mock('node:timers/promises', () => ({
  setTimeout: (_ms: number, _value: unknown, { signal }: { signal: AbortSignal }) =>
    new Promise<void>((resolve, reject) => {
      signal.throwIfAborted()
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      pauses.push({ go: resolve })
    }),
}))

/** Lets the warming look again. */
async function look(): Promise<void> {
  await vi.waitFor(() => expect(pauses).toHaveLength(1), { interval: 1 })
  pauses.pop()!.go()
  await new Promise((resolve) => setImmediate(resolve))
}

const node = (n: number, zone = 'eu-1') => ({ peerId: `${n}`.padStart(40, '0'), name: `node-${n}`, zone })
const [one, two, three] = [node(1), node(2), node(3, 'us-1')]
const image = imageOf('{}', 'layer one', 'layer two')
const infoHashOf = (digest: Digest) => digestHex(digest).slice(0, 40)

let agents: (typeof one)[]
let seeded: Set<string>
let asked: { to: readonly string[]; images: readonly { repository: string; reference: string }[] }[]
let progress: [nodes: number, ready: number][]
let warmer: NodeWarmer

beforeEach(() => {
  agents = [one, two, three]
  seeded = new Set()
  asked = []
  progress = []
  pauses.length = 0
  warmer = new NodeWarmer({
    tracker: {
      get agents() {
        return agents
      },
      warm: (to, images) => asked.push({ to, images }),
      isSeeding: (infoHash, peerId) => seeded.has(`${infoHash} ${peerId}`),
    },
    images: {
      metainfo: async (digest: Digest) => ({ infoHash: infoHashOf(digest) }),
    } as unknown as Pick<ImageStore, 'metainfo'>,
    log: silent,
  })
})
afterEach(() => {
  vi.restoreAllMocks()
})

const wished = (
  manifests: readonly Manifest[] = [image.manifest],
  tag: string | undefined = '1',
): WarmImage => ({
  name: 'team/app',
  tag,
  digest: manifests.at(-1)!.digest,
  manifests,
})
const warm = (
  wish: WarmImage = wished(),
  selects: (each: { zone: string }) => boolean = () => true,
  signal = new AbortController().signal,
) => warmer.warm(wish, selects, signal, (nodes, ready) => progress.push([nodes, ready]))
const blobsOf = ({ manifest }: TestImage): Digest[] => {
  const { config, layers } = JSON.parse(Buffer.from(manifest.bytes).toString())
  return [config.digest, ...layers.map((layer: { digest: Digest }) => layer.digest)]
}
const has = ({ peerId }: typeof one, digests: readonly Digest[]) => {
  for (const digest of digests) seeded.add(`${infoHashOf(digest)} ${peerId}`)
}

describe('nodes that warm', () => {
  it('are asked for the digest and the tag, once', async () => {
    for (const each of agents) has(each, blobsOf(image))
    await warm()
    const repository = 'team/app'
    expect(asked).toEqual([
      {
        to: [one, two, three].map(({ peerId }) => peerId),
        images: [
          { repository, reference: image.manifest.digest },
          { repository, reference: '1' },
        ],
      },
    ])
  })

  it('are asked for the digest alone where there is no tag', async () => {
    agents = []
    await warm({ ...wished(), tag: undefined })
    expect(asked[0]!.images.map(({ reference }) => reference)).toEqual([image.manifest.digest])
  })

  it('are ready when they have every blob, and counted one by one', async () => {
    const warmed = warm()
    await look()
    has(one, blobsOf(image))
    has(two, blobsOf(image).slice(1))
    await look()
    has(two, blobsOf(image))
    await look()
    has(three, blobsOf(image))
    await look()
    await warmed
    expect(progress).toEqual([
      [3, 0],
      [3, 0],
      [3, 1],
      [3, 2],
      [3, 3],
    ])
  })

  it('are those that were selected, and nobody else is waited for', async () => {
    has(three, blobsOf(image))
    await warm(wished(), ({ zone }) => zone === 'us-1')
    expect(asked[0]!.to).toEqual([three.peerId])
    expect(progress).toEqual([[1, 1]])
  })

  it('that leave are not waited for', async () => {
    has(one, blobsOf(image))
    has(three, blobsOf(image))
    const warmed = warm()
    await look()
    agents = [one, three]
    await look()
    await warmed
    expect(progress.at(-1)).toEqual([3, 2])
  })

  it('that come later are not waited for either', async () => {
    agents = [one]
    const warmed = warm()
    await look()
    agents = [one, two]
    has(one, blobsOf(image))
    await look()
    await warmed
    expect(progress.at(-1)).toEqual([1, 1])
  })

  it('are none: that is the end', async () => {
    agents = []
    await warm()
    expect(progress).toEqual([[0, 0]])
  })
})

describe('an index', () => {
  const arm = imageOf('{"arm":1}', 'layer for arm')
  const index = indexOf(
    { manifest: image.manifest, platform: { os: 'linux', architecture: 'amd64' } },
    { manifest: arm.manifest, platform: { os: 'linux', architecture: 'arm64' } },
  )

  it('is there when a node has the image of one platform, whichever', async () => {
    agents = [one, two]
    has(one, blobsOf(image))
    has(two, blobsOf(arm))
    await warm(wished([image.manifest, arm.manifest, index]))
    expect(progress).toEqual([[2, 2]])
  })

  it('is not there when a node has some of each', async () => {
    agents = [one]
    has(one, [...blobsOf(image).slice(1), ...blobsOf(arm).slice(1)])
    const warmed = warm(wished([image.manifest, arm.manifest, index]))
    await look()
    has(one, blobsOf(arm))
    await look()
    await warmed
    expect(progress[0]).toEqual([1, 0])
    expect(progress.at(-1)).toEqual([1, 1])
  })

  it('of nothing that is here needs no waiting', async () => {
    await warm(wished([index]))
    expect(progress).toEqual([[3, 3]])
  })
})

describe('waiting', () => {
  it('ends when nobody listens any more', async () => {
    const leaving = new AbortController()
    const warmed = warm(wished(), () => true, leaving.signal)
    await vi.waitFor(() => expect(pauses).toHaveLength(1))
    leaving.abort(new Error('the client left'))
    await expect(warmed).rejects.toThrow('the client left')
  })

  it('ends after a quarter of an hour, with the names of those that did not get it', async () => {
    let nowMs = 1_000
    vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
    has(one, blobsOf(image))
    const warmed = warm()
    warmed.catch(() => {})
    await look()
    nowMs += 15 * 60_000 + 1
    await look()
    const error: unknown = await warmed.catch((thrown) => thrown)
    expect(error).toBeInstanceOf(WarmTimeoutError)
    expect((error as Error).message).toMatch(/^2 nodes did not get .*: node-2, node-3; see/)
  })
})

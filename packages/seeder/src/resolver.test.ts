/**
 * Goal: however many ask at once, a bounded number of answers is put together at a time, and none carries more than a little of
 * the blobs themselves. Method: an origin that answers when it is told to.
 */
import { createHash } from 'node:crypto'
import { type Digest, pieceLengthFor } from '@shoal/core'
import { sha256 } from '@shoal/testing/content'
import { expect, it } from 'vitest'
import { Resolver, type ResolverParts } from './resolver.ts'
import { imageOf } from './testing/images.ts'

it('puts together 64 answers at a time, the others in their turn', async () => {
  const looking: (() => void)[] = []
  const digest = sha256('a blob')
  const metainfo = {
    digest,
    length: 100_000,
    pieceLength: pieceLengthFor(100_000),
    piecesSha1: new Uint8Array(20),
    piecesSha256: new Uint8Array(32),
  }
  const parts = {
    images: {
      async metainfo() {
        await new Promise<void>((resolve) => looking.push(resolve))
        return { metainfo, infoHash: 'ab'.repeat(20) }
      },
      contentLocation: async () => undefined,
    },
    mirror: {
      blobStat: async () => ({ digest, length: metainfo.length }),
      here: async () => [digest],
    },
    arriving: { find: () => undefined },
    signer: { signMetainfo: () => new Uint8Array(64) },
  }
  const resolver = new Resolver(parts as unknown as ResolverParts)
  let answered = 0
  const answers = Array.from({ length: 70 }, async () => {
    const answer = await resolver.resolve({ repository: 'team/app', blob: digest })
    expect(answer?.blobs).toHaveLength(1)
    answered++
  })
  await expect.poll(() => looking.length).toBe(64)
  // Whatever can go on has gone on by then.
  for (let n = 0; n < 10; n++) await new Promise<void>((resolve) => setImmediate(resolve))
  expect(looking).toHaveLength(64)
  looking[0]!()
  await expect.poll(() => [answered, looking.length]).toEqual([1, 65])
  for (let n = 1; n < 70; n++) {
    await expect.poll(() => looking.length).toBeGreaterThan(n)
    looking[n]!()
  }
  await Promise.all(answers)
})

it('puts short blobs into an answer, of 32 KiB at most and 256 KiB together', async () => {
  const KIB = 1024
  const lengths = [32 * KIB + 1, ...new Array(10).fill(32 * KIB)]
  const contents = lengths.map((length, n) => Buffer.alloc(length, n))
  const { manifest } = imageOf('{}', ...contents)
  const lengthOf = new Map(contents.map((bytes) => [sha256(bytes), bytes.length]))
  const parts = {
    images: {
      metainfo: async (digest: Digest) => {
        const length = lengthOf.get(digest) ?? 2
        const metainfo = { digest, length, pieceLength: 65_536, piecesSha1: new Uint8Array(20) }
        return { metainfo: { ...metainfo, piecesSha256: new Uint8Array(32) }, infoHash: sha1(digest) }
      },
      contentLocation: async () => undefined,
    },
    mirror: {
      manifest: async () => manifest,
      here: async (_repository: string, digests: readonly Digest[]) => digests,
      arriving: async () => [],
    },
    seeded: {
      async *read(_digest: Digest, { end }: { end: number }) {
        yield new Uint8Array(end)
      },
    },
    signer: { signMetainfo: () => new Uint8Array(64), signTag: () => undefined },
    nowMs: () => 0,
  }
  const resolver = new Resolver(parts as unknown as ResolverParts)
  const answer = await resolver.resolve({ repository: 'team/app', reference: '1' })
  const inlined = answer!.blobs.flatMap(({ inline }) => (inline === undefined ? [] : [inline.length]))
  expect(answer!.blobs).toHaveLength(12)
  expect(Math.max(...inlined)).toBe(32 * KIB)
  // The configuration took two bytes of the room: seven of the others are left, and not eight.
  expect(inlined).toHaveLength(1 + 7)
})

it('says hashes of pieces that came out of turn to agents that ask for them: others would refuse the answer', async () => {
  const digest = sha256('a blob on its way')
  const copy = {
    infoHash: 'ab'.repeat(20),
    sha256: new Uint8Array(64),
    later: () => [{ first: 7, sha256: new Uint8Array(32) }],
  }
  const parts = {
    mirror: {
      blobStat: async () => ({ digest, length: 1_000_000 }),
      here: async () => [],
      copy: async () => copy,
    },
    arriving: { hasSwarm: () => true, seed: async () => true },
    tracker: { admit: () => [{ peers: [], imports: undefined }] },
  }
  const resolver = new Resolver(parts as unknown as ResolverParts)
  const ask = async (more: object) => {
    const asker = { peerId: 'cd'.repeat(20), isProven: true, ...more }
    return (await resolver.resolve({ repository: 'team/app', blob: digest, ...asker }))?.arriving?.[0]?.pieces
  }
  expect(await ask({})).toEqual({ sha256: copy.sha256, peers: [] })
  expect(await ask({ later: true })).toEqual({ sha256: copy.sha256, peers: [], later: copy.later() })
})

const sha1 = (text: string) => createHash('sha1').update(text).digest('hex')

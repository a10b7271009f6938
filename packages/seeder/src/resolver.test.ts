/**
 * Goal: however many ask at once, a bounded number of answers is put together at a time. Method: an origin that answers when
 * it is told to.
 */
import { pieceLengthFor } from '@shoal/core'
import { expect, it } from 'vitest'
import { Resolver, type ResolverParts } from './resolver.ts'
import { sha256 } from './testing/images.ts'

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

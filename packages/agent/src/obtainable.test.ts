/**
 * Goal: an image is promised when, and only when, every blob of it can be had; and nobody is asked whose answer changes
 * nothing. Method: worlds drawn at random, in which each blob is somewhere or nowhere; the decision asks until it is sure.
 */
import { createPrng, type Digest, parseDigest } from '@shoal/core'
import { expect, test } from 'vitest'
import { type BlobProspects, nextProof, type Prospects } from './obtainable.ts'

interface World {
  readonly isSeederThere: boolean
  readonly isSeederKnown: boolean
  readonly canKeep: boolean
  readonly doesOriginAnswer: boolean
  readonly blobs: readonly (Omit<BlobProspects, 'isOffered'> & { readonly isAtPeer: boolean })[]
}

const digestOf = (n: number): Digest => parseDigest(`sha256:${`${n}`.padStart(64, '0')}`)

function worldOf(seed: number): World {
  const prng = createPrng(seed)
  const coin = (chance: number) => prng.next() < chance
  return {
    isSeederThere: coin(0.4),
    isSeederKnown: coin(0.5),
    canKeep: coin(0.8),
    doesOriginAnswer: coin(0.5),
    blobs: Array.from({ length: Math.floor(prng.next() * 5) }, (_, n) => ({
      digest: digestOf(n),
      isWhole: coin(0.4),
      isFlowing: coin(0.2),
      isAtPeer: coin(0.5),
      hasOriginUrl: coin(0.6),
    })),
  }
}

/** Asks as it is told to. */
function decide(world: World) {
  const asked: string[] = []
  let seen: Prospects = {
    seeder: world.isSeederKnown ? (world.isSeederThere ? 'answers' : 'away') : 'unsure',
    blobs: world.blobs.map((blob) => ({ ...blob, isOffered: false })),
    canKeep: world.canKeep,
    wereAsked: { peers: false, origin: false },
  }
  for (;;) {
    const next = nextProof(seen)
    if (next.kind !== 'ask') return { next, asked }
    asked.push(next.whom)
    expect(asked.length, 'each is asked once').toBeLessThanOrEqual(3)
    if (next.whom === 'seeder') seen = { ...seen, seeder: world.isSeederThere ? 'answers' : 'away' }
    else {
      const offers = (digest: Digest) =>
        next.whom === 'peers'
          ? world.blobs.find((blob) => blob.digest === digest)!.isAtPeer
          : world.doesOriginAnswer
      seen = {
        ...seen,
        wereAsked: { ...seen.wereAsked, [next.whom]: true },
        blobs: seen.blobs.map((blob) =>
          next.about.includes(blob.digest) ? { ...blob, isOffered: offers(blob.digest) } : blob,
        ),
      }
    }
  }
}

test('what is promised can be had, and what can be had is promised', () => {
  for (let seed = 0; seed < 3_000; seed++) {
    const world = worldOf(seed)
    const { next, asked } = decide(world)
    const rest = world.blobs.filter(
      (blob) => !blob.isWhole && !blob.isFlowing && !(blob.isAtPeer && world.canKeep),
    )
    const isAtOrigin = world.doesOriginAnswer && rest.every(({ hasOriginUrl }) => hasOriginUrl)
    const isPossible = world.isSeederThere || rest.length === 0 || isAtOrigin
    expect(next.kind, `seed ${seed}`).toBe(isPossible ? 'obtainable' : 'unobtainable')
    if (next.kind === 'unobtainable') expect(next.missing).toEqual(rest.map(({ digest }) => digest))
    if (world.blobs.every(({ isWhole, isFlowing }) => isWhole || isFlowing)) expect(asked).toEqual([])
    if (world.isSeederThere) expect(asked.filter((whom) => whom !== 'seeder')).toEqual([])
  }
})

/**
 * Goal: a push that was answered has its tag and its manifest, whatever is removed at the same time; and what a seeder leaves
 * that dies in the middle, another one repairs.
 * Method: replicas whose calls to one store are interleaved in every order, or in random ones where there are too many
 * (`testing/turns.ts`); then what clients are told is compared with what they find.
 */
import { createPrng, type Digest, type Prng } from '@shoal/core'
import { MEDIA_TYPES } from '@shoal/oci'
import { patternBytes, sha256 } from '@shoal/testing/content'
import { MapObjectStore } from '@shoal/testing/map-object-store'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { type Choose, everySchedule, type Move, Turns } from '../testing/turns.ts'
import { ImageStore } from './image-store.ts'

const graceMs = 1_000
const name = 'app'
const blob = patternBytes(10, 1)

async function* once(bytes: Uint8Array) {
  yield bytes
}

/** An image, or what is attached to one. */
function documentOf(title: string, subject?: { digest: Digest; length: number }) {
  const descriptor = { mediaType: 'application/x', digest: sha256(blob), size: blob.length }
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: descriptor,
      layers: [descriptor],
      ...(subject && {
        subject: { mediaType: MEDIA_TYPES.ociManifest, digest: subject.digest, size: subject.length },
      }),
      annotations: { title },
    }),
  )
  return { bytes, digest: sha256(bytes), length: bytes.length }
}

const image = documentOf('image')
const other = documentOf('other')
const signature = documentOf('signature', image)
type Document = typeof image

class World {
  readonly store = new MapObjectStore()
  readonly turns = new Turns(this.store)
  nowMs = 1_000_000
  #ids = 0

  constructor() {
    this.store.nowMs = () => this.nowMs
  }

  replica(objects = this.store as ConstructorParameters<typeof ImageStore>[0]['objects']): ImageStore {
    const log = pino({ level: 'silent' })
    return new ImageStore(
      { objects, log, nowMs: () => this.nowMs, newId: () => `id-${this.#ids++}`, pause: async () => {} },
      { graceMs },
    )
  }

  /** One whose calls wait for their turns. It has looked at the blob already: that is not what is tried here. */
  async stepped(title: string): Promise<ImageStore> {
    const stepped = this.turns.storeOf(title)
    let isWarm = false
    const objects = new Proxy(stepped, {
      get: (_, property) =>
        Reflect.get(isWarm ? stepped : this.store, property).bind?.(isWarm ? stepped : this.store),
    })
    const replica = this.replica(objects)
    await replica.blobStat(name, sha256(blob), 'look')
    await replica.referrers(name, image.digest, {})
    isWarm = true
    return replica
  }

  async push(replica: ImageStore, document: Document, tag?: string): Promise<void> {
    const reference =
      tag === undefined
        ? ({ kind: 'digest', digest: document.digest } as const)
        : ({ kind: 'tag', tag } as const)
    await replica.putManifest(name, reference, MEDIA_TYPES.ociManifest, document.bytes)
  }

  async pushBlob(): Promise<void> {
    const replica = this.replica()
    const { id } = await replica.startUpload(name, { isOneRequest: true })
    await replica.appendUpload(name, id, once(blob))
    await replica.finishUpload(name, id, sha256(blob))
  }

  /** What a client finds that asks now, of a seeder that remembers nothing. */
  async found(): Promise<{ tags: { [tag: string]: Digest | undefined }; referrers: readonly Digest[] }> {
    const replica = this.replica()
    const tags: { [tag: string]: Digest | undefined } = {}
    for (const tag of (await replica.tags(name, { tagsMax: 100 }))?.tags ?? []) {
      const digest = (await replica.manifest(name, { kind: 'tag', tag }))?.digest
      const byDigest = digest && (await this.replica().manifest(name, { kind: 'digest', digest }))
      tags[tag] = byDigest?.digest
    }
    const { referrers } = await replica.referrers(name, image.digest, {})
    return { tags, referrers: referrers.map(({ digest }) => digest) }
  }

  async has({ digest }: Document): Promise<boolean> {
    return (await this.replica().manifest(name, { kind: 'digest', digest })) !== undefined
  }

  async collect(untaggedForMs?: number): Promise<void> {
    await this.replica().collectGarbage({
      isDryRun: false,
      ...(untaggedForMs === undefined ? {} : { untaggedForMs }),
    })
  }
}

interface Story {
  readonly before?: (world: World, replica: ImageStore) => Promise<void>
  readonly work: { readonly [replica: string]: (world: World, replica: ImageStore) => Promise<unknown> }
  readonly faults?: readonly Exclude<Move['kind'], 'go-on'>[]
  readonly check: (world: World, ends: Awaited<ReturnType<Turns['run']>>) => Promise<void>
}

async function tell(story: Story, choose: Choose): Promise<void> {
  const world = new World()
  await world.pushBlob()
  await world.push(world.replica(), image, 'v1')
  await story.before?.(world, world.replica())
  const work: { [replica: string]: () => Promise<unknown> } = {}
  for (const [title, doing] of Object.entries(story.work)) {
    const replica = await world.stepped(title)
    work[title] = () => doing(world, replica)
  }
  const ends = await world.turns.run(work, choose, story.faults)
  try {
    await story.check(world, ends)
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${world.turns.trace.join('\n')}`, { cause: error })
  }
}

const every = (story: Story) => everySchedule((choose) => tell(story, choose), { switchesMax: 3 })

async function some(story: Story, count: number, seed = 20_261_201): Promise<void> {
  const prng: Prng = createPrng(seed)
  for (let run = 0; run < count; run++) {
    // Faults are as likely as going on, wherever they may happen: at any call, not mostly at the first.
    const faultAt = prng.below(30)
    let call = 0
    await tell(story, (moves) => {
      const mayFail = call++ >= faultAt
      const wanted = moves
        .map((move, index) => ({ move, index }))
        .filter(({ move }) => mayFail || move.kind === 'go-on')
      return wanted[prng.below(wanted.length)]!.index
    })
  }
}

const remove = (document: Document) => (_: World, replica: ImageStore) =>
  replica.removeManifest(name, { kind: 'digest', digest: document.digest })
const removeTag = (tag: string) => (_: World, replica: ImageStore) =>
  replica.removeManifest(name, { kind: 'tag', tag })
const push = (document: Document, tag?: string) => (world: World, replica: ImageStore) =>
  world.push(replica, document, tag)

function isAnswered(end: PromiseSettledResult<unknown> | 'dead' | undefined): boolean {
  return end !== undefined && end !== 'dead' && end.status === 'fulfilled'
}

/** Tags that are listed can be pulled, and a digest is there or has no tag. */
async function isWhole(world: World): Promise<void> {
  const { tags } = await world.found()
  for (const [tag, digest] of Object.entries(tags))
    expect(digest, `${tag} is listed and cannot be pulled`).toBeDefined()
}

describe('a manifest is removed by its digest', () => {
  test('while it is pushed under another tag: both tags go, or the new one stays', async () => {
    const seen = new Set<string>()
    const count = await every({
      work: { push: push(image, 'v2'), remove: remove(image) },
      check: async (world, ends) => {
        if (!isAnswered(ends.push) || !isAnswered(ends.remove)) return isWhole(world)
        expect(ends.remove).toEqual({ status: 'fulfilled', value: true })
        const { tags } = await world.found()
        seen.add(JSON.stringify(tags))
        expect([{}, { v2: image.digest }]).toContainEqual(tags)
        expect(await world.has(image)).toBe('v2' in tags)
      },
    })
    expect(seen.size).toBe(2)
    expect(count).toBeGreaterThan(100)
  })

  test('while its tag is given to another: the tag stays with that one', async () => {
    await every({
      work: { push: push(other, 'v1'), remove: remove(image) },
      check: async (world) => {
        expect((await world.found()).tags).toEqual({ v1: other.digest })
        expect(await world.has(image)).toBe(false)
      },
    })
  })

  test('while a signature, itself, is pushed again: it is listed where it can be pulled, and nowhere else', async () => {
    const seen = new Set<boolean>()
    await every({
      before: (world, replica) => world.push(replica, signature),
      work: { push: push(signature), remove: remove(signature) },
      check: async (world, ends) => {
        // Two that take turns for long enough are both told that it failed.
        if (!isAnswered(ends.push) || !isAnswered(ends.remove)) return
        const isThere = await world.has(signature)
        seen.add(isThere)
        expect((await world.found()).referrers).toEqual(isThere ? [signature.digest] : [])
      },
    })
    expect(seen.size).toBe(2)
  })

  test('by two seeders at once, while two others push it', async () => {
    await some(
      {
        work: {
          push: push(image, 'v2'),
          pushAgain: push(image, 'v3'),
          remove: remove(image),
          removeToo: remove(image),
        },
        check: async (world) => {
          await isWhole(world)
          const { tags } = await world.found()
          expect(await world.has(image)).toBe(Object.keys(tags).length > 0)
          expect(tags).not.toHaveProperty('v1')
        },
      },
      100,
    )
  })

  test('and a tag at the same time as it is pushed: never half', async () => {
    await every({
      work: { push: push(other, 'v1'), remove: removeTag('v1') },
      check: async (world) => {
        const { tags } = await world.found()
        expect([{}, { v1: other.digest }]).toContainEqual(tags)
        expect(await world.has(other)).toBe(true)
      },
    })
  })
})

describe('a seeder dies, or a store fails and says nothing', () => {
  const faults = ['die-before', 'die-after', 'answer-lost'] as const
  /** Later, when somebody has collected garbage twice. */
  const settle = async (world: World) => {
    for (let run = 0; run < 2; run++) {
      world.nowMs += graceMs / 4
      await world.collect()
    }
  }

  test('while a manifest is pushed under another tag and removed: what is listed can be pulled', async () => {
    await some(
      {
        work: { push: push(image, 'v2'), remove: remove(image) },
        faults,
        check: async (world, ends) => {
          await isWhole(world)
          const { tags } = await world.found()
          // A removal that nobody heard the end of may have gone half its way.
          if (isAnswered(ends.push) && isAnswered(ends.remove) && (await world.has(image)))
            expect(tags).toEqual({ v2: image.digest })
          await settle(world)
          await isWhole(world)
          expect((await world.found()).tags).toEqual(tags)
        },
      },
      150,
    )
  })

  test('while a signature is pushed again and removed: the list is right when garbage was collected', async () => {
    await some(
      {
        before: (world, replica) => world.push(replica, signature),
        work: { push: push(signature), remove: remove(signature) },
        faults,
        check: async (world) => {
          world.nowMs += graceMs + 1
          // The image is needed, and with it what it is made of.
          await world.push(world.replica(), image, 'v1')
          await world.collect()
          const isThere = await world.has(signature)
          expect((await world.found()).referrers).toEqual(isThere ? [signature.digest] : [])
        },
      },
      150,
    )
  })

  test('and what it left is buried a grace later', async () => {
    const world = new World()
    await world.pushBlob()
    await world.push(world.replica(), image, 'v1')
    await world.push(world.replica(), signature)
    const replica = world.replica()
    expect(await replica.removeManifest(name, { kind: 'digest', digest: signature.digest })).toBe(true)
    expect(await replica.removeManifest(name, { kind: 'digest', digest: image.digest })).toBe(true)
    expect(await replica.removeManifest(name, { kind: 'digest', digest: image.digest })).toBe(false)
    expect(await world.found()).toEqual({ tags: {}, referrers: [] })
    for (let run = 0; run < 3; run++) {
      world.nowMs += graceMs + 1
      await world.collect()
    }
    expect(world.store.keys().filter((key) => !key.endsWith('/_indexed'))).toEqual([])
  })
})

describe('manifests that no tag reaches', () => {
  const untag = async (world: World, replica: ImageStore) => {
    await removeTag('v1')(world, replica)
    world.nowMs += graceMs * 10
  }
  const collect = (_: World, replica: ImageStore) =>
    replica.collectGarbage({ isDryRun: false, untaggedForMs: graceMs })

  test('one that is pushed again while it goes stays', async () => {
    await some(
      {
        before: untag,
        work: { push: push(image, 'v2'), collect },
        check: async (world, ends) => {
          expect(ends.push).toMatchObject({ status: 'fulfilled' })
          expect((await world.found()).tags).toEqual({ v2: image.digest })
        },
      },
      150,
    )
  })

  test('one that was looked for by somebody who pushes an index stays until that is there', async () => {
    const document = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests: [{ mediaType: MEDIA_TYPES.ociManifest, digest: image.digest, size: image.length }],
    }
    await some(
      {
        before: untag,
        work: {
          collect,
          push: async (_, replica) => {
            const reference = { kind: 'digest', digest: image.digest } as const
            const there = await replica.manifest(name, reference, 'look')
            await replica.putManifest(
              name,
              { kind: 'tag', tag: 'all' },
              MEDIA_TYPES.ociIndex,
              Buffer.from(JSON.stringify(document)),
            )
            return there !== undefined
          },
        },
        check: async (world, ends) => {
          const { value } = ends.push as PromiseFulfilledResult<boolean>
          if (value) expect(await world.has(image)).toBe(true)
        },
      },
      150,
    )
  })
})

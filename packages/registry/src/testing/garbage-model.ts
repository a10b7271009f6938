/**
 * Several clients push, mount, delete and pull images and build caches through two replicas, while garbage is collected, over
 * one store whose every call takes a random while. In some rounds the store is full: then pushes fail, and collections do not.
 * Between rounds content is damaged, found, and pushed again. After every round whatever was pushed must be readable, and a
 * dry run must count what the run then does; at the end nothing else may be left.
 *
 * Every client has a repository of its own, so that what must be in it is known; the blobs are few and shared, so that one
 * client's garbage is what another is about to push. Time is virtual, in the store's dates too.
 */
import type { Digest, Prng } from '@shoal/core'
import { MEDIA_TYPES } from '@shoal/oci'
import type {
  ListOptions,
  ObjectRead,
  ObjectStat,
  ObjectStore,
  ObjectWriter,
  Precondition,
  WriterCheckpoint,
} from '@shoal/storage'
import { StorageFullError } from '@shoal/storage'
import { patternBytes, sha256 } from '@shoal/testing/content'
import { pino } from 'pino'
import { ImageStore } from '../image-store/image-store.ts'

const GRACE_MS = 1_000_000
const CONTENTS = 24
const CLIENTS = 4

export interface GarbageModelInit {
  readonly store: ObjectStore
  readonly prng: Prng
  readonly rounds: number
  readonly opsPerRound: number
}

/** @throws Error on the first thing that is wrong, with what led there */
export async function runGarbageModel(
  init: GarbageModelInit,
): Promise<{ removedBlobs: number; damagedBlobs: number; ops: number }> {
  const model = new GarbageModel(init)
  for (let round = 0; round < init.rounds; round++) await model.round()
  await model.end()
  return { removedBlobs: model.removedBlobs, damagedBlobs: model.damagedBlobs, ops: model.ops }
}

class GarbageModel {
  readonly #init: GarbageModelInit
  readonly #store: ClockedObjectStore
  readonly #replicas: readonly ImageStore[]
  readonly #contents = Array.from({ length: CONTENTS }, (_, n) => patternBytes(100 + n * 37, n + 1))
  /** What each client has pushed: manifests by digest, with their blobs. */
  readonly #pushed = Array.from({ length: CLIENTS }, () => new Map<Digest, readonly Digest[]>())
  #nowMs = 1_800_000_000_000
  #ids = 0
  #manifests = 0
  readonly #halfPushed: { client: number; digest: Digest }[] = []
  removedBlobs = 0
  damagedBlobs = 0
  ops = 0

  constructor(init: GarbageModelInit) {
    this.#init = init
    this.#store = new ClockedObjectStore(init.store, init.prng, () => this.#nowMs++)
    const parts = {
      objects: this.#store as unknown as ObjectStore,
      log: pino({ level: 'silent' }),
      nowMs: () => this.#nowMs,
      newId: () => `upload-${this.#ids++}`,
      pause: async () => {},
    }
    const limits = { graceMs: GRACE_MS, uploadIdleMs: GRACE_MS * 2, uploadAbandonedMs: GRACE_MS * 2 }
    this.#replicas = [new ImageStore(parts, limits), new ImageStore(parts, limits)]
  }

  async round(): Promise<void> {
    const { prng, opsPerRound } = this.#init
    this.#store.isFull = prng.below(6) === 0
    const clients = Array.from({ length: CLIENTS }, async (_, client) => {
      for (let op = 0; op < opsPerRound; op++) {
        try {
          await this.#act(client)
        } catch (error) {
          if (!(error instanceof StorageFullError && this.#store.isFull)) throw error
        }
      }
    })
    const collecting = (async () => {
      for (let runs = prng.below(3); runs > 0; runs--) await this.#collect()
    })()
    // All end before the first failure is told, so that nothing goes on in a store that is being taken down.
    const ends = await Promise.allSettled([...clients, collecting])
    for (const end of ends) if (end.status === 'rejected') throw end.reason
    // Between rounds nobody is in the middle of anything.
    this.#nowMs += [0, GRACE_MS / 4, GRACE_MS * 1.5, GRACE_MS * 1.5][prng.below(4)]!
    this.#store.isFull = false
    await this.#forgetHalfPushed()
    if (prng.below(3) === 0) await this.#damage()
    await this.#check()
    if (prng.below(3) === 0) await this.#compareRuns()
  }

  /** A push into a full store may have come as far as its manifest. */
  async #forgetHalfPushed(): Promise<void> {
    for (const { client, digest } of this.#halfPushed.splice(0))
      await this.#replica().removeManifest(nameOf(client), { kind: 'digest', digest })
  }

  /** Some content is cut, lost or changed; a scrub finds it, and whoever pushes it again mends it. */
  async #damage(): Promise<void> {
    const { prng, store } = this.#init
    const { keys: contents } = await store.list('content/', { keysMax: 1_000 })
    const key = contents[prng.below(Math.max(1, contents.length))]
    if (key === undefined) return
    if (prng.below(2) === 0) await store.delete(key)
    else await store.put(key, patternBytes(prng.below(2) === 0 ? 90 : 137, 77))
    const { damaged } = await this.#replica().scrub()
    this.damagedBlobs += damaged.length
    // The other replica remembers for a minute what it has read.
    this.#nowMs += 61_000
    for (const { digest } of damaged) {
      const bytes = this.#contents.find((content) => sha256(content) === digest)!
      for (const [client, manifests] of this.#pushed.entries())
        if ([...manifests.values()].some((blobs) => blobs.includes(digest)))
          await this.#pushBlob(client, bytes)
    }
  }

  /** Nobody is at work: what a dry run counts is what the run does. */
  async #compareRuns(): Promise<void> {
    const replica = this.#replica()
    const options = this.#init.prng.below(2) === 0 ? { untaggedForMs: GRACE_MS } : {}
    const dry = await replica.collectGarbage({ ...options, isDryRun: true })
    const run = await replica.collectGarbage({ ...options, isDryRun: false })
    expectThat(dry.kind === 'done' && run.kind === 'done', 'a run was busy')
    if (dry.kind !== 'done' || run.kind !== 'done') return
    this.removedBlobs += run.report.removedBlobs
    for (const { repository, digest } of run.report.untagged)
      this.#pushed[Number(repository.split('-').at(-1))]!.delete(digest)
    const said = JSON.stringify({ ...dry.report, isDryRun: false })
    const done = JSON.stringify(run.report)
    expectThat(said === done, `a dry run said ${said}, and the run did ${done}`)
  }

  /** Everything that nothing needs is gone, and the rest is there. */
  async end(): Promise<void> {
    for (let runs = 0; runs < 3; runs++) {
      this.#nowMs += GRACE_MS * 3
      await this.#collect()
    }
    await this.#check()
    const needed = new Set(this.#pushed.flatMap((manifests) => [...manifests.values()].flat()))
    const keysOf = async (prefix: string) => (await this.#store.list(prefix, { keysMax: 10_000 })).keys
    for (const prefix of ['blobs/', 'content/', 'torrents/', 'swarms/']) {
      const keys = await keysOf(prefix)
      expectThat(keys.length === needed.size, `${prefix} has ${keys.length} keys for ${needed.size} blobs`)
    }
    expectThat((await keysOf('uploads/')).length === 0, 'uploads are left')
    expectThat((await keysOf('gc/')).length === 0, 'the lease is left')
  }

  async #act(client: number): Promise<void> {
    this.ops++
    const { prng } = this.#init
    const pushed = this.#pushed[client]!
    const [any] = pushed.keys()
    const kind = prng.below(10)
    if (kind < 4 || any === undefined) return this.#push(client)
    if (kind < 8) {
      pushed.delete(any)
      this.#halfPushed.push({ client, digest: any })
      const isRemoved = await this.#replica().removeManifest(nameOf(client), { kind: 'digest', digest: any })
      return expectThat(isRemoved, `${any} could not be deleted from ${nameOf(client)}`)
    }
    if (kind === 8) return this.#checkManifest(client, any)
    // Begun and forgotten.
    const { id } = await this.#replica().startUpload(nameOf(client), {})
    await this.#replica().appendUpload(nameOf(client), id, once(patternBytes(50, this.#ids)))
  }

  async #push(client: number): Promise<void> {
    const { prng } = this.#init
    const name = nameOf(client)
    const blobs: Digest[] = []
    const descriptors: object[] = []
    for (let count = 1 + prng.below(3); count > 0; count--) {
      const content = this.#contents[prng.below(CONTENTS)]!
      const digest = await this.#pushBlob(client, content)
      blobs.push(digest)
      descriptors.push({ mediaType: 'application/x', digest, size: content.length })
    }
    const [config, ...layers] = descriptors
    // A build cache is an index of blobs.
    const isCache = prng.below(4) === 0
    const mediaType = isCache ? MEDIA_TYPES.ociIndex : MEDIA_TYPES.ociManifest
    const document = JSON.stringify({
      schemaVersion: 2,
      mediaType,
      ...(isCache ? { manifests: descriptors } : { config, layers }),
      annotations: { n: `${this.#manifests++}` },
    })
    const pushing = { client, digest: sha256(Buffer.from(document)) }
    this.#halfPushed.push(pushing)
    const reference = { kind: 'tag', tag: `t${prng.below(3)}` } as const
    const { digest } = await this.#replica().putManifest(name, reference, mediaType, Buffer.from(document))
    this.#halfPushed.splice(this.#halfPushed.indexOf(pushing), 1)
    this.#pushed[client]!.set(digest, blobs)
  }

  /** As clients do: looks first, or mounts; sends what is missing, in one request or in two. */
  async #pushBlob(client: number, bytes: Uint8Array): Promise<Digest> {
    const { prng } = this.#init
    const name = nameOf(client)
    const digest = sha256(bytes)
    if ((await this.#replica().blobStat(name, digest, 'look')) !== undefined) return digest
    const from = prng.below(2) === 0 ? undefined : nameOf(prng.below(CLIENTS))
    if (prng.below(2) === 0 && (await this.#replica().mountBlob(name, digest, from)) !== undefined)
      return digest
    const { id } = await this.#replica().startUpload(name, {})
    const cut = prng.below(bytes.length)
    await this.#replica().appendUpload(name, id, once(bytes.subarray(0, cut)))
    await this.#replica().appendUpload(name, id, once(bytes.subarray(cut)))
    await this.#replica().finishUpload(name, id, digest)
    return digest
  }

  async #collect(): Promise<void> {
    const outcome = await this.#replica().collectGarbage({ isDryRun: false })
    if (outcome.kind === 'done') this.removedBlobs += outcome.report.removedBlobs
  }

  async #check(): Promise<void> {
    for (const [client, manifests] of this.#pushed.entries())
      for (const digest of manifests.keys()) await this.#checkManifest(client, digest)
  }

  async #checkManifest(client: number, digest: Digest): Promise<void> {
    const name = nameOf(client)
    const replica = this.#replica()
    const manifest = await replica.manifest(name, { kind: 'digest', digest })
    expectThat(manifest !== undefined, `${digest} is gone from ${name}`)
    for (const blob of this.#pushed[client]!.get(digest) ?? []) {
      const stat = await replica.blobStat(name, blob, 'pull')
      expectThat(stat !== undefined, `${blob} of ${digest} is gone from ${name}`)
      const chunks: Uint8Array[] = []
      for await (const chunk of replica.readContent(blob, { start: 0, end: stat!.length })) chunks.push(chunk)
      expectThat(sha256(Buffer.concat(chunks)) === blob, `${blob} has other bytes`)
      expectThat((await replica.metainfo(blob)) !== undefined, `${blob} has no metainfo`)
    }
  }

  #replica(): ImageStore {
    return this.#replicas[this.#init.prng.below(this.#replicas.length)]!
  }
}

/** Takes a random number of turns for every call, moves time on with each, and dates objects by it. */
class ClockedObjectStore {
  readonly description: string
  readonly #dates = new Map<string, number>()
  isFull = false

  readonly #inner: ObjectStore
  readonly #prng: Prng
  readonly #tick: () => number

  constructor(inner: ObjectStore, prng: Prng, tick: () => number) {
    this.#inner = inner
    this.#prng = prng
    this.#tick = tick
    this.description = inner.description
  }

  async stat(key: string): Promise<ObjectStat | undefined> {
    await this.#pass()
    const stat = await this.#inner.stat(key)
    return stat && { ...stat, modifiedAtMs: this.#dates.get(key) ?? 0 }
  }

  async read(key: string, options?: object): Promise<ObjectRead | undefined> {
    await this.#pass()
    const object = await this.#inner.read(key, options)
    return object && { ...object, modifiedAtMs: this.#dates.get(key) ?? 0 }
  }

  async put(key: string, bytes: Uint8Array, precondition?: Precondition) {
    await this.#pass()
    this.#makeRoom()
    this.#dates.set(key, this.#tick())
    return this.#inner.put(key, bytes, precondition)
  }

  async createWriter(key: string): Promise<ObjectWriter> {
    await this.#pass()
    this.#dates.set(key, this.#tick())
    return this.#dated(key, await this.#inner.createWriter(key))
  }

  async resumeWriter(key: string, checkpoint: WriterCheckpoint): Promise<ObjectWriter | undefined> {
    await this.#pass()
    const writer = await this.#inner.resumeWriter(key, checkpoint)
    return writer && this.#dated(key, writer)
  }

  async delete(key: string): Promise<void> {
    await this.#pass()
    await this.#inner.delete(key)
  }

  async deleteIf(key: string, etag: string): Promise<boolean> {
    await this.#pass()
    return this.#inner.deleteIf(key, etag)
  }

  async list(prefix: string, options: ListOptions) {
    await this.#pass()
    return this.#inner.list(prefix, options)
  }

  async sweepWriters(): Promise<number> {
    return 0
  }

  #dated(key: string, writer: ObjectWriter): ObjectWriter {
    return {
      write: (chunk) => writer.write(chunk),
      checkpoint: () => writer.checkpoint(),
      release: () => writer.release(),
      abort: () => writer.abort(),
      complete: async () => {
        await this.#pass()
        this.#makeRoom()
        this.#dates.set(key, this.#tick())
        await writer.complete()
      },
    }
  }

  #makeRoom(): void {
    if (this.isFull) throw new StorageFullError(this.description, 'write')
  }

  async #pass(): Promise<void> {
    this.#tick()
    for (let turns = this.#prng.below(4); turns > 0; turns--)
      await new Promise((resolve) => setImmediate(resolve))
  }
}

function nameOf(client: number): string {
  return `team/app-${client}`
}

async function* once(bytes: Uint8Array) {
  if (bytes.length > 0) yield bytes
}

function expectThat(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise)
}

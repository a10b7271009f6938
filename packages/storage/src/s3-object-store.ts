/**
 * Objects in a bucket. Multipart uploads stream with bounded memory; conditional writes make concurrent seeders safe.
 *
 * Checksums only where S3 demands them: S3-compatible servers differ in what they make of the SDK's default trailers.
 * Entity tags are opaque: those of multipart or encrypted objects are no digest of anything.
 */
import { randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import {
  StorageError,
  StorageFullError,
  StorageRefusedError,
  StorageUnavailableError,
  StorageUnconditionalError,
} from './errors.ts'
import { checkKey } from './object-key.ts'
import type {
  ByteRange,
  ListOptions,
  ListPage,
  ObjectRead,
  ObjectStat,
  ObjectStore,
  ObjectWriter,
  Precondition,
  PutOutcome,
  WriterCheckpoint,
} from './object-store.ts'
import { proxyAgents } from './proxy-agents.ts'
import { isFull, isUnclear, refusalOf, statusOf, WRITE_ID, wasSentBefore } from './s3-answers.ts'
import { S3Writer, type S3WriterParts } from './s3-writer.ts'

export interface S3ObjectStoreInit {
  readonly bucket: string
  /** Put before every key, with a `/`; may be empty. */
  readonly prefix: string
  readonly endpoint?: string
  readonly region?: string
  readonly forcePathStyle: boolean
  /** The HTTP proxy that leads to a URL, with its user and password. */
  readonly proxyFor?: (url: URL) => string | undefined
}

const ATTEMPTS_MAX = 4
/** How often a write that lost a race is tried again before it counts as failed. */
const CONFLICT_ATTEMPTS_MAX = 5
const CONNECT_TIMEOUT_MS = 5_000
const IDLE_TIMEOUT_MS = 30_000
/** For one completion of a multipart upload, during which some stores say nothing. */
const COMPLETE_IDLE_TIMEOUT_MS = 5 * 60_000
/** What S3 gives in one answer. */
const LIST_KEYS_MAX = 1_000
/** Pages that lead to nothing: stores may give empty ones with more behind them, and broken ones would give no others. */
const EMPTY_PAGES_MAX = 1_000
/** For the look at what became of a write. */
const SETTLE_TIMEOUT_MS = 10_000
const PROBES = 'probes/'
/** What a seeder that was killed in its probe has left. */
const PROBE_AGE_MAX_MS = 3_600_000

export class S3ObjectStore implements ObjectStore {
  readonly #init: S3ObjectStoreInit
  readonly #client: S3Client
  readonly #patientClient: S3Client

  constructor(init: S3ObjectStoreInit) {
    this.#init = init
    this.#client = createClient(init, ATTEMPTS_MAX, IDLE_TIMEOUT_MS)
    this.#patientClient = createClient(init, 1, COMPLETE_IDLE_TIMEOUT_MS)
  }

  get description(): string {
    return `s3://${this.#init.bucket}/${this.#init.prefix}`
  }

  /** @throws StorageUnavailableError when the bucket cannot be read · StorageRefusedError · StorageUnconditionalError */
  async start(): Promise<void> {
    const probes = await this.list(PROBES, { keysMax: 100 })
    await this.#probe(probes.keys)
  }

  async stop(): Promise<void> {
    this.#client.destroy()
    this.#patientClient.destroy()
  }

  async stat(key: string, signal?: AbortSignal): Promise<ObjectStat | undefined> {
    return this.#guard(`look at ${key}`, async () => {
      try {
        return toStat(await this.#client.send(new HeadObjectCommand(this.#at(key)), abortable(signal)))
      } catch (error) {
        if (statusOf(error) === 404) return undefined
        throw error
      }
    })
  }

  async read(
    key: string,
    options: { readonly range?: ByteRange; readonly signal?: AbortSignal } = {},
  ): Promise<ObjectRead | undefined> {
    const { range, signal } = options
    // S3 has no empty range.
    if (range !== undefined && range.start >= range.end) {
      const found = await this.stat(key, signal)
      return found && { ...found, body: nothing() }
    }
    return this.#guard(`read ${key}`, async () => {
      try {
        const answer = await this.#client.send(
          new GetObjectCommand({
            ...this.#at(key),
            ...(range !== undefined && { Range: `bytes=${range.start}-${range.end - 1}` }),
          }),
          abortable(signal),
        )
        const total = /\/(\d+)$/.exec(answer.ContentRange ?? '')?.[1]
        const found = toStat({
          ...answer,
          ContentLength: total === undefined ? answer.ContentLength : Number(total),
        })
        const body = answer.Body as Readable
        // An error before anybody reads the body, or when nobody ever does, must not end the process.
        body.on('error', () => {})
        return { ...found, body: this.#body(key, body) }
      } catch (error) {
        if (statusOf(error) === 404 && refusalOf(error) === undefined) return undefined
        if (statusOf(error) === 416) {
          const found = await this.stat(key, signal)
          return found && { ...found, body: nothing() }
        }
        throw error
      }
    })
  }

  async put(key: string, bytes: Uint8Array, precondition?: Precondition): Promise<PutOutcome> {
    let condition = conditionOf(precondition)
    const writeId = randomUUID()
    return this.#guard(`write ${key}`, async () => {
      for (let attempt = 1; ; attempt++) {
        try {
          const answer = await this.#client.send(
            new PutObjectCommand({
              ...this.#at(key),
              ...condition,
              Body: bytes,
              ContentLength: bytes.length,
              Metadata: { [WRITE_ID]: writeId },
            }),
          )
          return { kind: 'stored', etag: answer.ETag ?? '' }
        } catch (error) {
          const status = statusOf(error)
          // The answer to an earlier try may have been lost. Then what is there now is what that try wrote.
          const wasMaybeDone = isUnclear(error) || (status === 412 && (wasSentBefore(error) || attempt > 1))
          const etag = wasMaybeDone ? await this.#writtenAs(key, writeId) : undefined
          if (etag !== undefined) return { kind: 'stored', etag }
          if (status === 412) {
            const bare = await this.#bareTag(key, condition.IfMatch)
            if (bare === undefined) return { kind: 'precondition-failed' }
            condition = { IfMatch: bare }
            continue
          }
          // The object that the tag was of is gone.
          if (status === 404 && precondition !== undefined && refusalOf(error) === undefined)
            return { kind: 'precondition-failed' }
          // Two writers met: S3 asks the loser to look again.
          if (status !== 409 || attempt === CONFLICT_ATTEMPTS_MAX) throw error
        }
      }
    })
  }

  async createWriter(key: string, options?: { readonly lengthBytes?: number }): Promise<ObjectWriter> {
    return new S3Writer(this.writerParts(key), options?.lengthBytes)
  }

  async resumeWriter(key: string, checkpoint: WriterCheckpoint): Promise<ObjectWriter | undefined> {
    // The writer itself sees an upload that is gone; other errors are named by the guard around it.
    return this.#guard(`write ${key}`, () =>
      S3Writer.resume({ ...this.writerParts(key), guard: (work) => work() }, checkpoint),
    )
  }

  async sweepWriters(beforeMs: number): Promise<number> {
    return this.#guard('be swept', async () => {
      const at = { Bucket: this.#init.bucket }
      let count = 0
      let markers = {}
      for (;;) {
        const page = await this.#client.send(
          new ListMultipartUploadsCommand({ ...at, Prefix: this.#root, ...markers }),
        )
        for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
          if (Key === undefined || UploadId === undefined) continue
          if (Initiated === undefined || Initiated.getTime() >= beforeMs) continue
          try {
            await this.#client.send(new AbortMultipartUploadCommand({ ...at, Key, UploadId }))
            count++
          } catch (error) {
            // Somebody else was quicker.
            if (statusOf(error) !== 404) throw error
          }
        }
        const { NextKeyMarker: KeyMarker, NextUploadIdMarker: UploadIdMarker } = page
        if (page.IsTruncated !== true || KeyMarker === undefined) return count
        const next = { KeyMarker, UploadIdMarker }
        // A store that leads in a circle.
        if (JSON.stringify(next) === JSON.stringify(markers)) return count
        markers = next
      }
    })
  }

  async delete(key: string): Promise<void> {
    await this.#guard(`delete ${key}`, async () => {
      try {
        await this.#client.send(new DeleteObjectCommand(this.#at(key)))
      } catch (error) {
        if (!isUnclear(error) || !(await this.#isGone(key))) throw error
      }
    })
  }

  async deleteIf(key: string, etag: string): Promise<boolean> {
    if ((await this.stat(key))?.etag !== etag) return false
    return this.#guard(`delete ${key}`, async () => {
      try {
        await this.#client.send(new DeleteObjectCommand({ ...this.#at(key), IfMatch: etag }))
        return true
      } catch (error) {
        // It was there a moment ago, and the answer to an earlier try may have been lost.
        const wasMaybeDone = isUnclear(error) || wasSentBefore(error)
        if (wasMaybeDone && (await this.#isGone(key))) return true
        if (statusOf(error) === 412 || (statusOf(error) === 404 && refusalOf(error) === undefined))
          return false
        // This server does not know conditional deletes.
        if (statusOf(error) !== 501) throw error
        await this.#client.send(new DeleteObjectCommand(this.#at(key)))
        return true
      }
    })
  }

  async list(prefix: string, options: ListOptions): Promise<ListPage> {
    const root = this.#root
    return this.#guard(`list ${prefix === '' ? 'its keys' : prefix}`, async () => {
      const keys: string[] = []
      const lengths: number[] = []
      const listed = (): ListPage => (options.withLengths === true ? { keys, lengths } : { keys })
      let from: { StartAfter?: string; ContinuationToken?: string } =
        options.after === undefined ? {} : { StartAfter: root + options.after }
      for (let emptyPages = 0; emptyPages < EMPTY_PAGES_MAX; ) {
        const page = await this.#client.send(
          new ListObjectsV2Command({
            Bucket: this.#init.bucket,
            Prefix: root + prefix,
            // One more than asked for tells whether there is a next page.
            MaxKeys: Math.min(LIST_KEYS_MAX, options.keysMax - keys.length + 1),
            ...from,
          }),
        )
        const found = page.Contents ?? []
        if (found.length === 0) emptyPages++
        // Lengths tell what kind a record is. Where a store does not say a length, nothing is concluded from it.
        for (const { Key: key, Size: length = Number.POSITIVE_INFINITY } of found) {
          if (keys.length === options.keysMax) return { ...listed(), next: keys.at(-1) ?? '' }
          if (key === undefined) continue
          keys.push(key.slice(root.length))
          lengths.push(length)
        }
        if (page.IsTruncated !== true) return listed()
        const token = page.NextContinuationToken
        // Where a store gives no token, the last key leads on; without either there is no way on.
        const last = keys.at(-1)
        if (token === undefined && last === undefined) return listed()
        from = token === undefined ? { StartAfter: root + last } : { ContinuationToken: token }
      }
      throw new StorageUnavailableError(
        this.description,
        `name anything in ${EMPTY_PAGES_MAX} pages of a listing`,
      )
    })
  }

  localFile(): undefined {
    return undefined
  }

  async presign(key: string, validSeconds: number): Promise<string> {
    return this.#guard(`sign a URL for ${key}`, () =>
      getSignedUrl(this.#client, new GetObjectCommand(this.#at(key)), { expiresIn: validSeconds }),
    )
  }

  /** Ceph compares tags without their quotation marks: tried again where the quoted tag is the object's own. */
  async #bareTag(key: string, tag: string | undefined): Promise<string | undefined> {
    if (!tag?.startsWith('"') || (await this.stat(key))?.etag !== tag) return undefined
    return tag.slice(1, -1)
  }

  /** The tag of the object under the key if it was written by this write, undefined where it was not or cannot be told. */
  async #writtenAs(key: string, writeId: string): Promise<string | undefined> {
    try {
      const signal = AbortSignal.timeout(SETTLE_TIMEOUT_MS)
      const found = await this.#client.send(new HeadObjectCommand(this.#at(key)), abortable(signal))
      return found.Metadata?.[WRITE_ID] === writeId ? found.ETag : undefined
    } catch {
      return undefined
    }
  }

  async #isGone(key: string): Promise<boolean> {
    try {
      return (await this.stat(key, AbortSignal.timeout(SETTLE_TIMEOUT_MS))) === undefined
    } catch {
      return false
    }
  }

  /**
   * Everything that keeps writers apart goes by conditional writes, and some stores take the headers and ignore them. Seen on an
   * object that nobody else knows. What fails otherwise, in a bucket that is full say, is no finding: it shows by itself.
   */
  async #probe(left: readonly string[]): Promise<void> {
    const nowMs = Date.now()
    const key = `${PROBES}${nowMs}-${randomUUID()}`
    try {
      for (const old of left) {
        const atMs = Number(/^probes\/(\d{13,15})-/.exec(old)?.[1])
        if (atMs < nowMs - PROBE_AGE_MAX_MS) await this.delete(old)
      }
      const first = await this.put(key, Buffer.from('1'), { ifAbsent: true })
      if (first.kind !== 'stored') throw new StorageUnconditionalError(this.description, 'If-None-Match: *')
      const again = await this.put(key, Buffer.from('2'), { ifAbsent: true })
      if (again.kind === 'stored') throw new StorageUnconditionalError(this.description, 'If-None-Match: *')
      const second = await this.put(key, Buffer.from('3'), { ifMatch: first.etag })
      if (second.kind !== 'stored') throw new StorageUnconditionalError(this.description, 'If-Match')
      const outdated = await this.put(key, Buffer.from('4'), { ifMatch: first.etag })
      if (outdated.kind === 'stored') throw new StorageUnconditionalError(this.description, 'If-Match')
    } catch (error) {
      if (error instanceof StorageUnconditionalError) throw error
      // Nobody else knows this object, so nothing but the headers can have been refused: the store does not know them.
      if (error instanceof StorageRefusedError && /^NotImplemented|^status 501/.test(error.refusal))
        throw new StorageUnconditionalError(this.description, 'conditional writes')
    } finally {
      await this.delete(key).catch(() => {})
    }
  }

  /** What a writer of this store needs. */
  writerParts(key: string): S3WriterParts {
    return {
      client: this.#client,
      patientClient: this.#patientClient,
      at: this.#at(key),
      guard: (work) => this.#guard(`write ${key}`, work),
    }
  }

  get #root(): string {
    return this.#init.prefix === '' ? '' : `${this.#init.prefix}/`
  }

  #at(key: string): { Bucket: string; Key: string } {
    checkKey(key)
    return { Bucket: this.#init.bucket, Key: this.#root + key }
  }

  async *#body(key: string, body: Readable): AsyncGenerator<Uint8Array> {
    try {
      yield* body
    } catch (cause) {
      throw new StorageUnavailableError(this.description, `read ${key}`, { cause })
    } finally {
      body.destroy()
    }
  }

  async #guard<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (cause) {
      if (cause instanceof StorageError || (cause instanceof Error && cause.name === 'AbortError'))
        throw cause
      if (isFull(cause)) throw new StorageFullError(this.description, doing, { cause })
      const refusal = refusalOf(cause)
      if (refusal !== undefined) throw new StorageRefusedError(this.description, doing, refusal, { cause })
      throw new StorageUnavailableError(this.description, doing, { cause })
    }
  }
}

/** @param idleTimeoutMs of a connection, while its request waits for an answer */
function createClient(init: S3ObjectStoreInit, maxAttempts: number, idleTimeoutMs: number): S3Client {
  const proxy = init.proxyFor?.(urlOf(init))
  return new S3Client({
    region: init.region ?? process.env.AWS_REGION ?? 'us-east-1',
    forcePathStyle: init.forcePathStyle,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts,
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      socketTimeout: idleTimeoutMs,
      ...(proxy !== undefined && proxyAgents(proxy)),
    },
    ...(init.endpoint !== undefined && { endpoint: init.endpoint }),
  })
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

function conditionOf(precondition: Precondition | undefined): { IfNoneMatch?: string; IfMatch?: string } {
  if (precondition === undefined) return {}
  return 'ifAbsent' in precondition ? { IfNoneMatch: '*' } : { IfMatch: precondition.ifMatch }
}

function abortable(signal: AbortSignal | undefined) {
  return signal === undefined ? {} : { abortSignal: signal }
}

function toStat(answer: {
  ContentLength?: number | undefined
  ETag?: string | undefined
  LastModified?: Date | undefined
}) {
  return {
    length: answer.ContentLength ?? 0,
    etag: answer.ETag ?? '',
    modifiedAtMs: answer.LastModified?.getTime() ?? 0,
  }
}

/** Where requests for the bucket go: all to one host. */
function urlOf({ endpoint, bucket, region, forcePathStyle }: S3ObjectStoreInit): URL {
  const url = new URL(
    endpoint ?? `https://s3.${region ?? process.env.AWS_REGION ?? 'us-east-1'}.amazonaws.com`,
  )
  if (!forcePathStyle) url.hostname = `${bucket}.${url.hostname}`
  return url
}

/**
 * Objects in a bucket. Multipart uploads stream with bounded memory; conditional writes make concurrent seeders safe.
 *
 * Checksums only where S3 demands them: S3-compatible servers differ in what they make of the SDK's default trailers.
 * Entity tags are opaque: those of multipart or encrypted objects are no digest of anything.
 */
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
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { StorageError, StorageUnavailableError } from './errors.ts'
import { checkKey } from './object-key.ts'
import type {
  ByteRange,
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
/** What S3 gives in one answer. */
const LIST_KEYS_MAX = 1_000

export class S3ObjectStore implements ObjectStore {
  readonly #init: S3ObjectStoreInit
  readonly #client: S3Client

  constructor(init: S3ObjectStoreInit) {
    this.#init = init
    const proxy = init.proxyFor?.(urlOf(init))
    this.#client = new S3Client({
      region: init.region ?? process.env.AWS_REGION ?? 'us-east-1',
      forcePathStyle: init.forcePathStyle,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      maxAttempts: ATTEMPTS_MAX,
      requestHandler: {
        connectionTimeout: CONNECT_TIMEOUT_MS,
        socketTimeout: IDLE_TIMEOUT_MS,
        ...(proxy !== undefined && proxyAgents(proxy)),
      },
      ...(init.endpoint !== undefined && { endpoint: init.endpoint }),
    })
  }

  get description(): string {
    return `s3://${this.#init.bucket}/${this.#init.prefix}`
  }

  /** @throws StorageUnavailableError when the bucket cannot be read */
  async start(): Promise<void> {
    await this.list('', { keysMax: 1 })
  }

  async stop(): Promise<void> {
    this.#client.destroy()
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
        // Until somebody reads it, and where nobody ever does, its errors are nobody's.
        body.on('error', () => {})
        return { ...found, body: this.#body(key, body) }
      } catch (error) {
        if (statusOf(error) === 404) return undefined
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
    return this.#guard(`write ${key}`, async () => {
      for (let attempt = 1; ; attempt++) {
        try {
          const answer = await this.#client.send(
            new PutObjectCommand({
              ...this.#at(key),
              ...condition,
              Body: bytes,
              ContentLength: bytes.length,
            }),
          )
          return { kind: 'stored', etag: answer.ETag ?? '' }
        } catch (error) {
          if (statusOf(error) === 412) {
            const bare = await this.#bareTag(key, condition.IfMatch)
            if (bare === undefined) return { kind: 'precondition-failed' }
            condition = { IfMatch: bare }
            continue
          }
          // The object that the tag was of is gone.
          if (statusOf(error) === 404 && precondition !== undefined) return { kind: 'precondition-failed' }
          // Two writers met: S3 asks the loser to look again.
          if (statusOf(error) !== 409 || attempt === CONFLICT_ATTEMPTS_MAX) throw error
        }
      }
    })
  }

  async createWriter(key: string): Promise<ObjectWriter> {
    return new S3Writer(this.#writerParts(key))
  }

  async resumeWriter(key: string, checkpoint: WriterCheckpoint): Promise<ObjectWriter | undefined> {
    // What is missing is seen by the writer; anything else has its name by then.
    return this.#guard(`write ${key}`, () =>
      S3Writer.resume({ ...this.#writerParts(key), guard: (work) => work() }, checkpoint),
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
          await this.#client.send(new AbortMultipartUploadCommand({ ...at, Key, UploadId }))
          count++
        }
        if (page.IsTruncated !== true) return count
        markers = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker }
      }
    })
  }

  async delete(key: string): Promise<void> {
    await this.#guard(`delete ${key}`, () => this.#client.send(new DeleteObjectCommand(this.#at(key))))
  }

  async deleteIf(key: string, etag: string): Promise<boolean> {
    if ((await this.stat(key))?.etag !== etag) return false
    return this.#guard(`delete ${key}`, async () => {
      try {
        await this.#client.send(new DeleteObjectCommand({ ...this.#at(key), IfMatch: etag }))
        return true
      } catch (error) {
        if (statusOf(error) === 412 || statusOf(error) === 404) return false
        // A server that has never heard of it.
        if (statusOf(error) !== 501) throw error
        await this.#client.send(new DeleteObjectCommand(this.#at(key)))
        return true
      }
    })
  }

  async list(
    prefix: string,
    options: { readonly after?: string; readonly keysMax: number },
  ): Promise<ListPage> {
    const root = this.#root
    return this.#guard(`list ${prefix === '' ? 'its keys' : prefix}`, async () => {
      const keys: string[] = []
      let after = options.after
      for (;;) {
        const page = await this.#client.send(
          new ListObjectsV2Command({
            Bucket: this.#init.bucket,
            Prefix: root + prefix,
            // One more than asked for tells whether there is a next page.
            MaxKeys: Math.min(LIST_KEYS_MAX, options.keysMax - keys.length + 1),
            ...(after !== undefined && { StartAfter: root + after }),
          }),
        )
        for (const { Key: key } of page.Contents ?? []) {
          if (keys.length === options.keysMax) return { keys, next: keys.at(-1) ?? '' }
          if (key !== undefined) keys.push(key.slice(root.length))
        }
        if (page.IsTruncated !== true) return { keys }
        after = keys.at(-1)
      }
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

  #writerParts(key: string): S3WriterParts {
    return {
      client: this.#client,
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
      throw new StorageUnavailableError(this.description, doing, { cause })
    }
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

function conditionOf(precondition: Precondition | undefined): { IfNoneMatch?: string; IfMatch?: string } {
  if (precondition === undefined) return {}
  return 'ifAbsent' in precondition ? { IfNoneMatch: '*' } : { IfMatch: precondition.ifMatch }
}

function abortable(signal: AbortSignal | undefined) {
  return signal === undefined ? {} : { abortSignal: signal }
}

function statusOf(error: unknown): number | undefined {
  return error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined
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

/**
 * What an agent tells other agents over HTTP on its peer port while the seeder is away: resolutions from its own records.
 * It repeats nothing that is secret (no presigned URLs) and claims nothing: manifests and blobs prove themselves by
 * digest, tags and metainfo by the seeder's signature.
 */
import type { Socket } from 'node:net'
import { encodeInfo, type PeerAddress, reachableHost, tryParseDigest } from '@shoal/core'
import { FairPlaces } from '@shoal/engine'
import { blobsOf, isRepositoryName, isTag, type Manifest } from '@shoal/oci'
import { readManifest, schemaController } from '@shoal/service'
import type { PieceStore, StoredBlob } from '@shoal/storage'
import {
  CONTACT_ANSWER_BYTES_MAX,
  encodeResolution,
  RESOLUTION_MEDIA_TYPE,
  RESOLVE_PATH,
  type Resolution,
  type ResolvedBlob,
  type SignedTag,
} from '@shoal/wire'
import fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import type { Logger } from 'pino'
import type { ImageRecords } from './image-records.ts'

/** For a request, for its answer, and between two requests. */
const REQUEST_TIMEOUT_MS = 10_000
const KEEP_ALIVE_TIMEOUT_MS = 5_000
/** Connections, of all agents and of one host. */
const SOCKETS = { placesMax: 64, placesPerAddressMax: 32 }
/** Of an answer, and of each blob in it, beside manifests and metainfo: names, one peer, a signature, a tag. */
const FRAME_BYTES = 4_096
const BLOB_FRAME_BYTES = 1_024

export class PeerApi {
  readonly #records: ImageRecords
  readonly #store: PieceStore
  readonly #http: FastifyInstance
  readonly #sockets = new Set<Socket>()
  /** Who asks nothing gives way to who comes. */
  readonly #places = new FairPlaces<Socket>(SOCKETS)
  #self: PeerAddress | undefined
  readonly #deadlines = new WeakMap<Socket, NodeJS.Timeout>()

  constructor(parts: { records: ImageRecords; store: PieceStore; log: Logger }) {
    this.#records = parts.records
    this.#store = parts.store
    this.#http = fastify({
      loggerInstance: parts.log as FastifyBaseLogger,
      logController: new LogController({ disableRequestLogging: true }),
      // The server that fastify makes never listens: sockets are handed to it. (To import `node:http` for one of our own
      // would load Node's own WebSocket and fetch with it, 8 MB.)
      schemaController,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    })
    this.#http.addHook('onRequest', async ({ raw: { socket } }) => {
      this.#places.use(socket)
      this.#deadlines.get(socket)?.refresh()
    })
    this.#http.addHook('onResponse', async ({ raw: { socket } }) => {
      this.#places.rest(socket)
      this.#deadlines.get(socket)?.refresh()
    })
    this.#http.get(RESOLVE_PATH, async (request, reply) => {
      const resolution = await this.#resolve(new URL(request.url, 'http://agent').searchParams)
      if (resolution === undefined) return reply.code(404).send()
      // Bound to every address: the one that was dialled is the one that works for who dialled it.
      const { answer, stored } = resolution
      const blobs = this.#blobs(stored, bytesLeft(answer.manifests), request.raw.socket.localAddress)
      return reply.type(RESOLUTION_MEDIA_TYPE).send(encodeResolution({ ...answer, blobs }))
    })
  }

  async start(): Promise<void> {
    await this.#http.ready()
  }

  /** How other agents reach this one's engine is known: answers say it from now on. */
  reachedAt(self: PeerAddress): void {
    this.#self = self
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await this.#http.close()
  }

  /** Takes a connection from the peer port. */
  accept(socket: Socket): void {
    const place = this.#places.take(socket.remoteAddress ?? '', socket)
    if (place.kind === 'refused') {
      socket.destroy()
      return
    }
    place.displaced?.destroy()
    this.#sockets.add(socket)
    // Node keeps a server's time limits only while the server listens, which this one never does.
    const deadline = setTimeout(() => socket.destroy(), REQUEST_TIMEOUT_MS)
    this.#deadlines.set(socket, deadline)
    socket.once('close', () => {
      clearTimeout(deadline)
      this.#sockets.delete(socket)
      this.#places.free(socket)
    })
    this.#http.server.emit('connection', socket)
  }

  async #resolve(
    question: URLSearchParams,
  ): Promise<{ answer: Omit<Resolution, 'blobs'>; stored: readonly StoredBlob[] } | undefined> {
    const repository = question.get('repository') ?? ''
    if (!isRepositoryName(repository)) return undefined
    const blob = tryParseDigest(question.get('blob') ?? '')
    if (blob !== undefined) {
      const stored = this.#store.get(blob)
      return stored === undefined ? undefined : { answer: { manifests: [] }, stored: [stored] }
    }
    const reference = question.get('reference') ?? ''
    let tag: SignedTag | undefined
    let digest = tryParseDigest(reference)
    if (digest === undefined && isTag(reference)) {
      tag = await this.#records.tag(repository, reference)
      digest = tag?.record.digest
    }
    const manifest = digest === undefined ? undefined : await this.#records.manifest(repository, digest)
    if (manifest === undefined) return undefined
    return {
      answer: { ...(tag !== undefined && { tag }), manifests: [manifest] },
      stored: this.#storedOf(manifest),
    }
  }

  #storedOf(manifest: Manifest): StoredBlob[] {
    const image = readManifest(manifest.bytes, manifest.mediaType)
    return blobsOf(image).flatMap(({ digest }) => this.#store.get(digest) ?? [])
  }

  /** As many as the answer has room for: the others can be asked for one by one. */
  #blobs(stored: readonly StoredBlob[], bytesMax: number, dialledHost: string | undefined): ResolvedBlob[] {
    const self = this.#self
    const peers = self === undefined ? [] : [{ ...self, host: reachableHost(self.host, dialledHost) }]
    const blobs: ResolvedBlob[] = []
    let room = bytesMax
    for (const { metainfo, signature, isComplete, have } of stored) {
      // Of what an earlier version was told by anybody, nothing is passed on.
      if (signature === undefined && !isComplete) continue
      const info = encodeInfo(metainfo)
      room -= info.length + BLOB_FRAME_BYTES
      if (room < 0) break
      const isPart = !isComplete && !have.isFull
      blobs.push({ info, peers, ...(signature !== undefined && { signature }), ...(isPart && { isPart }) })
    }
    return blobs
  }
}

/** What is left of an answer beside its manifests, and what frames them. */
function bytesLeft(manifests: Resolution['manifests']): number {
  return manifests.reduce((room, { bytes }) => room - bytes.length, CONTACT_ANSWER_BYTES_MAX - FRAME_BYTES)
}

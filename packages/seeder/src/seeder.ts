/**
 * The seeder service, wired together: this file reads like the architecture drawing.
 *
 *   docker push ──HTTP──▶ registry ──▶ images ──▶ origin (folder, S3)
 *                            ▲            ▲          │ once
 *   agents ──resolve─────────┼─▶ resolver ┘          ▼
 *     │    ──announce stream─┴─▶ tracker ──▶ seeding ──▶ the seeder's copy
 *     └──BitTorrent────────────────────────────▶ swarm engine
 */
import { randomBytes, randomInt, randomUUID } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { assert, createPrng, encodeTorrent, formatHostPort, parseHostPort, tryParseDigest } from '@shoal/core'
import { createHttpServer, ImageStore, registryPlugin } from '@shoal/registry'
import { FilePieceStore, MeteredObjectStore, openObjectStore, parseOrigin } from '@shoal/storage'
import { createEngine, swarmLimitsOf } from '@shoal/swarm'
import { Tracker } from '@shoal/tracker'
import { encodeResolution, RESOLUTION_MEDIA_TYPE, RESOLVE_PATH } from '@shoal/wire'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import Type from 'typebox'
import { createMetrics } from './metrics.ts'
import { type Question, Resolver } from './resolver.ts'
import { Seeding } from './seeding.ts'
import type { SeederSettings } from './settings.ts'
import { TagSigner } from './tag-signer.ts'

const nowMs = () => Date.now()

export class Seeder {
  readonly #settings: SeederSettings
  readonly #log: Logger
  #running: Running | undefined

  constructor(parts: { settings: SeederSettings; log: Logger }) {
    this.#settings = parts.settings
    this.#log = parts.log
  }

  get url(): string {
    assert(this.#running !== undefined, 'the seeder is started')
    return `http://${formatHostPort(this.#running.listen)}`
  }

  /** Where peers connect, `host:port`. */
  get peerAddress(): string {
    assert(this.#running !== undefined, 'the seeder is started')
    return formatHostPort(this.#running.peerListen)
  }

  /** @throws OriginInvalidError · PeerListenError · StorageError, and what the system says of the address */
  async start(): Promise<void> {
    this.#running = await run(this.#settings, this.#log)
  }

  async stop(): Promise<void> {
    const running = this.#running
    this.#running = undefined
    await running?.stop()
  }
}

interface Running {
  readonly listen: { host: string; port: number }
  readonly peerListen: { host: string; port: number }
  stop(): Promise<void>
}

async function run(settings: SeederSettings, log: Logger): Promise<Running> {
  const listen = parseHostPort(settings.listen)
  const peerListen = parseHostPort(settings.peerListen)
  assert(listen !== undefined && peerListen !== undefined, 'addresses were checked with the settings')
  const peerId = Buffer.concat([Buffer.from('-SS0100-'), randomBytes(12)]).toString('hex')
  const prng = createPrng(randomInt(2 ** 32))
  const undo: (() => Promise<unknown>)[] = []
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step()
  }

  try {
    const metrics = createMetrics({
      agents: () => tracker.agentCount,
      swarms: () => tracker.swarmCount,
      uploads: () => images.uploadCount,
    })
    const objects = new MeteredObjectStore(await openObjectStore(parseOrigin(settings.origin)), {
      onRequest: (operation) => metrics.originRequests.inc({ operation }),
      onReadBytes: (bytes) => metrics.originReadBytes.inc(bytes),
      onWrittenBytes: (bytes) => metrics.originWrittenBytes.inc(bytes),
    })
    await objects.start()
    undo.push(() => objects.stop())
    const copies = new FilePieceStore({ folder: join(settings.data, 'pieces') })
    await copies.start()
    undo.push(() => copies.stop())
    const signer = await TagSigner.open(objects)

    const images: ImageStore = new ImageStore({
      objects,
      log: log.child({ component: 'images' }),
      nowMs,
      newId: randomUUID,
      readBlob: async function* ({ digest }, range, signal) {
        for await (const chunk of seeding.read(digest, range, signal)) {
          metrics.servedBytes.inc(chunk.length)
          yield chunk
        }
      },
      onBlobStored: () => metrics.pushedBlobs.inc(),
    })
    await images.start()
    undo.push(() => images.stop())

    const engine = await createEngine(settings.engine, {
      ...peerListen,
      peerId,
      prng,
      isSource: true,
      limits: swarmLimitsOf(settings),
    })
    await engine.start()
    undo.push(() => engine.stop())
    const seeding = new Seeding(
      {
        objects,
        images,
        copies,
        engine,
        log: log.child({ component: 'seeding' }),
        nowMs,
        onSent: (bytes) => metrics.sentBytes.inc(bytes),
      },
      { dataMaxBytes: settings.dataMaxBytes },
    )

    const tracker: Tracker = new Tracker({
      log: log.child({ component: 'tracker' }),
      nowMs,
      prng,
      seeder: { peerId, ...engine.address, role: 'seeder' },
      signingKey: signer.publicKey,
      isKnown: async (infoHash) => (await images.digestOfInfoHash(infoHash)) !== undefined,
    })
    const report = (doing: Promise<void>) =>
      doing.catch((error) => log.error({ event: 'seeding-failed', err: error }, 'seeding failed'))
    tracker.on('swarm-began', (infoHash) => report(seeding.seed(infoHash)))
    tracker.on('swarm-ended', (infoHash) => report(seeding.rest(infoHash)))

    const server = createHttpServer(log.child({ component: 'http' }))
    await server.register(registryPlugin, { backend: images })
    tracker.register(server)
    serveResolutions(server, new Resolver({ images, objects, seeding, tracker, signer, nowMs }))
    serveTorrents(server, images)
    server.get('/metrics', async (_request, reply) =>
      reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
    )
    await server.listen(listen)
    undo.push(() => server.close())
    const [address] = server.addresses() as AddressInfo[]
    return { listen: { host: listen.host, port: address!.port }, peerListen: engine.address, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

const Query = Type.Object({
  repository: Type.String({ maxLength: 255 }),
  reference: Type.Optional(Type.String({ maxLength: 256 })),
  blob: Type.Optional(Type.String({ maxLength: 256 })),
  platform: Type.Optional(Type.String({ maxLength: 64, pattern: '^[a-z0-9/._-]*$' })),
  peerId: Type.Optional(Type.String({ pattern: '^([0-9a-f]{40})?$' })),
})

function serveResolutions(server: FastifyInstance, resolver: Resolver): void {
  server.get<{ Querystring: Question }>(
    RESOLVE_PATH,
    { schema: { querystring: Query } },
    async (request, reply) => {
      const { peerId, ...question } = request.query
      const resolution = await resolver.resolve(peerId ? { ...question, peerId } : question)
      if (resolution === undefined) return reply.code(404).send()
      return reply.type(RESOLUTION_MEDIA_TYPE).send(encodeResolution(resolution))
    },
  )
}

/** The `.torrent` of a blob, for standard clients, with this seeder as its tracker. */
function serveTorrents(server: FastifyInstance, images: ImageStore): void {
  server.get<{ Params: { digest: string } }>('/api/v1/torrents/:digest', async (request, reply) => {
    const digest = tryParseDigest(request.params.digest.replace(/\.torrent$/, ''))
    const blob = digest && (await images.metainfo(digest))
    if (blob === undefined) return reply.code(404).send()
    const announceUrl = `${request.protocol}://${request.host}/announce`
    return reply.type('application/x-bittorrent').send(Buffer.from(encodeTorrent(blob.metainfo, announceUrl)))
  })
}

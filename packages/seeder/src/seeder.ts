/**
 * The seeder service, wired together: this file reads like the architecture drawing.
 *
 *   docker push ──HTTP──▶ registry ──▶ mirror ──▶ images ──▶ origin (folder, S3)
 *                            ▲           ▲ └─▶ fetches ──▶ other registries
 *   agents ──resolve─────────┼─▶ resolver┘                   ▲
 *     │    ──announce stream─┴─▶ tracker ──▶ seeding ──▶ the seeder's copy
 *     └──BitTorrent────────────────────────────▶ swarm engine
 *   CI, other registries ──HTTP──▶ control, events ──▶ queue ──▶ publisher ──▶ fetches
 */
import { randomBytes, randomInt, randomUUID } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join, resolve } from 'node:path'
import {
  assert,
  createPrng,
  encodeTorrent,
  formatHostPort,
  isWildcard,
  mayDialFrom,
  parseHostPort,
  tryParseDigest,
} from '@shoal/core'
import { OciError, parseHostList, parseRealmHosts, parseUpstreamList, parseWatchList } from '@shoal/oci'
import { ImageStore, registryPlugin, registryRouting } from '@shoal/registry'
import { Credentials } from '@shoal/registry-client'
import { type CutRequest, createHttpServer, cutRequestUnderWay, logProxies, proxiesOf } from '@shoal/service'
import {
  FilePieceStore,
  foldersOpenToOthers,
  lockFolder,
  MeteredObjectStore,
  openObjectStore,
  parseOrigin,
} from '@shoal/storage'
import { createEngine, dialPeer, swarmLimitsOf } from '@shoal/swarm'
import { remoteHostOf, Tracker } from '@shoal/tracker'
import {
  encodeResolution,
  RESOLUTION_MEDIA_TYPE,
  RESOLVE_PATH,
  STREAM_SECRET_HEADER,
  UNSERVED_REGISTRY_HEADER,
  UPSTREAM_PROBLEM_STATUS,
} from '@shoal/wire'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import Type from 'typebox'
import { ArrivingBlobs } from './arriving/arriving-blobs.ts'
import { controlApi } from './control/control-api.ts'
import { eventsApi } from './control/events-api.ts'
import { SecretFile } from './control/secret-file.ts'
import { GarbageSchedule } from './garbage-schedule.ts'
import { createMetrics } from './metrics.ts'
import { BlobFetches } from './mirror/blob-fetches.ts'
import { Mirror } from './mirror/mirror.ts'
import { isUnusable } from './mirror/mirrored-manifests.ts'
import { Upstreams } from './mirror/upstreams.ts'
import { expectOrigin, markOrigin } from './origin-marker.ts'
import { OriginWatch } from './origin-watch.ts'
import { namesByListening } from './own-names.ts'
import { PublishQueue } from './publishing/publish-queue.ts'
import { Publisher } from './publishing/publisher.ts'
import { PushWarming } from './publishing/push-warming.ts'
import { parseWarmRules } from './publishing/warm-rules.ts'
import { Warming } from './publishing/warming.ts'
import { type Question, Resolver } from './resolver.ts'
import { ScrubSchedule } from './scrub-schedule.ts'
import { Seeding } from './seeding.ts'
import type { SeederSettings } from './settings.ts'
import { Signer } from './signer.ts'

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

  /** An error came up that nobody handled: it is counted, and the request that it belongs to, if any, is cut. */
  onUncaughtError(): CutRequest | undefined {
    this.#running?.onUncaughtError()
    return cutRequestUnderWay()
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
  onUncaughtError(): void
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
      arrivals: () => fetches.count,
      isOriginUp: () => watch.problem === undefined,
    })
    const proxies = proxiesOf(process.env)
    logProxies(proxies, log)
    const origin = parseOrigin(settings.origin)
    const store = await openObjectStore(origin, proxies)
    const own = async (folder: string) => {
      const lock = await lockFolder(folder, 'seeder')
      undo.push(() => lock.release())
      if (lock.problem !== undefined)
        log.warn(
          { event: 'folder-not-locked', folder, problem: lock.problem },
          'nothing keeps another process out of a folder',
        )
    }
    const folders = [settings.data, ...(origin.kind === 'filesystem' ? [origin.folder] : [])]
    await own(settings.data)
    // Looked at before anything is made in its place.
    await expectOrigin(store, settings.data)
    if (origin.kind === 'filesystem' && resolve(origin.folder) !== resolve(settings.data))
      await own(origin.folder)
    const watch = new OriginWatch({ objects: store, log: log.child({ component: 'origin' }) })
    const objects = new MeteredObjectStore(store, {
      onMissing: (key) => watch.confirmMissing(key),
      onWriting: (key) => watch.mayWrite(key),
      onWritten: (error) => watch.wrote(error),
      onRequest: (operation) => metrics.originRequests.inc({ operation }),
      onReadBytes: (bytes) => metrics.originReadBytes.inc(bytes),
      onWrittenBytes: (bytes) => metrics.originWrittenBytes.inc(bytes),
    })
    await objects.start()
    undo.push(() => objects.stop())
    const { id, isFresh } = await markOrigin(objects, settings.data, { log, nowMs })
    watch.start(id)
    undo.push(async () => watch.stop())
    const copies = new FilePieceStore({ folder: join(settings.data, 'pieces') })
    await copies.start()
    undo.push(() => copies.stop())
    for (const open of await foldersOpenToOthers(folders))
      log.warn({ event: 'folder-open-to-others', ...open }, 'others on this machine can look into a folder')
    const signer = await Signer.open(objects)

    const images: ImageStore = new ImageStore(
      {
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
        onBlobStored: (_stat, { infoHash }) => {
          metrics.pushedBlobs.inc()
          tracker.appeared(infoHash)
        },
        onBlobDamaged: () => metrics.damagedBlobs.inc(),
        onBlobReplaced: (digest) => void report(seeding.forget(digest)),
        watchUpload: (repository, digest, length) => pushWarming.watch(repository, digest, length),
        onManifestStored: (repository, reference, digest) =>
          pushWarming.pushed(repository, reference, digest),
      },
      { graceMs: settings.gcGraceMs },
    )
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
        onCopyFailed: () => metrics.copyFailures.inc(),
      },
      { dataMaxBytes: settings.dataMaxBytes },
    )

    // The seeder dials only agents that ask for it, at the address that their stream comes from, this machine included.
    const homes = [listen.host, peerListen.host, ...(isWildcard(listen.host) ? ['127.0.0.1'] : [])]
    const mayDial = mayDialFrom(homes, () => [engine.address])
    const tracker: Tracker = new Tracker({
      log: log.child({ component: 'tracker' }),
      nowMs,
      prng,
      seeder: { peerId, ...engine.address, role: 'seeder' },
      signingKey: signer.publicKey,
      isKnown: async (infoHash) =>
        arriving.has(infoHash) || (await images.digestOfInfoHash(infoHash)) !== undefined,
      onUnknown: () => {
        metrics.unknownSwarms.inc()
        if (isFresh) warnOfFreshOrigin()
      },
      seed: (infoHash) => seed(infoHash),
      dialPeer: (peer) => dialPeer(peer, peerId, mayDial),
    })
    let isWarned = false
    const warnOfFreshOrigin = () => {
      if (isWarned) return
      isWarned = true
      log.warn(
        { event: 'origin-fresh-beside-agents', origin: store.description },
        'agents have images, and the origin was made at this start: is it the right one?',
      )
    }
    const report = (doing: Promise<void>) =>
      doing.catch((error) => log.error({ event: 'seeding-failed', err: error }, 'seeding failed'))
    const arriving: ArrivingBlobs = new ArrivingBlobs(
      {
        engine,
        tracker,
        log: log.child({ component: 'arriving' }),
        onSent: (bytes) => metrics.sentBytes.inc(bytes),
      },
      { folder: join(settings.data, 'arriving') },
    )
    await arriving.start()
    undo.push(() => arriving.stop())
    const pushWarming = new PushWarming({ tracker, arriving }, { rules: parseWarmRules(settings.warmPushes) })
    // Joining begins in the same turn, so that a swarm that ends at once is left again.
    const seed = async (infoHash: string) => {
      await (arriving.has(infoHash) ? arriving.seed(infoHash) : seeding.seed(infoHash))
    }
    tracker.on('swarm-began', (infoHash) => report(seed(infoHash)))
    tracker.on('swarm-ended', (infoHash) => report(seeding.rest(infoHash)))

    // The names are added when it is known where the seeder listens. A name of an upstream stays that registry's.
    const ownHosts = [...parseHostList(settings.hosts)]
    const takeNames = (port: number) => {
      const interfaces = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
      for (const name of namesByListening({ host: listen.host, port }, interfaces))
        if (!ownHosts.includes(name) && upstreams.client(name) === undefined) ownHosts.push(name)
    }
    const credentials = new Credentials({
      environment: process.env,
      ...(settings.dockerConfig !== '' && { dockerConfigFile: settings.dockerConfig }),
      pullSecretFiles: settings.pullSecrets.split(',').filter((path) => path !== ''),
    })
    const upstreamLog = log.child({ component: 'upstreams' })
    const upstreams = new Upstreams(
      { credentials, nowMs, log: upstreamLog, proxies },
      { entries: parseUpstreamList(settings.upstreams), realmHosts: parseRealmHosts(settings.realmHosts) },
    )
    undo.push(() => upstreams.stop())
    const fetches = new BlobFetches({
      images,
      log: upstreamLog,
      nowMs,
      onReceived: (bytes) => metrics.upstreamReceivedBytes.inc(bytes),
      arriving,
    })
    undo.push(() => fetches.stop())
    const mirror = new Mirror(
      {
        images,
        upstreams,
        fetches,
        arriving,
        log: upstreamLog,
        nowMs,
        onFailed: (code) => metrics.upstreamFailures.inc({ code }),
      },
      {
        ownHosts,
        defaultUpstream: parseHostList(settings.defaultUpstream)[0],
        tagTtlMs: settings.upstreamTagTtlMs,
      },
    )
    const publishLog = log.child({ component: 'publishing' })
    const warming = new Warming({ tracker, images, log: publishLog })
    const publisher = new Publisher(
      { images, upstreams, fetches, warming, log: publishLog, nowMs },
      { ownHosts },
    )
    const queue = new PublishQueue(
      { objects, publisher, upstreams, log: publishLog, nowMs },
      { ownHosts, watched: parseWatchList(settings.watch), watchIntervalMs: settings.watchIntervalMs },
    )
    queue.start()
    undo.push(() => queue.stop())
    const garbage = new GarbageSchedule(
      {
        images,
        log: log.child({ component: 'garbage' }),
        onRemoved: (bytes) => metrics.garbageBytes.inc(bytes),
      },
      { intervalMs: settings.gcIntervalMs },
    )
    garbage.start()
    undo.push(() => garbage.stop())
    if (origin.kind === 'filesystem') {
      const scrubbing = new ScrubSchedule({
        images,
        log: log.child({ component: 'scrub' }),
        random: Math.random,
      })
      scrubbing.start()
      undo.push(() => scrubbing.stop())
    }

    const readiness = () => ({
      problems: [watch.problem].filter(isSaid),
      warnings: [watch.writeProblem, seeding.copyProblem].filter(isSaid),
    })
    const server = createHttpServer(log.child({ component: 'http' }), {
      service: 'seeder',
      routing: registryRouting,
      readiness,
    })
    await server.register(registryPlugin, { backend: mirror, allowDelete: settings.allowDelete })
    tracker.register(server)
    serveResolutions(
      server,
      new Resolver({ images, mirror, arriving, objects, seeding, tracker, signer, nowMs }),
      tracker,
    )
    await controlApi(server, {
      images,
      publisher,
      enqueue: (wish) => queue.enqueue(wish),
      token: new SecretFile(settings.apiTokenFile),
      log: publishLog,
    })
    await eventsApi(server, {
      queue: queue.events,
      secrets: new SecretFile(settings.eventSecretsFile),
      log: publishLog,
      nowMs,
      onEvents: (format, outcome, count) => metrics.events.inc({ format, outcome }, count),
    })
    serveTorrents(server, images)
    server.get('/metrics', async (_request, reply) =>
      reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
    )
    await server.listen(listen)
    undo.push(() => server.close())
    const [address] = server.addresses() as AddressInfo[]
    takeNames(address!.port)
    return {
      listen: { host: listen.host, port: address!.port },
      peerListen: engine.address,
      onUncaughtError: () => metrics.uncaughtErrors.inc(),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

function isSaid(text: string | undefined): text is string {
  return text !== undefined
}

const Query = Type.Object({
  repository: Type.String({ maxLength: 255 }),
  reference: Type.Optional(Type.String({ maxLength: 256 })),
  blob: Type.Optional(Type.String({ maxLength: 256 })),
  platform: Type.Optional(Type.String({ maxLength: 64, pattern: '^[a-z0-9/._-]*$' })),
  peerId: Type.Optional(Type.String({ pattern: '^([0-9a-f]{40})?$' })),
  wait: Type.Optional(Type.Boolean()),
  later: Type.Optional(Type.Boolean()),
})

function serveResolutions(server: FastifyInstance, resolver: Resolver, tracker: Tracker): void {
  server.get<{ Querystring: Question }>(
    RESOLVE_PATH,
    { schema: { querystring: Query } },
    async (request, reply) => {
      const { peerId, ...question } = request.query
      const streamSecret = request.headers[STREAM_SECRET_HEADER]?.toString()
      const isProven =
        !!peerId && tracker.isFrom(peerId, { streamSecret, remoteHost: remoteHostOf(request.raw) })
      const asked = resolver.resolve(peerId ? { ...question, peerId, isProven } : question)
      const resolution = await asked.catch((error: unknown) => {
        if (!(error instanceof OciError)) throw error
        return error
      })
      if (resolution === undefined) {
        const { repository, reference } = question
        const unserved = reference === undefined ? undefined : await resolver.unservedRegistry(repository)
        if (unserved !== undefined) reply.header(UNSERVED_REGISTRY_HEADER, unserved)
        return reply.code(404).send()
      }
      // Whoever asked the other registry has logged it. Other agents may have the image, so this is not a plain 404.
      if (resolution instanceof OciError) {
        if (isUnusable(resolution)) return reply.code(404).send()
        return reply.code(UPSTREAM_PROBLEM_STATUS).send(resolution.body())
      }
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

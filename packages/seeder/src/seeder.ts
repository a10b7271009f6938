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
import { networkInterfaces } from 'node:os'
import { join, resolve } from 'node:path'
import {
  assert,
  createPrng,
  type Digest,
  type HostPort,
  type InfoHash,
  isWildcard,
  mayDialFrom,
  parseHostPort,
} from '@shoal/core'
import { parseHostList, parseRealmHosts, parseUpstreamList, parseWatchList } from '@shoal/oci'
import { ImageStore, registryPlugin, registryRouting } from '@shoal/registry'
import { Credentials } from '@shoal/registry-client'
import {
  createHttpServer,
  listenOn,
  logProxies,
  ownFolder,
  type Proxies,
  proxiesOf,
  type Running,
  Service,
  systemClock,
  warnOfOpenFolders,
} from '@shoal/service'
import {
  type ByteRange,
  FilePieceStore,
  MeteredObjectStore,
  openObjectStore,
  parseOrigin,
} from '@shoal/storage'
import { createEngine, dialPeer, swarmLimitsOf } from '@shoal/swarm'
import { Tracker } from '@shoal/tracker'
import type { Logger } from 'pino'
import { ArrivingBlobs } from './arriving/arriving-blobs.ts'
import { controlApi } from './control/control-api.ts'
import { eventsApi } from './control/events-api.ts'
import { SecretFile } from './control/secret-file.ts'
import { GarbageSchedule } from './garbage-schedule.ts'
import { createMetrics, type SeederMetrics } from './metrics.ts'
import { BlobFetches } from './mirror/blob-fetches.ts'
import { Mirror } from './mirror/mirror.ts'
import { Upstreams } from './mirror/upstreams.ts'
import { expectOrigin, markOrigin } from './origin-marker.ts'
import { OriginWatch } from './origin-watch.ts'
import { namesByListening } from './own-names.ts'
import { NodeWarmer } from './publishing/node-warmer.ts'
import { PublishQueue } from './publishing/publish-queue.ts'
import { Publisher } from './publishing/publisher.ts'
import { PushWarmer } from './publishing/push-warmer.ts'
import { parseWarmRules } from './publishing/warm-rules.ts'
import { resolveApi } from './resolve-api.ts'
import { Resolver } from './resolver.ts'
import { ScrubSchedule } from './scrub-schedule.ts'
import { SeededBlobs } from './seeded-blobs.ts'
import type { SeederSettings } from './settings.ts'
import { Signer } from './signer.ts'
import { torrentApi } from './torrent-api.ts'

export class Seeder extends Service {
  constructor({ settings, log }: { settings: SeederSettings; log: Logger }) {
    super({ log, begin: (begun) => begin({ settings, log, begun }) })
  }
}

/** What every builder goes by. */
interface Shared {
  readonly settings: SeederSettings
  readonly log: Logger
  /** Takes how each part ends, once it has begun. */
  readonly begun: AsyncDisposableStack
  readonly metrics: SeederMetrics
  readonly proxies: Proxies
  readonly listen: HostPort
  readonly peerListen: HostPort
  /** Names of the seeder's own. More are added when it is known where it listens. */
  readonly ownHosts: string[]
}

const { nowMs } = systemClock

/** @throws OriginInvalidError · PeerListenError · StorageError, and what the system says of the address */
async function begin(init: Pick<Shared, 'settings' | 'log' | 'begun'>): Promise<Running> {
  const { settings, log } = init
  const listen = parseHostPort(settings.listen)
  const peerListen = parseHostPort(settings.peerListen)
  assert(listen !== undefined && peerListen !== undefined, 'addresses were checked with the settings')
  const metrics = createMetrics()
  const proxies = proxiesOf(process.env)
  logProxies(proxies, log)
  const ownHosts = [...parseHostList(settings.hosts)]
  const shared = { ...init, metrics, proxies, listen, peerListen, ownHosts }

  const origin = await openOrigin(shared)
  const swarms = await seedImages(shared, origin)
  const mirrored = mirrorOthers(shared, swarms)
  const publishing = publish(shared, origin, swarms, mirrored)
  keepInOrder(shared, origin, swarms)
  metrics.show({
    agents: () => swarms.tracker.agentCount,
    swarms: () => swarms.tracker.swarmCount,
    uploads: () => swarms.images.uploadCount,
    arrivals: () => mirrored.fetches.count,
    isOriginUp: () => origin.watch.problem === undefined,
  })
  const at = await serve(shared, origin, swarms, mirrored, publishing)
  takeNames(shared, at, mirrored.upstreams)
  return {
    listen: at,
    peerListen: swarms.engine.address,
    onUncaughtError: () => metrics.uncaughtErrors.inc(),
  }
}

type Origin = Awaited<ReturnType<typeof openOrigin>>
type Swarms = Awaited<ReturnType<typeof seedImages>>
type Mirrored = ReturnType<typeof mirrorOthers>
type Publishing = ReturnType<typeof publish>

/** The origin, looked at for as long as the seeder runs, and the copies of what it is read for. */
async function openOrigin({ settings, log, begun, metrics, proxies }: Shared) {
  const at = parseOrigin(settings.origin)
  const isFolder = at.kind === 'filesystem'
  const store = await openObjectStore(at, proxies)
  await ownFolder(settings.data, 'seeder', { begun, log })
  // Looked at before anything is made in its place.
  await expectOrigin(store, settings.data)
  const hasOwnFolder = isFolder && resolve(at.folder) !== resolve(settings.data)
  if (hasOwnFolder) await ownFolder(at.folder, 'seeder', { begun, log })
  const watch = new OriginWatch({ objects: store, log: log.child({ component: 'origin' }) })
  const objects = new MeteredObjectStore(store, {
    onMissing: (key) => watch.confirmMissing(key),
    onWriting: (key) => watch.expectWritable(key),
    onWritten: (error) => watch.wrote(error),
    onRequest: (operation) => metrics.originRequests.inc({ operation }),
    onReadBytes: (bytes) => metrics.originReadBytes.inc(bytes),
    onWrittenBytes: (bytes) => metrics.originWrittenBytes.inc(bytes),
  })
  await objects.start()
  begun.defer(() => objects.stop())
  const { id, isFresh } = await markOrigin(objects, settings.data, { log, nowMs })
  watch.start(id)
  begun.defer(() => watch.stop())
  const copies = new FilePieceStore({ folder: join(settings.data, 'pieces') })
  await copies.start()
  begun.defer(() => copies.stop())
  await warnOfOpenFolders(isFolder ? [settings.data, at.folder] : [settings.data], log)
  const signer = await Signer.open(objects)
  return { description: store.description, isFolder, isFresh, objects, watch, copies, signer }
}

/** The images of the origin, and their swarms: agents find each other and the seeder there. */
async function seedImages(shared: Shared, { objects, copies, signer, ...origin }: Origin) {
  const { settings, log, begun, metrics, listen, peerListen } = shared
  const images = new ImageStore(
    { objects, log: log.child({ component: 'images' }), nowMs, newId: randomUUID },
    { graceMs: settings.gcGraceMs },
  )
  await images.start()
  begun.defer(() => images.stop())

  const peerId = Buffer.concat([Buffer.from('-SS0100-'), randomBytes(12)]).toString('hex')
  const prng = createPrng(randomInt(2 ** 32))
  const engine = await createEngine(settings.engine, {
    ...peerListen,
    peerId,
    prng,
    isSource: true,
    limits: swarmLimitsOf(settings),
  })
  await engine.start()
  begun.defer(() => engine.stop())
  const onSent = (bytes: number) => metrics.sentBytes.inc(bytes)
  const seeded = new SeededBlobs(
    {
      objects,
      images,
      copies,
      engine,
      log: log.child({ component: 'seeding' }),
      nowMs,
      onSent,
      onCopyFailed: () => metrics.copyFailures.inc(),
    },
    { dataMaxBytes: settings.dataMaxBytes },
  )
  const arriving = new ArrivingBlobs(
    { engine, log: log.child({ component: 'arriving' }), onSent },
    { folder: join(settings.data, 'arriving') },
  )
  await arriving.start()
  begun.defer(() => arriving.stop())

  // Joining begins in the same turn, so that a swarm that ends at once is left again.
  const seed = async (infoHash: InfoHash) => {
    await (arriving.has(infoHash) ? arriving.seed(infoHash) : seeded.seed(infoHash))
  }
  // The seeder dials only agents that ask for it, at the address that their stream comes from, this machine included.
  const homes = [listen.host, peerListen.host, ...(isWildcard(listen.host) ? ['127.0.0.1'] : [])]
  const mayDial = mayDialFrom(homes, () => [engine.address])
  const warnOfFreshOrigin = warningOfFreshOrigin(log, origin)
  const tracker = new Tracker({
    log: log.child({ component: 'tracker' }),
    nowMs,
    prng,
    seeder: { peerId, ...engine.address, role: 'seeder' },
    signingKey: signer.publicKey,
    isKnown: async (infoHash) =>
      arriving.has(infoHash) || (await images.digestOfInfoHash(infoHash)) !== undefined,
    onUnknown: () => {
      metrics.unknownSwarms.inc()
      warnOfFreshOrigin()
    },
    seed,
    dialPeer: (peer) => dialPeer(peer, peerId, mayDial),
  })
  const pushWarmer = new PushWarmer({ tracker, arriving }, { rules: parseWarmRules(settings.warmPushes) })

  const report = (doing: Promise<void>) =>
    doing.catch((error) => log.error({ event: 'seeding-failed', err: error }, 'seeding failed'))
  tracker.on('swarm-began', (infoHash) => report(seed(infoHash)))
  tracker.on('swarm-ended', (infoHash) => report(seeded.rest(infoHash)))
  arriving.on('pieces', (infoHash, first, sha256) => tracker.tellPieces(infoHash, first, sha256))
  arriving.on('ended', (infoHash) => tracker.tellArrivalEnded(infoHash))
  images.on('blob-stored', (_stat, { infoHash }) => {
    metrics.pushedBlobs.inc()
    tracker.appeared(infoHash)
  })
  images.on('blob-damaged', () => metrics.damagedBlobs.inc())
  images.on('blob-replaced', (digest) => report(seeded.forget(digest)))
  images.on('manifest-stored', (repository, reference, digest) =>
    pushWarmer.pushed(repository, reference, digest),
  )
  images.watchUploads((repository, digest, length) => pushWarmer.watch(repository, digest, length))
  return { images, engine, seeded, arriving, tracker }
}

/** What other registries have, fetched when somebody asks, beside what was pushed here. */
function mirrorOthers(shared: Shared, { images, seeded, arriving }: Swarms) {
  const { settings, begun, metrics, proxies, ownHosts } = shared
  const log = shared.log.child({ component: 'upstreams' })
  const credentials = new Credentials({
    environment: process.env,
    ...(settings.dockerConfig !== '' && { dockerConfigFile: settings.dockerConfig }),
    pullSecretFiles: settings.pullSecrets.split(',').filter((path) => path !== ''),
  })
  const upstreams = new Upstreams(
    { credentials, nowMs, log, proxies },
    { entries: parseUpstreamList(settings.upstreams), realmHosts: parseRealmHosts(settings.realmHosts) },
  )
  begun.defer(() => upstreams.stop())
  const fetches = new BlobFetches({
    images,
    log,
    nowMs,
    onReceived: (bytes) => metrics.upstreamReceivedBytes.inc(bytes),
    arriving,
  })
  begun.defer(() => fetches.stop())
  async function* readContent(digest: Digest, range: ByteRange, signal: AbortSignal) {
    for await (const chunk of seeded.read(digest, range, signal)) {
      metrics.servedBytes.inc(chunk.length)
      yield chunk
    }
  }
  const onFailed = (code: string) => metrics.upstreamFailures.inc({ code })
  const mirror = new Mirror(
    { images, upstreams, fetches, arriving, readContent, log, nowMs, onFailed },
    {
      ownHosts,
      defaultUpstream: parseHostList(settings.defaultUpstream)[0],
      tagTtlMs: settings.upstreamTagTtlMs,
    },
  )
  return { upstreams, fetches, mirror }
}

/** What is brought here before anybody asks for it, by order, by a push that is told of, or because it is watched. */
function publish(shared: Shared, { objects }: Origin, { images, tracker }: Swarms, mirrored: Mirrored) {
  const { settings, begun, ownHosts } = shared
  const { upstreams, fetches } = mirrored
  const log = shared.log.child({ component: 'publishing' })
  const warmer = new NodeWarmer({ tracker, images, log })
  const publisher = new Publisher({ images, upstreams, fetches, warmer, log, nowMs }, { ownHosts })
  const queue = new PublishQueue(
    { objects, publisher, upstreams, log, nowMs },
    { ownHosts, watched: parseWatchList(settings.watch), watchIntervalMs: settings.watchIntervalMs },
  )
  queue.start()
  begun.defer(() => queue.stop())
  return { publisher, queue, log }
}

/** Garbage goes, and what rots is found. */
function keepInOrder(
  { settings, log, begun, metrics }: Shared,
  { isFolder }: Origin,
  { images }: Swarms,
): void {
  const garbage = new GarbageSchedule(
    {
      images,
      log: log.child({ component: 'garbage' }),
      onRemoved: (bytes) => metrics.garbageBytes.inc(bytes),
    },
    { intervalMs: settings.gcIntervalMs },
  )
  garbage.start()
  begun.defer(() => garbage.stop())
  if (!isFolder) return
  const scrubbing = new ScrubSchedule({ images, log: log.child({ component: 'scrub' }), random: Math.random })
  scrubbing.start()
  begun.defer(() => scrubbing.stop())
}

/** @returns where clients, agents and CI are answered from now on */
async function serve(
  { settings, log, begun, metrics, listen }: Shared,
  { objects, watch, signer }: Origin,
  { images, seeded, arriving, tracker }: Swarms,
  { mirror }: Mirrored,
  { publisher, queue, log: publishLog }: Publishing,
): Promise<HostPort> {
  const server = createHttpServer(log.child({ component: 'http' }), {
    service: 'seeder',
    routing: registryRouting,
    readiness: () => ({
      problems: [watch.problem].filter(isSaid),
      warnings: [watch.writeProblem, seeded.copyProblem].filter(isSaid),
    }),
    metrics: metrics.registry,
  })
  await server.register(registryPlugin, { backend: mirror, allowDelete: settings.allowDelete })
  tracker.register(server)
  const resolver = new Resolver({ images, mirror, arriving, objects, seeded, tracker, signer, nowMs })
  resolveApi(server, { resolver, tracker })
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
  torrentApi(server, { images })
  return listenOn(server, listen, begun)
}

/** The seeder is known by where it listens as well. A name of an upstream stays that registry's. */
function takeNames({ ownHosts }: Shared, at: HostPort, upstreams: Upstreams): void {
  const interfaces = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
  for (const name of namesByListening(at, interfaces))
    if (!ownHosts.includes(name) && upstreams.client(name) === undefined) ownHosts.push(name)
}

/** Said once, when agents have images that an origin which was made at this start does not. */
function warningOfFreshOrigin(log: Logger, origin: Pick<Origin, 'isFresh' | 'description'>): () => void {
  let isDue = origin.isFresh
  return () => {
    if (!isDue) return
    isDue = false
    log.warn(
      { event: 'origin-fresh-beside-agents', origin: origin.description },
      'agents have images, and the origin was made at this start: is it the right one?',
    )
  }
}

function isSaid(text: string | undefined): text is string {
  return text !== undefined
}

/**
 * The agent daemon, wired together: this file reads like the architecture drawing.
 *
 *   clients on this node ──HTTP──▶ registry ──▶ image directory ──▶ seeder, or other agents in its place
 *                                     └──────▶ downloads ──▶ swarm engine ◀──BitTorrent──▶ peers
 *                                                  │  └────▶ seeder's registry, presigned origin URL
 *                                                  └───────▶ cache on disk
 *   tracker ◀──announce stream──▶ announcer
 */
import { randomBytes, randomInt } from 'node:crypto'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { assert, createPrng, formatHostPort, type HostPort, isWildcard, parseHostPort } from '@shoal/core'
import { architectureOf, canonicalHost } from '@shoal/oci'
import { registryPlugin, registryRouting } from '@shoal/registry'
import {
  createHttpServer,
  listenOn,
  logProxies,
  ownFolder,
  type Proxies,
  portOf,
  proxiesOf,
  type Running,
  Service,
  type ShownProxies,
  steadyMs,
  systemClock,
  version,
  warnOfOpenFolders,
} from '@shoal/service'
import { FilePieceStore, FilesystemObjectStore } from '@shoal/storage'
import { createEngine, dialPeer, swarmLimitsOf } from '@shoal/swarm'
import { type AgentStatus, PROXY_ENTRIES_TOLD_MAX } from '@shoal/wire'
import type { Logger } from 'pino'
import { Announcer } from './announcer.ts'
import { ArrivalNews } from './arrival-news.ts'
import { ArrivingPulls } from './arriving-pulls.ts'
import { createBackend } from './backend.ts'
import { CacheDisk } from './cache-disk.ts'
import { CacheState } from './cache-state.ts'
import { Contacts } from './contacts.ts'
import { AgentDialRule } from './dial-rule.ts'
import { Downloads } from './downloads.ts'
import { BLOB_IDLE_TIMEOUT_MS, CONNECTIONS_PER_HOST_MAX, HttpSources } from './http-sources.ts'
import { ImageDirectory } from './image-directory.ts'
import { ImageRecords } from './image-records.ts'
import { localApi } from './local-api.ts'
import { type AgentMetrics, createMetrics } from './metrics.ts'
import { OriginProxy } from './origin-proxy.ts'
import { PassingBlobs } from './passing-blobs.ts'
import { PeerApi } from './peer-api.ts'
import { PushForwarding } from './push-forwarding.ts'
import { Reachability } from './reachability.ts'
import { readinessOf } from './readiness.ts'
import { ReferrerLists } from './referrer-lists.ts'
import { Scrubber } from './scrubber.ts'
import { SeederClient } from './seeder-client.ts'
import { SeederPeers } from './seeder-peers.ts'
import { SeederProbe } from './seeder-sight.ts'
import { SeederWatch } from './seeder-watch.ts'
import type { AgentSettings } from './settings.ts'
import { TagLists } from './tag-lists.ts'
import { UnservedRegistries } from './unserved-registries.ts'
import { zoneOf } from './zone.ts'

export class Agent extends Service {
  constructor({ settings, log }: { settings: AgentSettings; log: Logger }) {
    super({ log, begin: (begun) => begin({ settings, log, begun }) })
  }
}

/** What every builder goes by. */
interface Shared {
  readonly settings: AgentSettings
  readonly log: Logger
  /** Takes how each part ends, once it has begun. */
  readonly begun: AsyncDisposableStack
  readonly metrics: AgentMetrics
  readonly proxies: Proxies
  readonly listen: HostPort
  readonly peerListen: HostPort
  readonly seederUrl: string
  readonly peerId: string
  readonly name: string
  readonly zone: string
  readonly startedAtMs: number
}

const { nowMs } = systemClock

/** @throws PeerListenError, ZoneFileError, and what the system says when the cache or the address cannot be used */
async function begin(init: Pick<Shared, 'settings' | 'log' | 'begun'>): Promise<Running> {
  const { settings } = init
  const listen = parseHostPort(settings.listen)
  const peerListen = parseHostPort(settings.peerListen)
  assert(listen !== undefined && peerListen !== undefined, 'addresses were checked with the settings')
  const metrics = createMetrics()
  const shared = {
    ...init,
    metrics,
    proxies: proxiesOf(process.env),
    listen,
    peerListen,
    seederUrl: settings.seeder,
    peerId: Buffer.concat([Buffer.from('-SA0100-'), randomBytes(12)]).toString('hex'),
    name: settings.name === '' ? hostname() : settings.name,
    startedAtMs: steadyMs(),
    zone: await zoneOf(settings),
  }

  const cache = await openCache(shared)
  const seeder = findSeeder(shared)
  const peers = await meetPeers(shared, cache, seeder)
  const pulls = await pullBlobs(shared, cache, seeder, peers)
  const directory = knowImages(shared, seeder, peers, pulls)
  listenToSeeder(shared, seeder, peers, pulls, directory)
  metrics.show({
    blobs: () => pulls.downloads.blobCount,
    downloads: () => pulls.downloads.activeCount,
    usedBytes: () => pulls.downloads.usedBytes,
    isConnected: () => seeder.announcer.isConnected,
    isSeederThere: () => seeder.watch.health.kind === 'answers',
    isDiskFull: () => peers.disk.problem !== undefined,
  })
  const at = await serve(shared, cache, seeder, peers, pulls, directory)
  // The first client should not wait for a connection.
  void seeder.client.greet(shared.seederUrl)
  await seeder.seen
  return {
    listen: at,
    peerListen: peers.engine.address,
    onUncaughtError: () => metrics.uncaughtErrors.inc(),
  }
}

type Cache = Awaited<ReturnType<typeof openCache>>
type SeederParts = ReturnType<typeof findSeeder>
type Peers = Awaited<ReturnType<typeof meetPeers>>
type Pulls = Awaited<ReturnType<typeof pullBlobs>>

/** What the node keeps on its disk: pieces of blobs, and what is known of images. */
async function openCache({ settings, log, begun }: Shared) {
  await ownFolder(settings.cache, 'agent', { begun, log })
  const objects = new FilesystemObjectStore({ folder: join(settings.cache, 'images') })
  await objects.start()
  begun.defer(() => objects.stop())
  const store = new FilePieceStore({ folder: join(settings.cache, 'pieces') })
  await store.start()
  begun.defer(() => store.stop())
  await warnOfOpenFolders([settings.cache], log)
  return { objects, store }
}

/** The ways to the seeder: the announce stream, HTTP, and a look now and then at whether it is there. */
function findSeeder(shared: Shared) {
  const { log, begun, metrics, proxies, peerListen, seederUrl, peerId, name, zone } = shared
  const announcer = new Announcer(
    { log: log.child({ component: 'announcer' }) },
    { seederUrl, peerId, name, zone, ...(isWildcard(peerListen.host) ? {} : { host: peerListen.host }) },
  )
  const unserved = new UnservedRegistries({ log, nowMs: steadyMs, onAsked: metrics.unserved })
  const dialRule = new AgentDialRule({ peerHost: peerListen.host, seederUrl })
  logProxies(proxies, log)
  const originProxy = new OriginProxy(
    { proxies },
    { seederUrl, connectionsMax: CONNECTIONS_PER_HOST_MAX, idleTimeoutMs: BLOB_IDLE_TIMEOUT_MS },
  )
  begun.defer(() => originProxy.stop())
  const http = new HttpSources({ originProxy })
  begun.defer(() => http.stop())
  const client = new SeederClient({
    mayDial: dialRule.mayDial,
    streamSecret: () => announcer.streamSecret,
    onUnserved: (registry) => unserved.asked(registry),
  })
  begun.defer(() => client.stop())
  const probe = new SeederProbe(seederUrl)
  begun.defer(() => probe.stop())
  const watch = new SeederWatch(
    {
      // Whoever stands before the seeder may answer `/readyz` itself: an open stream shows that the seeder is there.
      look: async () => {
        const sight = await probe.look()
        return sight.kind === 'stranger' && announcer.isConnected ? { kind: 'seeder' } : sight
      },
      log: log.child({ component: 'seeder' }),
      nowMs: steadyMs,
    },
    { seederUrl },
  )
  begun.defer(() => watch.stop())
  // Beside what follows, which takes longer: it is known who is there before the first client asks.
  const seen = watch.start()
  return { announcer, unserved, dialRule, http, client, watch, seen }
}

/** Other agents: whom they find here, and the engine that trades pieces with them. */
async function meetPeers(shared: Shared, { objects, store }: Cache, { dialRule }: SeederParts) {
  const { settings, log, begun, peerListen, peerId, zone } = shared
  const disk = new CacheDisk(
    { log: log.child({ component: 'cache' }), nowMs: steadyMs },
    { folder: resolve(settings.cache) },
  )
  begun.defer(() => disk.stop())
  const records = new ImageRecords({ objects, onUnkept: (error) => disk.failed(error) })
  const contacts = new Contacts({ records, log })
  await contacts.start()
  begun.defer(() => contacts.stop())

  const peerApi = new PeerApi({ records, store, log: log.child({ component: 'peer-api' }) })
  await peerApi.start()
  begun.defer(() => peerApi.stop())
  const prng = createPrng(randomInt(2 ** 32))
  const engine = await createEngine(settings.engine, {
    ...peerListen,
    peerId,
    prng,
    zone,
    onOtherProtocol: (socket) => peerApi.accept(socket),
    mayDial: dialRule.mayDial,
    limits: swarmLimitsOf(settings),
  })
  await engine.start()
  begun.defer(() => engine.stop())
  dialRule.listensOn(engine.address.port)
  peerApi.reachedAt({ peerId, ...engine.address, role: 'agent' })
  return { disk, records, contacts, engine, prng }
}

/** Blobs that clients want, into the cache: from peers, the seeder, the origin. */
async function pullBlobs(shared: Shared, { store }: Cache, seeder: SeederParts, peers: Peers) {
  const { settings, log, begun, metrics, seederUrl } = shared
  const { announcer, http } = seeder
  const { disk, contacts, engine, prng } = peers
  const onSent = (bytes: number) => metrics.sent.inc(bytes)
  const seeders = new SeederPeers()
  const arrivals = new ArrivingPulls(
    {
      engine,
      store,
      announcer,
      http,
      log: log.child({ component: 'arrivals' }),
      // A clock that never jumps: a pull counts silence.
      nowMs: steadyMs,
      onReceived: (bytes, from) =>
        metrics.received(from === undefined || seeders.has(from) ? 'seeder' : 'peer', bytes),
      onSent,
    },
    { seederUrl },
  )
  begun.defer(() => arrivals.stop())
  const downloads = new Downloads(
    {
      engine,
      store,
      announcer,
      http,
      arrivals,
      contacts,
      seeders,
      disk,
      log: log.child({ component: 'downloads' }),
      prng,
      nowMs: steadyMs,
      onReceived: metrics.received,
      onSent,
      onMismatch: () => metrics.mismatches.inc(),
      onDamaged: () => metrics.damaged.inc(),
    },
    { seederUrl, cacheMaxBytes: settings.cacheMaxBytes },
  )
  store.on('damaged', (digest, pieceIndex) => downloads.damaged(digest, pieceIndex))
  await downloads.start()
  begun.defer(() => downloads.stop())
  const scrubber = new Scrubber({ store, prng, log: log.child({ component: 'scrubber' }) })
  scrubber.start()
  begun.defer(() => scrubber.stop())
  return { arrivals, downloads }
}

/** What references mean, and where the blobs of images are. */
function knowImages(
  shared: Shared,
  { announcer, http, client, watch }: SeederParts,
  { disk, records, contacts, engine }: Peers,
  { arrivals, downloads }: Pulls,
): ImageDirectory {
  const { settings, log, seederUrl, peerId } = shared
  return new ImageDirectory(
    {
      client,
      http,
      seeder: watch,
      records,
      contacts,
      log: log.child({ component: 'images' }),
      nowMs,
      onWanted: (sources) => downloads.prefetch(sources),
      onTold: (sources) => downloads.told(sources),
      isHere: (digest) => downloads.find(digest) !== undefined,
      isWhole: (digest) => downloads.whole(digest) !== undefined,
      isFlowing: (digest) => downloads.isFlowing(digest) || arrivals.has(digest),
      canKeep: () => disk.problem === undefined,
      // With other engines a blob that is still arriving comes over HTTP.
      onArriving: (repository, arrival) => {
        if (engine.learnsPieces) arrivals.take(repository, arrival)
      },
      arrivalNews: new ArrivalNews({ announcer }),
      onLost: (digest) => arrivals.lost(digest),
    },
    {
      seederUrl,
      peerId,
      platform: { os: 'linux', architecture: architectureOf(process.arch) },
      tagTtlMs: settings.tagTtlMs,
    },
  )
}

/** What the seeder tells over the announce stream goes to whom it concerns. */
function listenToSeeder(
  { begun }: Shared,
  { announcer, dialRule, watch }: SeederParts,
  { contacts, engine }: Peers,
  { downloads }: Pulls,
  directory: ImageDirectory,
): void {
  announcer.on('heard', () => watch.heard())
  announcer.on('closed', () => watch.doubt())
  announcer.on('reached', (ip) => dialRule.reachedSeeder(ip))
  announcer.on('welcome', (signingKey) => contacts.trust(signingKey))
  announcer.on('contacts', (agents) => contacts.heard(agents))
  announcer.on('warmBlob', (repository, digest) => directory.warmBlob(repository, digest))
  announcer.on('warm', (repository, reference) => directory.warm(repository, reference))
  downloads.on('failed', (digest) => directory.forgetSource(digest))
  downloads.on('damaged', (digest) => {
    const source = directory.knownSource(digest)
    // Else the next who wants it finds out where it is.
    if (source !== undefined) downloads.prefetch([source])
  })
  announcer.start({ port: engine.address.port })
  begun.defer(() => announcer.stop())
}

/** @returns where clients on this node are answered from now on */
async function serve(
  shared: Shared,
  { objects }: Cache,
  seeder: SeederParts,
  peers: Peers,
  { arrivals, downloads }: Pulls,
  directory: ImageDirectory,
): Promise<HostPort> {
  const { settings, log, begun, metrics, proxies, listen, seederUrl, peerId, name, zone } = shared
  const { announcer, unserved, dialRule, http, client, watch } = seeder
  const { disk, records, engine } = peers
  const server = createHttpServer(log.child({ component: 'http' }), {
    service: 'agent',
    routing: registryRouting,
    readiness: () =>
      readinessOf({
        seeder: { wasFound: watch.wasFound, problem: watch.problem },
        hasBlobs: downloads.blobCount > 0,
        disk: disk.problem,
      }),
    metrics: metrics.registry,
  })
  if (settings.forwardPushes) {
    const pushes = new PushForwarding({ log: log.child({ component: 'pushes' }) }, { seederUrl })
    begun.defer(() => pushes.stop())
    pushes.register(server)
  }
  const passing = new PassingBlobs({ http, onReceived: metrics.received }, { seederUrl })
  const tagLists = new TagLists({ client, seeder: watch, objects }, { seederUrl })
  const referrerLists = new ReferrerLists({ client, seeder: watch, records }, { seederUrl })
  await server.register(registryPlugin, {
    backend: createBackend({
      directory,
      downloads,
      arrivals,
      passing,
      http,
      seederUrl,
      tagLists,
      referrerLists,
      metrics,
    }),
    // By that name it was told of by the operator.
    ownHosts: [canonicalHost(new URL(seederUrl).host)],
  })
  const reachability = new Reachability({
    announcer,
    dialPeer: (peer) => dialPeer(peer, peerId, dialRule.mayDial),
    log: log.child({ component: 'reachability' }),
  })
  const cacheState = new CacheState({ folder: settings.cache })
  await localApi(server, {
    reachability: () => reachability.report(),
    status: async () => {
      const userId = process.getuid?.()
      return {
        service: 'agent',
        version,
        name,
        zone,
        listen: formatHostPort({ host: listen.host, port: portOf(server) }),
        peerListen: formatHostPort(engine.address),
        seeder: seederUrl,
        uptimeMs: Math.round(steadyMs() - shared.startedAtMs),
        ...(userId !== undefined && { userId }),
        ...(watch.problem !== undefined && { seederProblem: watch.problem }),
        announceStream: { isOpen: announcer.isConnected, forMs: announcer.unchangedForMs },
        cache: {
          ...(await cacheState.now()),
          usedBytes: downloads.usedBytes,
          maxBytes: settings.cacheMaxBytes,
          ...(disk.problem !== undefined && { diskProblem: disk.problem }),
          damagedPieces: downloads.damagedCount,
        },
        unservedRegistries: [...unserved.recent()],
        proxies: proxyStatus(proxies.shown),
      }
    },
  })
  return listenOn(server, listen, begun)
}

/** As much of it as an answer has room for. */
function proxyStatus({ noProxy, problems, ...proxies }: ShownProxies): NonNullable<AgentStatus['proxies']> {
  const entries = noProxy.slice(0, PROXY_ENTRIES_TOLD_MAX).map((entry) => entry.slice(0, 256))
  return { ...proxies, noProxy: entries, problems: [...problems] }
}

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
import type { AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { assert, createPrng, formatHostPort, isWildcard, parseHostPort } from '@shoal/core'
import { architectureOf, canonicalHost } from '@shoal/oci'
import { registryPlugin, registryRouting } from '@shoal/registry'
import {
  type CutRequest,
  createHttpServer,
  cutRequestUnderWay,
  logProxies,
  proxiesOf,
  type ShownProxies,
  version,
} from '@shoal/service'
import { FilePieceStore, FilesystemObjectStore, foldersOpenToOthers, lockFolder } from '@shoal/storage'
import { createEngine, dialPeer, type SwarmEngine, swarmLimitsOf } from '@shoal/swarm'
import { type AgentStatus, PROXY_ENTRIES_TOLD_MAX } from '@shoal/wire'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { Announcer } from './announcer.ts'
import { ArrivalNews } from './arrival-news.ts'
import { AgentArrivals } from './arrivals.ts'
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
import { createMetrics } from './metrics.ts'
import { OriginProxy } from './origin-proxy.ts'
import { PassingBlobs } from './passing-blobs.ts'
import { PeerApi } from './peer-api.ts'
import { PushForwarding } from './push-forwarding.ts'
import { Reachability } from './reachability.ts'
import { readinessOf } from './readiness.ts'
import { ReferrerLists } from './referrer-lists.ts'
import { Scrubber } from './scrubber.ts'
import { SeederProbe } from './seeder-sight.ts'
import { SeederWatch } from './seeder-watch.ts'
import type { AgentSettings } from './settings.ts'
import { TagLists } from './tag-lists.ts'
import { UnservedRegistries } from './unserved-registries.ts'
import { zoneOf } from './zone.ts'

const nowMs = () => Date.now()

export class Agent {
  readonly #settings: AgentSettings
  readonly #log: Logger
  #running: Running | undefined

  constructor(parts: { settings: AgentSettings; log: Logger }) {
    this.#settings = parts.settings
    this.#log = parts.log
  }

  /** Where clients on this node pull from. */
  get url(): string {
    assert(this.#running !== undefined, 'the agent is started')
    return `http://${formatHostPort(this.#running.listen)}`
  }

  /** Where peers connect, `host:port`. */
  get peerAddress(): string {
    assert(this.#running !== undefined, 'the agent is started')
    return formatHostPort(this.#running.peerListen)
  }

  /** @throws PeerListenError, ZoneFileError, and what the system says when the cache or the address cannot be used */
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

async function run(settings: AgentSettings, log: Logger): Promise<Running> {
  const listen = parseHostPort(settings.listen)
  const peerListen = parseHostPort(settings.peerListen)
  assert(listen !== undefined && peerListen !== undefined, 'addresses were checked with the settings')
  const peerId = Buffer.concat([Buffer.from('-SA0100-'), randomBytes(12)]).toString('hex')
  const prng = createPrng(randomInt(2 ** 32))
  const seederUrl = settings.seeder
  const name = settings.name === '' ? hostname() : settings.name
  const startedAt = performance.now()
  const undo: (() => Promise<unknown>)[] = []
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step()
  }

  try {
    const zone = await zoneOf(settings)
    const lock = await lockFolder(settings.cache, 'agent')
    undo.push(() => lock.release())
    if (lock.problem !== undefined)
      log.warn(
        { event: 'folder-not-locked', folder: settings.cache, problem: lock.problem },
        'nothing keeps another process out of a folder',
      )
    const objects = new FilesystemObjectStore({ folder: join(settings.cache, 'images') })
    await objects.start()
    undo.push(() => objects.stop())
    const store = new FilePieceStore({
      folder: join(settings.cache, 'pieces'),
      onDamaged: (digest, pieceIndex) => downloads.damaged(digest, pieceIndex),
    })
    await store.start()
    undo.push(() => store.stop())

    for (const open of await foldersOpenToOthers([settings.cache]))
      log.warn({ event: 'folder-open-to-others', ...open }, 'others on this machine can look into a folder')

    const dialRule = new AgentDialRule({
      peerHost: peerListen.host,
      port: () => engine.address.port,
      seederUrl,
    })
    const { mayDial } = dialRule
    const proxies = proxiesOf(process.env)
    logProxies(proxies, log)
    const originProxy = new OriginProxy(
      { proxies },
      { seederUrl, connectionsMax: CONNECTIONS_PER_HOST_MAX, idleTimeoutMs: BLOB_IDLE_TIMEOUT_MS },
    )
    undo.push(() => originProxy.stop())
    const http = new HttpSources({
      originProxy,
      mayDial,
      streamSecret: () => announcer.streamSecret,
      onUnserved: (registry) => unserved.asked(registry),
    })
    undo.push(() => http.stop())
    const probe = new SeederProbe(seederUrl)
    undo.push(() => probe.stop())
    let hasStream = () => false
    const seeder = new SeederWatch(
      {
        // Whoever stands before the seeder may answer `/readyz` itself: an open stream shows that the seeder is there.
        look: async () => {
          const sight = await probe.look()
          return sight.kind === 'stranger' && hasStream() ? { kind: 'seeder' } : sight
        },
        log: log.child({ component: 'seeder' }),
        nowMs: () => performance.now(),
      },
      { seederUrl },
    )
    undo.push(async () => seeder.stop())
    // Beside what follows, which takes longer: it is known who is there before the first client asks.
    const seederSeen = seeder.start()
    const disk = new CacheDisk(
      { log: log.child({ component: 'cache' }), nowMs: () => performance.now() },
      { folder: resolve(settings.cache) },
    )
    undo.push(async () => disk.stop())
    const records = new ImageRecords({ objects, onUnkept: (error) => disk.failed(error) })
    const contacts = new Contacts({ records, log })
    await contacts.start()
    undo.push(() => contacts.stop())

    const peerApi: PeerApi = new PeerApi({
      records,
      store,
      self: () => ({ peerId, ...engine.address, role: 'agent' }),
      log: log.child({ component: 'peer-api' }),
    })
    await peerApi.start()
    undo.push(() => peerApi.stop())
    const engine: SwarmEngine = await createEngine(settings.engine, {
      ...peerListen,
      peerId,
      prng,
      zone,
      onOtherProtocol: (socket) => peerApi.accept(socket),
      mayDial,
      limits: swarmLimitsOf(settings),
    })
    await engine.start()
    undo.push(() => engine.stop())

    const announcer: Announcer = new Announcer(
      { log: log.child({ component: 'announcer' }) },
      {
        seederUrl,
        peerId,
        name,
        zone,
        ...(isWildcard(peerListen.host) ? {} : { host: peerListen.host }),
        port: engine.address.port,
      },
    )
    hasStream = () => announcer.isConnected
    const metrics = createMetrics({
      blobs: () => downloads.blobCount,
      downloads: () => downloads.activeCount,
      usedBytes: () => downloads.usedBytes,
      isConnected: () => announcer.isConnected,
      isSeederThere: () => seeder.health.kind === 'answers',
      isDiskFull: () => disk.problem !== undefined,
    })
    const unserved = new UnservedRegistries({
      log,
      nowMs: () => performance.now(),
      onAsked: metrics.unserved,
    })
    const arrivals = new AgentArrivals(
      {
        engine,
        store,
        announcer,
        http,
        log: log.child({ component: 'arrivals' }),
        nowMs,
        onReceived: (bytes, from) =>
          metrics.received(from === undefined || downloads.isSeeder(from) ? 'seeder' : 'peer', bytes),
        onSent: (bytes) => metrics.sent.inc(bytes),
      },
      { seederUrl },
    )
    undo.push(() => arrivals.stop())
    const downloads: Downloads = new Downloads(
      {
        engine,
        store,
        announcer,
        http,
        arrivals,
        contacts,
        disk,
        log: log.child({ component: 'downloads' }),
        prng,
        nowMs,
        onReceived: metrics.received,
        onSent: (bytes) => metrics.sent.inc(bytes),
        onMismatch: () => metrics.mismatches.inc(),
        onDamaged: () => metrics.damaged.inc(),
      },
      { seederUrl, cacheMaxBytes: settings.cacheMaxBytes },
    )
    await downloads.start()
    undo.push(() => downloads.stop())
    const scrubber = new Scrubber({ store, prng, log: log.child({ component: 'scrubber' }) })
    scrubber.start()
    undo.push(() => scrubber.stop())
    const directory = new ImageDirectory(
      {
        http,
        seeder,
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
        // The other engine knows no blobs whose hashes are still being learned: they come over HTTP.
        onArriving: (repository, arrival) => {
          if (settings.engine === 'native') arrivals.take(repository, arrival)
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

    announcer.on('heard', () => seeder.heard())
    announcer.on('closed', () => seeder.doubt())
    announcer.on('reached', (ip) => dialRule.reachedSeeder(ip))
    announcer.on('welcome', (signingKey) => contacts.trust(signingKey))
    announcer.on('contacts', (agents) => contacts.heard(agents))
    downloads.on('failed', (digest) => directory.forgetSource(digest))
    downloads.on('damaged', (digest) => {
      const source = directory.knownSource(digest)
      // Else the next who wants it finds out where it is.
      if (source !== undefined) downloads.prefetch([source])
    })
    announcer.on('warmBlob', (repository, digest) => directory.warmBlob(repository, digest))
    announcer.on('warm', (repository, reference) => directory.warm(repository, reference))
    announcer.start()
    undo.push(() => announcer.stop())

    const passing = new PassingBlobs({ http, onReceived: metrics.received }, { seederUrl })
    const tagLists = new TagLists({ http, seeder, objects }, { seederUrl })
    const referrerLists = new ReferrerLists({ http, seeder, records }, { seederUrl })
    const server = createHttpServer(log.child({ component: 'http' }), {
      service: 'agent',
      routing: registryRouting,
      readiness: () =>
        readinessOf({
          seeder: { wasFound: seeder.wasFound, problem: seeder.problem },
          hasBlobs: downloads.blobCount > 0,
          disk: disk.problem,
        }),
    })
    if (settings.forwardPushes) {
      const pushes = new PushForwarding({ log: log.child({ component: 'pushes' }) }, { seederUrl })
      undo.push(() => pushes.stop())
      pushes.register(server)
    }
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
      dialPeer: (peer) => dialPeer(peer, peerId, mayDial),
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
          listen: formatHostPort({ host: listen.host, port: addressOf(server).port }),
          peerListen: formatHostPort(engine.address),
          seeder: seederUrl,
          uptimeMs: Math.round(performance.now() - startedAt),
          ...(userId !== undefined && { userId }),
          ...(seeder.problem !== undefined && { seederProblem: seeder.problem }),
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
    server.get('/metrics', async (_request, reply) =>
      reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
    )
    await server.listen(listen)
    undo.push(() => server.close())
    // The first client should not wait for a connection.
    void http.greet(seederUrl)
    await seederSeen
    return {
      listen: { host: listen.host, port: addressOf(server).port },
      peerListen: engine.address,
      onUncaughtError: () => metrics.uncaughtErrors.inc(),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** As much of it as an answer has room for. */
function proxyStatus({ noProxy, problems, ...proxies }: ShownProxies): NonNullable<AgentStatus['proxies']> {
  const entries = noProxy.slice(0, PROXY_ENTRIES_TOLD_MAX).map((entry) => entry.slice(0, 256))
  return { ...proxies, noProxy: entries, problems: [...problems] }
}

function addressOf(server: FastifyInstance): AddressInfo {
  const [address] = server.addresses() as AddressInfo[]
  assert(address !== undefined, 'the registry listens')
  return address
}

/**
 * What is published without anybody waiting: pushes that registries told of, that the poller found, and orders. Written down
 * in the origin first, so that a restart loses nothing; worked off one image of a repository at a time.
 */
import { hostname } from 'node:os'
import { mirroredName, type WatchEntry } from '@shoal/oci'
import { UpstreamBusyError } from '@shoal/registry-client'
import { systemClock } from '@shoal/service'
import type { ObjectStore } from '@shoal/storage'
import {
  createPushEvent,
  EVENT_QUEUE_DEFAULTS,
  EventQueue,
  POLLER_DEFAULTS,
  Poller,
  type PushEvent,
} from '@shoal/triggers'
import type { Logger } from 'pino'
import type { Upstreams } from '../mirror/upstreams.ts'
import { judgeFailure } from './judge-failure.ts'
import { planPublish } from './publish-plan.ts'
import type { Publisher, PublishWish } from './publisher.ts'
import { parseWarmSelector } from './warm-selector.ts'

export interface PublishQueueParts {
  readonly objects: ObjectStore
  readonly publisher: Publisher
  readonly upstreams: Upstreams
  readonly log: Logger
  readonly nowMs: () => number
}

export interface PublishQueueInit {
  readonly ownHosts: readonly string[]
  readonly watched: readonly WatchEntry[]
  readonly watchIntervalMs: number
}

/** Tags of a watched repository that are looked at. */
const TAGS_MAX = 1_000

export class PublishQueue {
  readonly events: EventQueue
  readonly #parts: PublishQueueParts
  readonly #init: PublishQueueInit
  readonly #poller: Poller

  constructor(parts: PublishQueueParts, init: PublishQueueInit) {
    this.#parts = parts
    this.#init = init
    const { objects, upstreams, log } = parts
    const shared = { clock: systemClock, random: Math.random, judge: judgeFailure, log }
    const owner = `${hostname()}-${process.pid}-${parts.nowMs()}`
    this.events = new EventQueue({ objects, ...shared }, { ...EVENT_QUEUE_DEFAULTS, owner })
    this.#poller = new Poller(
      {
        ...shared,
        currentDigest: async (host, repository, tag, signal) =>
          (await upstreams.client(host)?.manifestDigest(repository, tag, signal))?.digest,
        tags: async (host, repository, signal) => {
          const client = upstreams.client(host)
          // Registries do not count lists of tags. But while one is to be left alone, the tags on its list could not be asked for.
          if (client?.busyUntilMs !== undefined) throw new UpstreamBusyError(host, client.busyUntilMs)
          return (await client?.allTags(repository, TAGS_MAX, signal)) ?? []
        },
        tell: (event) => this.events.add([event]),
      },
      {
        ...POLLER_DEFAULTS,
        intervalMs: init.watchIntervalMs,
        watched: init.watched.map(({ host, repository, tags }) => ({
          registryHost: host,
          repository,
          tags: [tags],
        })),
      },
    )
  }

  start(): void {
    this.events.start((event, signal) => this.#publish(event, signal))
    this.#poller.start()
  }

  async stop(): Promise<void> {
    await this.#poller.stop()
    await this.events.stop()
  }

  /** @throws PublishError · WarmSelectorInvalidError before anything is written down; TriggerQueueFullError */
  async enqueue({ reference, from, platforms, warm }: PublishWish): Promise<void> {
    const { name, tag, digest } = planPublish(reference, from, this.#init.ownHosts)
    if (warm !== undefined) parseWarmSelector(warm)
    await this.events.add([
      createPushEvent({
        source: 'publish',
        id: `${reference} ${this.#parts.nowMs()}`,
        repository: name,
        tag,
        digest,
        order: {
          reference,
          ...(from !== undefined && { from }),
          ...(platforms !== undefined && { platforms }),
          ...(warm !== undefined && { warm }),
        },
      }),
    ])
  }

  async #publish(event: PushEvent, signal: AbortSignal): Promise<void> {
    const { publisher, upstreams, log } = this.#parts
    const nobody = () => {}
    if (event.order !== undefined) {
      await publisher.publish({ ...event.order, isPinned: true }, nobody, signal)
      return
    }
    const { registryHost, repository, tag, digest, source } = event
    const name = registryHost && mirroredName(registryHost, repository)
    if (!name || upstreams.find(name) === undefined) {
      log.info(
        { event: 'push-elsewhere', registryHost, repository, tag, source },
        'told of a push to a registry that is not mirrored; nothing to do',
      )
      return
    }
    // With a tag the digest is only a hint: it may mean something else by now.
    const reference =
      tag === undefined ? `${registryHost}/${repository}@${digest}` : `${registryHost}/${repository}:${tag}`
    await publisher.publish({ reference, isPinned: false }, nobody, signal)
  }
}

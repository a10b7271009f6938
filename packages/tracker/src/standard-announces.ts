/**
 * Announces and scrapes of standard BitTorrent clients over HTTP (BEP 3, BEP 48), answered from the tracker's table. Decides
 * nothing itself: `HeldAnswers` of the engine says when an announce is answered.
 */
import type { ServerResponse } from 'node:http'
import { type InfoHash, isAddress, mayAnnounce, reachableHost } from '@shoal/core'
import { HeldAnswers, type HeldAnswersEffect, type HeldAnswersEvent, type TrackerTable } from '@shoal/engine'
import {
  type AnnounceRequest,
  encodeAnnounceAnswer,
  encodeScrapeAnswer,
  encodeTrackerFailure,
  readAnnounce,
  readScrape,
  type SwarmCounts,
  WireError,
} from '@shoal/wire'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { remoteHostOf } from './announce-server.ts'
import type { TrackerDriver } from './driver.ts'

const ANNOUNCE_INTERVAL_SECONDS = 2 * 60

export interface StandardAnnouncesParts {
  readonly table: TrackerTable
  readonly drive: TrackerDriver
  readonly nowMs: () => number
  /**
   * Whether a swarm of this info hash may exist: anything else is refused.
   * @param ip who asks; fails where that address asks for too much that is not there
   */
  readonly isKnown: (infoHash: InfoHash, ip: string) => Promise<boolean>
  /** Resolves when the seeder can serve peers of the swarm. */
  readonly seed: (infoHash: InfoHash) => Promise<void>
  /** Nobody else's to take. */
  readonly seederId: string
}

export function serveStandardAnnounces(http: FastifyInstance, parts: StandardAnnouncesParts): void {
  const announces = new StandardAnnounces(parts)
  http.get('/announce', { logLevel: 'warn' }, (request, reply) =>
    answering(reply, () => announces.announce(request, reply.raw)),
  )
  http.get('/scrape', { logLevel: 'warn' }, (request, reply) =>
    answering(reply, () => announces.scrape(request)),
  )
  http.addHook('onClose', () => announces.close())
}

/** What a client is told instead of an answer. */
class RefusedError extends Error {}

class StandardAnnounces {
  readonly #parts: StandardAnnouncesParts
  readonly #held = new HeldAnswers()
  readonly #answers = new Map<number, (isServed: boolean) => void>()
  #lastId = 0
  #timer: NodeJS.Timeout | undefined

  constructor(parts: StandardAnnouncesParts) {
    this.#parts = parts
  }

  async announce(request: FastifyRequest, response: ServerResponse): Promise<Uint8Array> {
    const { table, drive, seederId } = this.#parts
    const asked = readAnnounce(queryOf(request))
    const { infoHash, peerId, port, isComplete, isStopping } = asked
    // (`ip=` is not read: a client is where it comes from.)
    const host = remoteHostOf(request.raw)
    await this.#expectKnown(infoHash, host)
    if (peerId === seederId) throw new RefusedError('this id is taken')
    if (!mayAnnounce(host, host)) throw new RefusedError('others cannot be led to your address')
    const address = { peerId, host, port, role: 'agent' as const }
    drive(
      isStopping
        ? { kind: 'standard-stopped', infoHash, peerId }
        : { kind: 'standard-announced', infoHash, address, isComplete },
    )
    // A client that has everything, or wants no peers, dials nobody. Where the table did not take it in, the seeder joins nothing.
    const mustWait = !isStopping && !isComplete && asked.peersWanted > 0 && table.hasSwarm(infoHash)
    const isServed = !mustWait || (await this.#served(infoHash, host, response))
    return this.#answerTo(asked, request.raw.socket.localAddress, isServed)
  }

  async scrape(request: FastifyRequest): Promise<Uint8Array> {
    const { isKnown, table } = this.#parts
    const counts = new Map<InfoHash, SwarmCounts>()
    for (const infoHash of readScrape(queryOf(request))) {
      const isHere = await isKnown(infoHash, remoteHostOf(request.raw)).catch(cannotLook)
      counts.set(infoHash, withSeeder(table.counts(infoHash), isHere))
    }
    return encodeScrapeAnswer(counts, ANNOUNCE_INTERVAL_SECONDS)
  }

  close(): void {
    clearTimeout(this.#timer)
    for (const answer of this.#answers.values()) answer(false)
  }

  async #expectKnown(infoHash: InfoHash, ip: string): Promise<void> {
    if (!(await this.#parts.isKnown(infoHash, ip).catch(cannotLook)))
      throw new RefusedError('no such torrent here')
  }

  #answerTo(asked: AnnounceRequest, localAddress: string | undefined, isServed: boolean): Uint8Array {
    const { table, seederId } = this.#parts
    const { infoHash, peerId, isStopping, isCompact } = asked
    const wanted = isStopping ? 0 : asked.peersWanted
    const peers = table
      .sample(infoHash, peerId, wanted)
      .filter((peer) => isServed || peer.peerId !== seederId)
      .map(({ peerId, host, port }) => ({ peerId, host: reachableHost(host, localAddress), port }))
      // Compact answers have room for addresses alone; who is known by a name is told to those who ask for the long form.
      .filter(({ host }) => !isCompact || isAddress(host))
    // Clients ask a tracker that fails again within seconds, one that knows nobody within many minutes.
    if (!isServed && wanted > 0 && peers.length === 0)
      throw new RefusedError('the seeder cannot serve this torrent yet; ask again')
    const counts = withSeeder(table.counts(infoHash), isServed)
    return encodeAnnounceAnswer({ intervalSeconds: ANNOUNCE_INTERVAL_SECONDS, ...counts, peers }, asked)
  }

  #served(infoHash: InfoHash, ip: string, response: ServerResponse): Promise<boolean> {
    const id = ++this.#lastId
    return new Promise((resolve) => {
      const gone = () => {
        this.#step({ kind: 'gone', id })
        this.#answers.get(id)?.(false)
      }
      response.once('close', gone)
      this.#answers.set(id, (isServed) => {
        this.#answers.delete(id)
        response.off('close', gone)
        resolve(isServed)
      })
      this.#step({ kind: 'asked', id, ip, infoHash })
    })
  }

  #step(event: HeldAnswersEvent): void {
    for (const effect of this.#held.step(this.#parts.nowMs(), event)) this.#perform(effect)
  }

  #perform(effect: HeldAnswersEffect): void {
    const { nowMs, seed } = this.#parts
    switch (effect.kind) {
      case 'join': {
        const { infoHash } = effect
        seed(infoHash).then(
          () => this.#step({ kind: 'joined', infoHash, isServed: true }),
          () => this.#step({ kind: 'joined', infoHash, isServed: false }),
        )
        break
      }
      case 'answer':
        this.#answers.get(effect.id)?.(effect.isServed)
        break
      case 'set-timer':
        clearTimeout(this.#timer)
        this.#timer = setTimeout(() => this.#step({ kind: 'timer' }), Math.max(0, effect.atMs - nowMs()))
        this.#timer.unref()
        break
    }
  }
}

/** A client's mistake is answered as an answer, with 200: it reads no other. */
async function answering(
  reply: { type(type: string): unknown },
  answer: () => Promise<Uint8Array>,
): Promise<Buffer> {
  reply.type('text/plain')
  try {
    return Buffer.from(await answer())
  } catch (error) {
    if (error instanceof RefusedError || error instanceof WireError)
      return Buffer.from(encodeTrackerFailure(error.message))
    throw error
  }
}

function cannotLook(): never {
  throw new RefusedError('the tracker cannot look that torrent up now; try again')
}

/** The query as it was sent: its bytes are no text. */
function queryOf({ raw: { url = '' } }: FastifyRequest): string {
  const mark = url.indexOf('?')
  return mark === -1 ? '' : url.slice(mark + 1)
}

/** The table does not count the seeder, which has every blob of a swarm that it serves. */
function withSeeder({ complete, incomplete }: SwarmCounts, isServed: boolean): SwarmCounts {
  return { complete: complete + (isServed ? 1 : 0), incomplete }
}

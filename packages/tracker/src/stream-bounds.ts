/**
 * What the announce streams may make the tracker hold and do, each for all of them together and for every address: places,
 * bytes of frames that are not finished, bytes that are not read, swarms named in a second. A stream that takes too much is
 * closed, one that talks too fast is read more slowly; those of others go on.
 */
import type { Socket } from 'node:net'
import { addressKey } from '@shoal/core'
import { FairBytes, FairPlaces, TokenBucket, TRACKER_LIMITS } from '@shoal/engine'
import { HELLO_FRAME_BYTES_MAX } from '@shoal/wire'
import type { WebSocket } from 'ws'

/** Streams that have not said hello. When all agents of a large cluster come at once, some hundred are between the two. */
const NAMELESS = { placesMax: 2_048, placesPerAddressMax: 1_024 }
/** One address cannot take all; it may be that of a proxy in front of the seeder. */
const NAMED = { placesMax: TRACKER_LIMITS.agentsMax, placesPerAddressMax: TRACKER_LIMITS.agentsMax / 2 }

const MIB = 1024 * 1024
/** An honest frame is finished within moments of its first byte. */
const UNFINISHED = { bytesMax: 32 * MIB, bytesPerAddressMax: 16 * MIB }
const UNFINISHED_MS = 10_000
/** Of one stream. */
const UNREAD_BYTES_MAX = 8 * MIB
const UNREAD = { bytesMax: 192 * MIB, bytesPerAddressMax: 64 * MIB }

interface Rate {
  readonly perSecond: number
  readonly burstMs: number
}
/** Frames and the swarms named in them. At the start an agent names all that it has, 8192 at most. */
const STREAM_RATE: Rate = { perSecond: 2_000, burstMs: 4_200 }
/** Ten thousand agents that complete an image of twenty layers within ten seconds. */
const ADDRESS_RATE: Rate = { perSecond: 20_000, burstMs: 10_000 }
/** Who is so far ahead of its rate with what one read brought is no agent. */
const AHEAD_MS_MAX = 10_000
/** Addresses whose rate is remembered although nobody there has a stream. */
const IDLE_ADDRESSES_MAX = 4_096

interface Bounded {
  readonly ip: string
  readonly socket: Socket
  readonly rate: TokenBucket
  readonly addressRate: AddressRate
  /** Of the bytes that came, those that belong to frames that were finished. */
  finishedBytes: number
  unfinishedSinceMs: number | undefined
  unreadBytes: number
  hasName: boolean
  goesOn: NodeJS.Timeout | undefined
  /** Frames of it wait for their turn. */
  isWaiting: boolean
  /** So many that no more are read. */
  isPaused: boolean
}

interface AddressRate {
  readonly key: string
  readonly bucket: TokenBucket
  streams: number
}

export class StreamBounds {
  readonly #nowMs: () => number
  readonly #nameless = new FairPlaces<WebSocket>(NAMELESS)
  readonly #named = new FairPlaces<WebSocket>(NAMED)
  readonly #unfinished = new FairBytes<WebSocket>(UNFINISHED)
  readonly #unread = new FairBytes<WebSocket>(UNREAD)
  readonly #bounded = new Map<WebSocket, Bounded>()
  readonly #addressRates = new Map<string, AddressRate>()

  constructor(parts: { nowMs: () => number }) {
    this.#nowMs = parts.nowMs
  }

  /** Bytes of frames that are not finished. */
  get unfinishedBytes(): number {
    return this.#unfinished.bytes
  }

  /**
   * A stream was opened; its bounds end with it.
   * @param readBytes of what the socket has read, what belongs to the stream
   */
  opened(stream: WebSocket, socket: Socket, ip: string, readBytes: number): void {
    const nowMs = this.#nowMs()
    const addressRate = this.#addressRate(nowMs, ip)
    addressRate.streams++
    const bounded: Bounded = {
      ip,
      socket,
      rate: new TokenBucket(STREAM_RATE.perSecond, nowMs, STREAM_RATE.burstMs),
      addressRate,
      finishedBytes: socket.bytesRead - readBytes,
      unfinishedSinceMs: undefined,
      unreadBytes: 0,
      hasName: false,
      goesOn: undefined,
      isWaiting: false,
      isPaused: false,
    }
    this.#bounded.set(stream, bounded)
    stream.once('close', () => this.#closed(stream, bounded))
    const isControl = (data: Buffer) => {
      bounded.finishedBytes += controlFrameBytes(data)
    }
    stream.on('ping', isControl).on('pong', isControl)
    // Called after the stream's own listener, which has taken all whole frames out of these bytes.
    socket.on('data', () => this.#received(stream, bounded))
    const place = this.#nameless.take(ip, stream)
    if (place.kind === 'refused') stream.terminate()
    else place.displaced?.terminate()
  }

  /** The stream has said who it is. @returns whether there is a place for it */
  named(stream: WebSocket): boolean {
    const bounded = this.#bounded.get(stream)
    if (bounded === undefined) return false
    if (bounded.hasName) return true
    const place = this.#named.take(bounded.ip, stream)
    if (place.kind === 'refused') return false
    place.displaced?.terminate()
    bounded.hasName = true
    this.#nameless.free(stream)
    return true
  }

  /** It takes part in swarms: its place is not given to who only says hello. */
  takesPart(stream: WebSocket): void {
    this.#named.use(stream)
  }

  /** A frame was finished. */
  finished(stream: WebSocket): void {
    const bounded = this.#bounded.get(stream)
    if (bounded === undefined) return
    bounded.finishedBytes = bounded.socket.bytesRead
    if (bounded.unfinishedSinceMs === undefined) return
    bounded.unfinishedSinceMs = undefined
    this.#unfinished.holds(bounded.ip, stream, 0)
  }

  /**
   * What comes too fast is read later: nothing of it is lost, and nothing of it is here.
   * @param cost of a frame: the swarms named in it, and what else it is worth
   */
  heard(stream: WebSocket, cost: number): void {
    const bounded = this.#bounded.get(stream)
    if (bounded === undefined) return
    const { rate, addressRate } = bounded
    const nowMs = this.#nowMs()
    rate.hasAny(nowMs)
    rate.spend(cost)
    addressRate.bucket.hasAny(nowMs)
    addressRate.bucket.spend(cost)
    const ownMs = rate.nextAtMs(nowMs)
    const untilMs = Math.max(ownMs, addressRate.bucket.nextAtMs(nowMs))
    if (ownMs - nowMs > AHEAD_MS_MAX) {
      stream.terminate()
      return
    }
    if (untilMs <= nowMs || bounded.goesOn !== undefined) return
    stream.pause()
    bounded.goesOn = setTimeout(() => {
      bounded.goesOn = undefined
      if (!bounded.isPaused) stream.resume()
    }, untilMs - nowMs)
  }

  /**
   * So many frames of it wait for their turn. Of one that has more than one, no more are read; to pause every stream whose one
   * frame waits for a moment would cost more than the frame.
   */
  waits(stream: WebSocket, frames: number): void {
    const bounded = this.#bounded.get(stream)
    if (bounded === undefined) return
    bounded.isWaiting = true
    if (frames < 2 || bounded.isPaused) return
    bounded.isPaused = true
    stream.pause()
  }

  /** No frame of it waits for its turn any more. */
  goesOn(stream: WebSocket): void {
    const bounded = this.#bounded.get(stream)
    if (bounded === undefined) return
    bounded.isWaiting = false
    if (!bounded.isPaused) return
    bounded.isPaused = false
    if (bounded.goesOn === undefined) stream.resume()
  }

  /** Something is about to be sent. @returns whether the stream may be told it; it is closed otherwise */
  maySend(stream: WebSocket): boolean {
    const bounded = this.#bounded.get(stream)
    if (bounded === undefined) return false
    this.#countUnread(stream, bounded)
    return stream.readyState === stream.OPEN
  }

  /** Now and then: closes the stream if a frame of it takes too long. @returns whether it is read from at all now */
  look(stream: WebSocket): boolean {
    const bounded = this.#bounded.get(stream)
    if (bounded === undefined) return true
    this.#countUnread(stream, bounded)
    const { unfinishedSinceMs, goesOn, isWaiting } = bounded
    if (goesOn !== undefined || isWaiting) return false
    if (unfinishedSinceMs !== undefined && this.#nowMs() - unfinishedSinceMs >= UNFINISHED_MS)
      stream.terminate()
    return true
  }

  #received(stream: WebSocket, bounded: Bounded): void {
    const bytes = bounded.socket.bytesRead - bounded.finishedBytes
    if (bytes <= 0) return
    // While the hello waits for its turn, at most one read of what came with it is held.
    if (!bounded.hasName && !bounded.isWaiting && bytes > HELLO_FRAME_BYTES_MAX) {
      stream.terminate()
      return
    }
    bounded.unfinishedSinceMs ??= this.#nowMs()
    for (const greedy of this.#unfinished.holds(bounded.ip, stream, bytes)) greedy.terminate()
  }

  #countUnread(stream: WebSocket, bounded: Bounded): void {
    const unread = stream.bufferedAmount
    if (unread > UNREAD_BYTES_MAX) {
      stream.terminate()
      return
    }
    if (unread === bounded.unreadBytes) return
    bounded.unreadBytes = unread
    for (const greedy of this.#unread.holds(bounded.ip, stream, unread)) greedy.terminate()
  }

  #closed(stream: WebSocket, bounded: Bounded): void {
    clearTimeout(bounded.goesOn)
    this.#bounded.delete(stream)
    this.#nameless.free(stream)
    this.#named.free(stream)
    this.#unfinished.holds(bounded.ip, stream, 0)
    this.#unread.holds(bounded.ip, stream, 0)
    bounded.addressRate.streams--
  }

  /** An address keeps what it has spent when its streams close: to come again gives nothing. */
  #addressRate(nowMs: number, ip: string): AddressRate {
    const key = addressKey(ip)
    let rate = this.#addressRates.get(key)
    if (rate === undefined) {
      if (this.#addressRates.size >= IDLE_ADDRESSES_MAX) this.#forgetIdle(nowMs)
      const bucket = new TokenBucket(ADDRESS_RATE.perSecond, nowMs, ADDRESS_RATE.burstMs)
      rate = { key, bucket, streams: 0 }
      this.#addressRates.set(key, rate)
    }
    return rate
  }

  #forgetIdle(nowMs: number): void {
    for (const { key, bucket, streams } of this.#addressRates.values())
      if (streams === 0 && bucket.isFull(nowMs)) this.#addressRates.delete(key)
  }
}

/** RFC 6455, section 5.2: two bytes, the client's mask, and at most 125 bytes. */
function controlFrameBytes(data: Buffer): number {
  return 2 + 4 + data.length
}

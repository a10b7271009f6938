/**
 * One connection after its handshakes: brings what arrives to its buffers and tells the engine of it, and sends what the
 * engine wants sent. Decides nothing.
 */
import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import type { FetchId } from '@shoal/engine'
import {
  type Block,
  EXTENSION_HANDSHAKE_BYTES_MAX,
  encodePeerMessage,
  encodePieceHeader,
  isSameBlock,
  type PeerMessage,
  PeerWireDecoder,
  WireError,
} from '@shoal/wire'
import { pageBytesOf } from './page-cache.ts'
import { PAGE_BYTES, type Page } from './page-pool.ts'
import { type ReceivingSocket, takeOver } from './take-over.ts'

export interface PeerConnectionEvents {
  message: [message: PeerMessage]
  arrived: [fetch: FetchId, block: Block]
  unasked: [block: Block]
  sent: [block: Block]
  /** The peer has taken nothing of what is being sent for a while. */
  stalled: []
  closed: [error: Error | undefined]
}

export interface PeerConnectionParts {
  /** The page of a fetch's buffer that holds byte `offset` of its piece; undefined when there is none to be had. */
  readonly pageOf: (fetch: FetchId, pieceBytes: number, offset: number) => Page | undefined
  /** A page of the blob to send from; to be given back through `donePage`. */
  readonly readPage: (number: number) => Promise<Page>
  readonly donePage: (page: Page) => void
  /** Control messages wait for the kernel, more bytes of them than usual; 0 when they are gone. */
  readonly unsentControl: (bytes: number) => void
}

export interface PeerConnectionInit {
  readonly socket: Socket
  /** What came behind the handshake. */
  readonly rest: Uint8Array
  readonly shape: { readonly length: number; readonly pieceLength: number }
  /** The longest block that may come. */
  readonly blockBytesMax: number
}

/**
 * Read at a time outside of long blocks; standard clients send many short ones. One for all connections: what is read is
 * decoded before the next socket is read.
 */
const STAGING = new Uint8Array(64 * 1024)
/** Pages of one connection that wait for the kernel: enough to keep it busy. */
const PAGES_UNSENT_MAX = 4
/** Control messages of one connection that wait for the kernel: more is a peer that asks and does not listen. */
const CONTROL_BYTES_UNSENT_MAX = 1024 * 1024
/** Of these, what a connection may have unsent without being counted against its address. */
const CONTROL_BYTES_USUAL = 64 * 1024
/** A peer that takes not even a page in so long while something is being sent is gone: 9 KB/s at least. */
const SEND_IDLE_MS = 30_000
/** One that takes none for so long does not keep others waiting. */
const SEND_STALLED_MS = 2_000
/** A peer that says nothing for so long is gone: keep-alives come every two minutes (BEP 3). */
const SILENCE_MS = 150_000

export class PeerConnection extends EventEmitter<PeerConnectionEvents> {
  readonly #parts: PeerConnectionParts
  readonly #init: PeerConnectionInit
  readonly #decoder: PeerWireDecoder
  readonly #expected: { readonly fetch: FetchId; readonly block: Block }[] = []
  #arriving: FetchId | undefined
  #receiving: ReceivingSocket | undefined
  #socket: Socket
  #controlBytesUnsent = 0
  #isUnsentTold = false
  /** When the peer last took a page, or the block was begun. */
  #takenAtMs = Number.POSITIVE_INFINITY
  /** A block's header was written and its bytes were not yet: nothing else may go between them. */
  #isWithinBlock = false
  /** Messages that wait for the end of the block. */
  readonly #held: Uint8Array[] = []
  #sending: Promise<void> = Promise.resolve()
  #isClosed = false
  #isCorked = false

  constructor(parts: PeerConnectionParts, init: PeerConnectionInit) {
    super()
    this.#parts = parts
    this.#init = init
    this.#socket = init.socket
    const { length, pieceLength } = init.shape
    this.#decoder = new PeerWireDecoder({
      staging: STAGING,
      limits: {
        blockBytesMax: init.blockBytesMax,
        bitfieldBytesMax: Math.ceil(Math.ceil(length / pieceLength) / 8),
        extendedBytesMax: EXTENSION_HANDSHAKE_BYTES_MAX,
      },
      handler: {
        onMessage: (message) => {
          if (message.kind === 'reject') this.#forgetExpected(message)
          this.emit('message', message)
        },
        onBlockBegin: (block) => this.#blockBegins(block),
        blockTarget: (block, offset) => this.#blockTarget(block, offset),
        onBlockEnd: (block) => this.#blockEnds(block),
      },
    })
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Takes the socket, before anything is sent. */
  open(): void {
    this.#receiving = takeOver(this.#init.socket, {
      target: () => this.#decoder.target(),
      wrote: (count: number) => this.#decode(() => this.#decoder.wrote(count)),
      feed: (bytes: Uint8Array) => this.#decode(() => this.#decoder.feed(bytes)),
    })
    this.#socket = this.#receiving.socket
    this.#socket.setNoDelay(true)
    this.#socket.setTimeout(SILENCE_MS, () => this.close())
    this.#socket.on('error', (error) => this.close(error))
    this.#socket.on('end', () => this.close())
    this.#socket.on('close', () => this.close())
  }

  /** Hears what the peer said behind its handshake; all else follows by itself. */
  start(): void {
    this.#decode(() => this.#decoder.feed(this.#init.rest))
    if (!this.#isClosed) this.#receiving?.retarget()
  }

  send(message: PeerMessage): void {
    if (this.#isClosed) return
    const bytes = encodePeerMessage(message)
    this.#controlBytesUnsent += bytes.length
    if (this.#controlBytesUnsent > CONTROL_BYTES_UNSENT_MAX) {
      this.close(new Error('the peer asks and does not listen'))
      return
    }
    this.#tellUnsent()
    if (this.#isClosed) return
    if (this.#isWithinBlock) this.#held.push(bytes)
    else this.#write(bytes)
  }

  #write(message: Uint8Array): void {
    this.#cork()
    this.#socket.write(message, () => {
      this.#controlBytesUnsent -= message.length
      this.#tellUnsent()
    })
  }

  #tellUnsent(): void {
    const isMany = this.#controlBytesUnsent > CONTROL_BYTES_USUAL
    if (!isMany && !this.#isUnsentTold) return
    this.#isUnsentTold = isMany
    this.#parts.unsentControl(isMany ? this.#controlBytesUnsent : 0)
  }

  /** For how long the peer has taken nothing of the block that is being sent. */
  stalledForMs(nowMs: number): number {
    return Math.max(0, nowMs - this.#takenAtMs)
  }

  /** Asks for a block, for the buffer of `fetch`. */
  request(fetch: FetchId, block: Block): void {
    this.#expected.push({ fetch, block })
    this.send({ kind: 'request', ...block })
  }

  /** The block is not waited for, and its fetch's buffer is not touched any more. */
  cancel(fetch: FetchId, block: Block): void {
    const position = this.#expected.findIndex(
      (asked) => asked.fetch === fetch && isSameBlock(asked.block, block),
    )
    if (position >= 0) this.#expected.splice(position, 1)
    this.send({ kind: 'cancel', ...block })
  }

  /** The buffer of `fetch` is given up: what still arrives for it is dropped. */
  abandon(fetch: FetchId): void {
    if (this.#arriving !== fetch) return
    this.#arriving = undefined
    const block = this.#decoder.currentBlock
    this.#decoder.abandonBlock()
    if (!this.#isClosed) this.#receiving?.retarget()
    if (block !== undefined) this.emit('unasked', block)
  }

  /** Sends a block; `sent` tells when the kernel has all of it. Blocks of one connection go one after the other. */
  sendBlock(block: Block): void {
    this.#sending = this.#sending
      .then(() => this.#sendBlock(block))
      .catch((error: Error) => this.close(error))
  }

  close(error?: Error): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#arriving = undefined
    this.#decoder.abandonBlock()
    this.#socket.destroy()
    this.emit('closed', error)
  }

  #decode(decode: () => void): void {
    if (this.#isClosed) return
    try {
      decode()
    } catch (error) {
      this.close(error as Error)
      // Anything else is a bug of ours and must not be blamed on the peer.
      if (!(error instanceof WireError)) throw error
    }
  }

  /** The oldest request of the block is answered: if it is asked for anew, it comes for another fetch. */
  #forgetExpected(block: Block): void {
    const position = this.#expected.findIndex((asked) => isSameBlock(asked.block, block))
    if (position >= 0) this.#expected.splice(position, 1)
  }

  #blockBegins(block: Block): boolean {
    const position = this.#expected.findIndex((asked) => isSameBlock(asked.block, block))
    const expected = this.#expected[position]
    if (expected === undefined) {
      this.emit('unasked', block)
      return false
    }
    this.#expected.splice(position, 1)
    this.#arriving = expected.fetch
    return true
  }

  #blockTarget(block: Block, offset: number): Uint8Array | undefined {
    const fetch = this.#arriving
    if (fetch === undefined) return undefined
    const { length, pieceLength } = this.#init.shape
    const pieceBytes = Math.min(pieceLength, length - block.index * pieceLength)
    const at = block.begin + offset
    const page = this.#parts.pageOf(fetch, pieceBytes, at)
    if (page === undefined) {
      this.close(new Error('no buffer is free for what was asked for'))
      return undefined
    }
    const within = at % PAGE_BYTES
    return page.bytes.subarray(within, Math.min(PAGE_BYTES, within + block.length - offset))
  }

  #blockEnds(block: Block): void {
    const fetch = this.#arriving
    this.#arriving = undefined
    if (fetch !== undefined) this.emit('arrived', fetch, block)
  }

  async #sendBlock(block: Block): Promise<void> {
    let unsent = 0
    let failure: Error | undefined
    let wake: (() => void) | undefined
    const until = async (isEnough: () => boolean) => {
      while (!isEnough() && failure === undefined && !this.#isClosed) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      if (failure !== undefined) throw failure
    }
    const start = block.index * this.#init.shape.pieceLength + block.begin
    const end = start + block.length
    const pageBytes = pageBytesOf(this.#init.shape)
    const idle = setTimeout(() => this.close(new Error('the peer takes nothing')), SEND_IDLE_MS)
    const stalled: NodeJS.Timeout = setTimeout(() => {
      // Nothing could be taken, because the connection waits for a page.
      if (unsent === 0) stalled.refresh()
      else this.emit('stalled')
    }, SEND_STALLED_MS)
    try {
      for (let offset = start; offset < end && !this.#isClosed; ) {
        const page = await this.#parts.readPage(Math.floor(offset / pageBytes))
        if (this.#isClosed) {
          this.#parts.donePage(page)
          return
        }
        const within = offset % pageBytes
        const bytes = page.bytes.subarray(within, Math.min(pageBytes, within + end - offset))
        if (offset === start) {
          this.#cork()
          this.#isWithinBlock = true
          this.#socket.write(encodePieceHeader(block))
        }
        if (unsent++ === 0) this.#takenAtMs = performance.now()
        this.#socket.write(bytes, (error) => {
          unsent--
          this.#parts.donePage(page)
          if (error) failure = error
          idle.refresh()
          stalled.refresh()
          this.#takenAtMs = unsent === 0 ? Number.POSITIVE_INFINITY : performance.now()
          wake?.()
        })
        offset += bytes.length
        if (offset === end) this.#endBlock()
        await until(() => unsent < PAGES_UNSENT_MAX)
      }
      await until(() => unsent === 0)
    } finally {
      clearTimeout(idle)
      clearTimeout(stalled)
    }
    if (!this.#isClosed) this.emit('sent', block)
  }

  #endBlock(): void {
    this.#isWithinBlock = false
    for (const message of this.#held.splice(0)) this.#write(message)
  }

  /** What is written in one turn goes out in one call. */
  #cork(): void {
    if (this.#isCorked) return
    this.#isCorked = true
    this.#socket.cork()
    process.nextTick(() => {
      this.#isCorked = false
      this.#socket.uncork()
    })
  }
}

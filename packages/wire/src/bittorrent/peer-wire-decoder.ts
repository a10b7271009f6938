/**
 * Decodes what a peer sends, in whatever parts it comes, without copying blocks: the reader of the socket asks `target()`
 * where the next bytes should go, which within a block is the piece's own buffer, and says with `wrote(n)` how many came.
 * `feed()` does both for bytes that lie elsewhere. Pure: it touches the buffers it is given, and nothing else.
 *
 * Nothing is allocated for what a frame merely claims: a block goes where its request has prepared room, a control message
 * into a buffer that grows with the bytes that are really there, and both have a limit that is checked with the length.
 */
import { FrameInvalidError, FrameTooLargeError } from '../errors.ts'
import { type Block, MESSAGE_IDS, type PeerMessage, PIECE_HEADER_BYTES } from './peer-messages.ts'

export interface PeerWireHandler {
  onMessage(message: PeerMessage): void
  /** A block begins. @returns whether it is wanted; one that is not is skipped */
  onBlockBegin(block: Block): boolean
  /**
   * Where the block's bytes from `offset` on go: at least one byte, at most what is left of it. Asked again for every read,
   * so that an owner may change its mind: undefined skips the rest of the block.
   */
  blockTarget(block: Block, offset: number): Uint8Array | undefined
  onBlockEnd(block: Block): void
}

export interface PeerWireLimits {
  /** Bytes of one block. */
  readonly blockBytesMax: number
  /** Bytes of a `bitfield`: what the piece count needs. */
  readonly bitfieldBytesMax: number
  /** Bytes of one extended message, or of one whose id is unknown. */
  readonly extendedBytesMax: number
}

/** Bytes of a block that are rather copied than read by a call of their own. */
const DIRECT_BYTES_MIN = 4 * 1024
const CONTROL_BYTES_MIN = 64

type State = 'length' | 'head' | 'control' | 'block' | 'skip'

export class PeerWireDecoder {
  readonly #handler: PeerWireHandler
  readonly #limits: PeerWireLimits
  /** Where bytes go that belong to no wanted block. */
  readonly #staging: Uint8Array
  /** The numbers at a message's front: its length, or a piece's id, index and begin. */
  readonly #head = new Uint8Array(PIECE_HEADER_BYTES)
  readonly #headView = new DataView(this.#head.buffer)
  #state: State = 'length'
  /** Bytes of the head, the control message, the block or what is skipped that are here. */
  #filled = 0
  #messageBytes = 0
  #control = new Uint8Array(CONTROL_BYTES_MIN)
  #block: Block = { index: 0, begin: 0, length: 0 }
  #isTargetDirect = false

  /**
   * @param init.staging where bytes are read to outside of blocks. Nothing stays in it between two calls, so that many
   * decoders may share one; a long one suits peers that send many short blocks
   */
  constructor(init: {
    readonly handler: PeerWireHandler
    readonly limits: PeerWireLimits
    readonly staging: Uint8Array
  }) {
    this.#handler = init.handler
    this.#limits = init.limits
    this.#staging = init.staging
  }

  /** Where the next bytes of the connection should be read into; at least one byte. */
  target(): Uint8Array {
    this.#isTargetDirect = false
    if (this.#state === 'block' && this.#block.length - this.#filled >= DIRECT_BYTES_MIN) {
      const target = this.#handler.blockTarget(this.#block, this.#filled)
      if (target !== undefined) {
        this.#isTargetDirect = true
        return target
      }
      this.#state = 'skip'
    }
    return this.#staging
  }

  /**
   * `count` bytes were read into the last target.
   * @throws FrameTooLargeError · FrameInvalidError; the connection is of no more use then
   */
  wrote(count: number): void {
    if (this.#isTargetDirect) this.#advanceBlock(count)
    else this.feed(this.#staging.subarray(0, count))
  }

  /** The block that arrives is not wanted any more. The last target must not be written to again. */
  abandonBlock(): void {
    this.#isTargetDirect = false
    if (this.#state === 'block') this.#state = 'skip'
  }

  /** The block that is on its way, if there is one. */
  get currentBlock(): Block | undefined {
    return this.#state === 'block' ? this.#block : undefined
  }

  /** @throws FrameTooLargeError · FrameInvalidError */
  feed(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) at += this.#take(bytes, at)
  }

  /** Takes what the present state can use. @returns how many bytes, at least one */
  #take(bytes: Uint8Array, at: number): number {
    switch (this.#state) {
      case 'length':
        return this.#takeLength(bytes, at)
      case 'head':
        return this.#takeHead(bytes, at)
      case 'control':
        return this.#takeControl(bytes, at)
      case 'block':
        return this.#takeBlock(bytes, at)
      case 'skip': {
        const count = Math.min(bytes.length - at, this.#skipEnd - this.#filled)
        this.#filled += count
        if (this.#filled === this.#skipEnd) this.#begin('length')
        return count
      }
    }
  }

  get #skipEnd(): number {
    return this.#block.length
  }

  #begin(state: State): void {
    this.#state = state
    this.#filled = 0
  }

  #fillHead(bytes: Uint8Array, at: number, until: number): number {
    const count = Math.min(bytes.length - at, until - this.#filled)
    for (let i = 0; i < count; i++) this.#head[this.#filled + i] = bytes[at + i]!
    this.#filled += count
    return count
  }

  #takeLength(bytes: Uint8Array, at: number): number {
    const count = this.#fillHead(bytes, at, 5)
    if (this.#filled >= 4) {
      this.#messageBytes = this.#headView.getUint32(0)
      if (this.#messageBytes === 0) {
        // Byte five is the next message's first.
        const excess = this.#filled - 4
        this.#begin('length')
        this.#handler.onMessage({ kind: 'keep-alive' })
        return count - excess
      }
      if (this.#filled === 5) this.#knowId()
    }
    return count
  }

  /** Length and id are here: the length is checked, and where the rest goes is decided. */
  #knowId(): void {
    const id = this.#head[4]!
    const payloadBytes = this.#messageBytes - 1
    if (id === MESSAGE_IDS.piece) {
      if (payloadBytes < 9) throw new FrameInvalidError('a piece message without a block')
      if (payloadBytes - 8 > this.#limits.blockBytesMax)
        throw new FrameTooLargeError(payloadBytes - 8, this.#limits.blockBytesMax)
      this.#state = 'head'
      return
    }
    const bytesMax = this.#payloadBytesMax(id)
    if (payloadBytes > bytesMax) throw new FrameTooLargeError(payloadBytes, bytesMax)
    const isKnown = KIND_BY_ID.has(id)
    this.#begin('control')
    if (!isKnown) {
      this.#block = { index: 0, begin: 0, length: payloadBytes }
      this.#begin(payloadBytes === 0 ? 'length' : 'skip')
    } else if (payloadBytes === 0) this.#endControl()
  }

  #payloadBytesMax(id: number): number {
    if (id === MESSAGE_IDS.bitfield) return this.#limits.bitfieldBytesMax
    const fixed = PAYLOAD_BYTES.get(id)
    return fixed ?? this.#limits.extendedBytesMax
  }

  #takeHead(bytes: Uint8Array, at: number): number {
    const count = this.#fillHead(bytes, at, PIECE_HEADER_BYTES)
    if (this.#filled < PIECE_HEADER_BYTES) return count
    this.#block = {
      index: this.#headView.getUint32(5),
      begin: this.#headView.getUint32(9),
      length: this.#messageBytes - 9,
    }
    this.#begin(this.#handler.onBlockBegin(this.#block) ? 'block' : 'skip')
    return count
  }

  #takeBlock(bytes: Uint8Array, at: number): number {
    const target = this.#handler.blockTarget(this.#block, this.#filled)
    if (target === undefined) {
      this.#state = 'skip'
      return 0
    }
    const count = Math.min(bytes.length - at, target.length)
    target.set(bytes.subarray(at, at + count))
    this.#advanceBlock(count)
    return count
  }

  #advanceBlock(count: number): void {
    this.#filled += count
    if (this.#filled < this.#block.length) return
    const block = this.#block
    this.#begin('length')
    this.#handler.onBlockEnd(block)
  }

  #takeControl(bytes: Uint8Array, at: number): number {
    const payloadBytes = this.#messageBytes - 1
    const count = Math.min(bytes.length - at, payloadBytes - this.#filled)
    if (this.#filled + count > this.#control.length) {
      // Twice what is here, and never what the frame merely claims.
      const grown = new Uint8Array(Math.min(payloadBytes, 2 * (this.#filled + count)))
      grown.set(this.#control.subarray(0, this.#filled))
      this.#control = grown
    }
    this.#control.set(bytes.subarray(at, at + count), this.#filled)
    this.#filled += count
    if (this.#filled === payloadBytes) this.#endControl()
    return count
  }

  #endControl(): void {
    const id = this.#head[4]!
    const payload = this.#control.subarray(0, this.#filled)
    const message = controlMessage(id, payload)
    if (this.#control.length > CONTROL_BYTES_MIN) this.#control = new Uint8Array(CONTROL_BYTES_MIN)
    this.#begin('length')
    this.#handler.onMessage(message)
  }
}

type ControlKind = Exclude<PeerMessage['kind'], 'keep-alive'>

const KIND_BY_ID = new Map<number, ControlKind>(
  Object.entries(MESSAGE_IDS).flatMap(([kind, id]) => (kind === 'piece' ? [] : [[id, kind as ControlKind]])),
)

/** Bytes that follow the id, where that is always the same. */
const PAYLOAD_BYTES = new Map<number, number>([
  [MESSAGE_IDS.choke, 0],
  [MESSAGE_IDS.unchoke, 0],
  [MESSAGE_IDS.interested, 0],
  [MESSAGE_IDS['not-interested'], 0],
  [MESSAGE_IDS.have, 4],
  [MESSAGE_IDS.request, 12],
  [MESSAGE_IDS.cancel, 12],
  [MESSAGE_IDS.suggest, 4],
  [MESSAGE_IDS['have-all'], 0],
  [MESSAGE_IDS['have-none'], 0],
  [MESSAGE_IDS.reject, 12],
  [MESSAGE_IDS['allowed-fast'], 4],
])

function controlMessage(id: number, payload: Uint8Array): PeerMessage {
  const kind = KIND_BY_ID.get(id)!
  const expected = PAYLOAD_BYTES.get(id)
  if (expected !== undefined && payload.length !== expected)
    throw new FrameInvalidError(`${kind} has ${payload.length} bytes instead of ${expected}`)
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
  switch (kind) {
    case 'have':
    case 'suggest':
    case 'allowed-fast':
      return { kind, index: view.getUint32(0) }
    case 'request':
    case 'cancel':
    case 'reject':
      return { kind, index: view.getUint32(0), begin: view.getUint32(4), length: view.getUint32(8) }
    case 'bitfield':
      return { kind, bytes: payload.slice() }
    case 'extended':
      if (payload.length === 0) throw new FrameInvalidError('an extended message without its id')
      return { kind, id: payload[0]!, payload: payload.slice(1) }
    default:
      return { kind }
  }
}

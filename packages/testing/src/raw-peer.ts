/** A peer without manners: says on a connection just what the test tells it to, and keeps what it hears. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import {
  decodeHandshake,
  encodeHandshake,
  encodePeerMessage,
  HANDSHAKE_BYTES,
  type PeerMessage,
  PeerWireDecoder,
} from '@shoal/wire'

export interface RawPeer {
  readonly socket: Socket
  /** What it heard after the handshake; blocks are counted only. */
  readonly heard: PeerMessage[]
  readonly blocks: number
  readonly isClosed: boolean
  say(...messages: readonly PeerMessage[]): void
  write(bytes: Uint8Array): void
}

/** Resolves when the other side has answered the handshake, or has closed the connection. */
export async function dialRaw(
  port: number,
  init: { infoHash: string; peerId: string; hasFast?: boolean; localAddress?: string },
): Promise<RawPeer> {
  const { localAddress = '127.0.0.1' } = init
  const socket = connect({ port, host: '127.0.0.1', localAddress })
  socket.on('error', () => {})
  let rest = Buffer.alloc(0)
  const peer = {
    socket,
    heard: [] as PeerMessage[],
    blocks: 0,
    isClosed: false,
    say: (...messages: readonly PeerMessage[]) => {
      socket.write(Buffer.concat(messages.map((message) => encodePeerMessage(message))))
    },
    write: (bytes: Uint8Array) => void socket.write(bytes),
  }
  socket.once('close', () => {
    peer.isClosed = true
  })
  const decoder = new PeerWireDecoder({
    staging: new Uint8Array(16),
    limits: { blockBytesMax: 2 ** 24, bitfieldBytesMax: 2 ** 16, extendedBytesMax: 2 ** 16 },
    handler: {
      onMessage: (message) => peer.heard.push(message),
      onBlockBegin: () => {
        peer.blocks++
        return false
      },
      blockTarget: () => undefined,
      onBlockEnd: () => {},
    },
  })
  await once(socket, 'connect')
  socket.write(
    encodeHandshake({
      infoHash: init.infoHash,
      peerId: init.peerId,
      hasFast: init.hasFast ?? true,
      hasExtensions: false,
    }),
  )
  const answered = Promise.withResolvers<void>()
  socket.once('close', answered.resolve)
  let isGreeted = false
  socket.on('data', (chunk: Buffer) => {
    if (isGreeted) return decoder.feed(chunk)
    rest = Buffer.concat([rest, chunk])
    if (rest.length < HANDSHAKE_BYTES) return
    decodeHandshake(rest.subarray(0, HANDSHAKE_BYTES))
    isGreeted = true
    decoder.feed(rest.subarray(HANDSHAKE_BYTES))
    answered.resolve()
  })
  await answered.promise
  return peer
}

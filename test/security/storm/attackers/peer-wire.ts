/**
 * BitTorrent's words on every peer port: handshakes, extension handshakes, messages with numbers that fit no torrent, pieces that
 * nobody asked for, and probes. The swarms are mostly real.
 */
import { bencode, type Prng } from '@shoal/core'
import {
  type Block,
  EXTENSION_HANDSHAKE_ID,
  encodeExtensionHandshake,
  encodeHandshake,
  encodePeerMessage,
  encodePieceHeader,
  encodeProbe,
  type PeerMessage,
} from '@shoal/wire'
import { type Attacker, pause } from '../attacker.ts'
import { deliver, dial, heard, leave } from '../connection.ts'
import { damaged, oneOf, randomBytes, randomHex } from '../random-messages.ts'
import { freshBlob, listenersOf, type World } from '../world.ts'

export const peerWire: Attacker = {
  name: 'peer-wire',
  atOnce: 12,
  async act(world, prng, note, signal) {
    const listener = oneOf(listenersOf(world, 'peer-port'), prng)
    const handshake = firstBytes(world, prng)
    const messages = Array.from({ length: prng.below(15) }, () => messageOf(world, prng))
    note(`${listener.name}: ${handshake.what}; ${messages.map(({ what }) => what).join(', ')}`)
    const socket = await dial(listener.address, prng, signal)
    if (socket === undefined) return
    if (prng.below(2) === 0) {
      socket.write(handshake.bytes)
      await heard(socket, 1_000, signal)
      for (const { bytes } of messages) {
        if (socket.destroyed) return
        socket.write(prng.below(15) === 0 ? damaged(bytes, prng) : bytes)
        if (prng.below(4) === 0) await pause(prng.below(100), signal)
      }
    } else {
      const all = Buffer.concat([handshake.bytes, ...messages.map(({ bytes }) => bytes)])
      await deliver(socket, all, prng, signal)
    }
    await leave(socket, prng, signal)
  },
}

export interface RandomWords {
  readonly what: string
  readonly bytes: Uint8Array
}

function firstBytes(world: World, prng: Prng): RandomWords {
  const peerId = prng.below(3) === 0 ? oneOf(world.peerIds, prng) : randomHex(40, prng)
  const infoHash = prng.below(8) === 0 ? randomHex(40, prng) : freshBlob(world, prng).infoHash
  switch (prng.below(12)) {
    case 0:
      return { what: 'a probe', bytes: encodeProbe(oneOf(world.peerIds, prng), peerId) }
    case 1:
      return { what: 'noise', bytes: randomBytes(1 + prng.below(100), prng) }
    case 2:
      return { what: 'nothing', bytes: new Uint8Array(0) }
    default: {
      const bytes = encodeHandshake({
        infoHash,
        peerId,
        hasFast: prng.below(4) > 0,
        hasExtensions: prng.below(4) > 0,
      })
      return {
        what: `handshake ${infoHash.slice(0, 8)}`,
        bytes: prng.below(15) === 0 ? damaged(bytes, prng) : bytes,
      }
    }
  }
}

export function messageOf(world: World, prng: Prng): RandomWords {
  const { metainfo } = freshBlob(world, prng)
  const pieces = Math.ceil(metainfo.length / metainfo.pieceLength)
  const index = oneOf([prng.below(pieces), pieces, 0xffff_ffff, 0x8000_0000], prng)
  const block: Block = {
    index,
    begin: oneOf([0, 16_384, metainfo.pieceLength, 0xffff_ffff], prng),
    length: oneOf([16_384, 0, 1, metainfo.pieceLength, 0xffff_ffff, 4 * 1024 * 1024 + 1], prng),
  }
  const message = (one: PeerMessage) => ({ what: one.kind, bytes: encodePeerMessage(one) })
  switch (prng.below(10)) {
    case 0:
      return message({
        kind: oneOf(['keep-alive', 'choke', 'unchoke', 'interested', 'not-interested'], prng),
      })
    case 1:
      return message({ kind: oneOf(['have-all', 'have-none'], prng) })
    case 2:
      return message({ kind: oneOf(['have', 'suggest', 'allowed-fast'], prng), index })
    case 3:
      return message({
        kind: 'bitfield',
        bytes: randomBytes(oneOf([Math.ceil(pieces / 8), 0, 1, 500], prng), prng),
      })
    case 4:
    case 5:
      return message({ kind: oneOf(['request', 'cancel', 'reject'], prng), ...block })
    case 6: {
      const length = prng.below(20_000)
      const bytes = Buffer.concat([encodePieceHeader({ ...block, length }), randomBytes(length, prng)])
      return { what: `piece of ${length}`, bytes }
    }
    case 7:
      return message({ kind: 'extended', id: EXTENSION_HANDSHAKE_ID, payload: extensionOf(prng) })
    case 8:
      return message({ kind: 'extended', id: prng.below(256), payload: randomBytes(prng.below(300), prng) })
    default: {
      // Any length and id, and less behind it.
      const bytes = Buffer.alloc(5 + prng.below(30))
      bytes.writeUInt32BE(oneOf([1, 13, 0xffff_ffff, 0x0100_0000, 0x0040_0010], prng))
      bytes[4] = prng.below(256)
      return { what: `length ${bytes.readUInt32BE(0)} id ${bytes[4]}`, bytes }
    }
  }
}

function extensionOf(prng: Prng): Uint8Array {
  const honest = encodeExtensionHandshake({
    requestsMax: oneOf([1, 500, 2 ** 31], prng),
    shoal: {
      blockBytesMax: oneOf([16_384, 65_536, 2 ** 40], prng),
      ticket: randomBytes(prng.below(100), prng),
      isSource: prng.below(2) === 0,
      zone: oneOf(['', 'a', 'é'], prng),
    },
  })
  switch (prng.below(5)) {
    case 0:
      return damaged(honest, prng)
    case 1:
      return bencode({
        m: { ut_pex: 1, ut_metadata: 2 },
        metadata_size: 2 ** 40,
        reqq: -1,
        shoal: { version: 1 },
      })
    case 2:
      return Buffer.from('d'.repeat(5_000))
    case 3:
      return Buffer.concat([honest, Buffer.alloc(20_000)])
    default:
      return honest
  }
}

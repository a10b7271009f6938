/**
 * Announce streams on which everything is said that the schema allows, in any order, with a field changed, cut, too long or not
 * at all; and frames that no WebSocket library would send.
 */
import type { Prng } from '@shoal/core'
import {
  AgentMessage,
  ANNOUNCE_STREAM_PATH,
  ANNOUNCE_STREAM_VERSION,
  encodeMessage,
  TRY_PEERS_CAPABILITY,
} from '@shoal/wire'
import { WebSocket } from 'ws'
import { type Attacker, pause } from '../attacker.ts'
import { dial, leave, openAnnounceStream } from '../connection.ts'
import { damaged, oneOf, randomBytes, randomHex, valuesOf, withOneFieldChanged } from '../random-messages.ts'
import { freshBlob, listenersOf, strangerAddress, type World } from '../world.ts'

const TOO_LONG = Buffer.alloc(4 * 1024 * 1024 + 1)

export const announceStreams: Attacker = {
  name: 'announce-streams',
  atOnce: 8,
  async act(world, prng, note, signal) {
    const socket = await openAnnounceStream(world.seederUrl, strangerAddress(prng), signal)
    if (socket === undefined) return
    const random = valuesOf(AgentMessage, prng)
    const said: unknown[] = prng.below(5) === 0 ? [] : [helloOf(world, prng)]
    for (let more = prng.below(12); more > 0; more--) said.push(messageOf(world, random, prng))
    note(`says ${shortened(said)}`)
    for (const message of said) {
      if (socket.readyState !== WebSocket.OPEN) break
      const changed = prng.below(4) === 0 ? withOneFieldChanged(message, prng) : message
      const frame = prng.below(10) === 0 ? damaged(encodeMessage(changed), prng) : encodeMessage(changed)
      socket.send(prng.below(60) === 0 ? TOO_LONG : frame, { binary: prng.below(30) > 0 })
      if (prng.below(4) === 0) await pause(prng.below(200), signal)
    }
    await pause(prng.below(2_000), signal)
    const ending = oneOf(['close', 'reset', 'terminate'] as const, prng)
    if (ending === 'close') socket.close(oneOf([1000, 1001, 3000, 4999], prng))
    else if (ending === 'reset') reset(socket)
    await pause(50, signal)
    socket.terminate()
  },
}

export const rawFrames: Attacker = {
  name: 'raw-frames',
  atOnce: 5,
  async act(world, prng, note, signal) {
    const [seeder] = listenersOf(world, 'seeder')
    const frames = Array.from({ length: 1 + prng.below(6) }, () => rawFrame(prng))
    note(`frames ${frames.map((frame) => Buffer.from(frame.subarray(0, 12)).toString('hex')).join(' ')}`)
    const socket = await dial(seeder!.address, prng, signal)
    if (socket === undefined) return
    socket.write(
      `GET ${oneOf([ANNOUNCE_STREAM_PATH, ANNOUNCE_STREAM_PATH, `${ANNOUNCE_STREAM_PATH}?x=1`, '/not-there'], prng)} HTTP/1.1\r\n` +
        'Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        `Sec-WebSocket-Version: ${oneOf(['13', '13', '13', '8', 'x'], prng)}\r\n` +
        `Sec-WebSocket-Key: ${oneOf(['dGhlIHNhbXBsZSBub25jZQ==', 'dGhlIHNhbXBsZSBub25jZQ==', 'short'], prng)}\r\n\r\n`,
    )
    if (prng.below(3) === 0) await pause(prng.below(100), signal)
    for (const frame of frames) if (!socket.destroyed) socket.write(frame)
    await leave(socket, prng, signal)
  },
}

function helloOf(world: World, prng: Prng): unknown {
  return {
    type: 'hello',
    version: ANNOUNCE_STREAM_VERSION,
    name: oneOf(['node-1', '', '\u001b[31mred\nline', 'x'.repeat(255)], prng),
    zone: oneOf(['', 'a', 'é'.repeat(200)], prng),
    peerId: prng.below(5) === 0 ? oneOf(world.peerIds, prng) : randomHex(40, prng),
    ...(prng.below(2) === 0 && {
      host: oneOf(
        [
          'localhost',
          'no-such-host.invalid',
          '::1',
          '0.0.0.0',
          '127.0.9.1',
          '300.1.1.1',
          '-',
          '::ffff:1.2.3.4',
        ],
        prng,
      ),
    }),
    port: oneOf([1, 6001, 65_535, ...world.listeners.map(({ address }) => address.port)], prng),
    ...(prng.below(2) === 0 && { capabilities: [TRY_PEERS_CAPABILITY, 'x'] }),
  }
}

function messageOf(world: World, random: Iterator<unknown>, prng: Prng): unknown {
  const infoHash = freshBlob(world, prng).infoHash
  switch (prng.below(4)) {
    case 0:
      return {
        type: 'announce',
        swarms: [{ infoHash, state: oneOf(['leeching', 'holding', 'seeding'], prng) }],
      }
    case 1:
      return oneOf(
        [
          { type: 'try-peers', id: prng.below(2 ** 31) },
          { type: 'dialled', id: prng.below(5), outcome: 'reached', ms: 1 },
          { type: 'leave', infoHashes: [infoHash, infoHash] },
        ],
        prng,
      )
    default:
      return random.next().value
  }
}

/** Server frames are never masked, clients' always: these are either, whole or not. */
function rawFrame(prng: Prng): Uint8Array {
  const payload = randomBytes(prng.below(200), prng)
  const first = oneOf([0x82, 0x02, 0x80, 0x00, 0x81, 0x88, 0x89, 0x8a, 0xf2, 0x83, 0x8f], prng)
  const isMasked = prng.below(6) > 0
  const masked = isMasked ? 0x80 : 0
  const mask = isMasked ? [0, 0, 0, 0] : []
  const lengths: readonly (() => number[])[] = [
    () => [masked | Math.min(payload.length, 125)],
    () => [masked | 126, payload.length >> 8, payload.length & 0xff],
    () => [masked | 127, 0, 0, 0, 0, 0, 0x3f, 0xff, 0xff],
    () => [masked | 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  ]
  return Buffer.concat([Uint8Array.of(first, ...oneOf(lengths, prng)(), ...mask), payload])
}

function reset(socket: WebSocket): void {
  const { _socket: raw } = socket as unknown as { readonly _socket?: { resetAndDestroy(): void } }
  raw?.resetAndDestroy()
}

function shortened(value: unknown): string {
  const text = JSON.stringify(value, (_key, item) =>
    item instanceof Uint8Array ? `${item.length} bytes` : typeof item === 'string' ? item.slice(0, 60) : item,
  )
  return text.slice(0, 1_500)
}

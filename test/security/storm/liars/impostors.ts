/**
 * Strangers that pass for agents: they listen, say hello, and say that they have what others fetch. Who dials them by BitTorrent
 * is given bad pieces, by HTTP resolutions that are nearly the seeder's.
 */
import { once } from 'node:events'
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createPrng, encodeInfo, type Prng } from '@shoal/core'
import {
  ANNOUNCE_STREAM_VERSION,
  decodeResolution,
  encodeAgentMessage,
  encodeHandshake,
  encodeMessage,
  encodePeerMessage,
  encodePieceHeader,
  HANDSHAKE_BYTES,
  RESOLUTION_MEDIA_TYPE,
  Resolution,
} from '@shoal/wire'
import { WebSocket } from 'ws'
import { unpackingFrame } from '../../../bench/floods/rows/unpacking-frames.ts'
import { type Attacker, pause } from '../attacker.ts'
import { messageOf } from '../attackers/peer-wire.ts'
import { openAnnounceStream } from '../connection.ts'
import { damaged, oneOf, randomBytes, randomHex, valuesOf, withOneFieldChanged } from '../random-messages.ts'
import { type Address, freshBlob, type World } from '../world.ts'

const CONNECTIONS_MAX = 40
const CONNECTION_MS_MAX = 5_000
const BITTORRENT_FIRST_BYTE = 19
/** BEP 3's `request`: index, begin and length. */
const REQUEST_ID = 6
/** Ten megabytes that unpack to many times as much. */
const UNPACKING = unpackingFrame(10 * 1024 * 1024)

export interface Impostors extends AsyncDisposable {
  readonly addresses: readonly Address[]
  /** Says hello for them. */
  readonly attacker: Attacker
}

export async function startImpostors(count: number, seed: number, world: () => World): Promise<Impostors> {
  const servers: Server[] = []
  const addresses: Address[] = []
  const stop = async () => {
    for (const server of servers) server.close()
  }
  for (let n = 0; n < count; n++) {
    const prng = createPrng(seed + n)
    const http = createHttpServer((request, response) => void lie(request, response, world(), prng))
    const server = createServer((socket) => answer(socket, http, world(), prng))
    const host = `127.0.9.${100 + n}`
    server.listen(0, host)
    await once(server, 'listening')
    servers.push(server)
    addresses.push({ host, port: (server.address() as AddressInfo).port })
  }
  return { addresses, attacker: newcomers, [Symbol.asyncDispose]: stop }
}

const newcomers: Attacker = {
  name: 'impostors',
  atOnce: 3,
  async act(world, prng, note, signal) {
    const { host, port } = oneOf(world.impostors, prng)
    const socket = await openAnnounceStream(world.seederUrl, host, signal)
    if (socket === undefined) return
    note(`${host}:${port} passes for an agent`)
    const hello = { type: 'hello', version: ANNOUNCE_STREAM_VERSION, name: 'impostor', zone: '' } as const
    socket.send(encodeAgentMessage({ ...hello, peerId: randomHex(40, prng), host, port }))
    for (let said = 0; said < 6 && !signal.aborted && socket.readyState === WebSocket.OPEN; said++) {
      const infoHashes = [freshBlob(world, prng).infoHash, freshBlob(world, prng).infoHash]
      const state = oneOf(['seeding', 'seeding', 'leeching'] as const, prng)
      socket.send(
        encodeAgentMessage({ type: 'announce', swarms: infoHashes.map((infoHash) => ({ infoHash, state })) }),
      )
      await pause(1_000, signal)
    }
    socket.terminate()
  },
}

function answer(socket: Socket, http: ReturnType<typeof createHttpServer>, world: World, prng: Prng): void {
  socket.on('error', () => {})
  const timer = setTimeout(() => socket.destroy(), CONNECTION_MS_MAX)
  socket.once('close', () => clearTimeout(timer))
  connections.add(socket)
  socket.once('close', () => connections.delete(socket))
  if (connections.size > CONNECTIONS_MAX) return void socket.resetAndDestroy()
  if (prng.below(10) === 0) return void socket.resetAndDestroy()
  socket.once('readable', () => {
    const head: Buffer | null = socket.read()
    if (head === null) return
    if (head[0] === BITTORRENT_FIRST_BYTE) return seed(socket, head, world, prng)
    http.emit('connection', socket)
    socket.unshift(head)
  })
}
const connections = new Set<Socket>()

/** Says that it has everything, and gives what it has not. */
function seed(socket: Socket, head: Buffer, world: World, prng: Prng): void {
  if (head.length < HANDSHAKE_BYTES) return void socket.resetAndDestroy()
  const infoHash = head.toString('hex', 28, 48)
  const say = (bytes: Uint8Array) => {
    if (!socket.destroyed) socket.write(bytes)
  }
  const words = encodeHandshake({
    infoHash,
    peerId: randomHex(40, prng),
    hasFast: true,
    hasExtensions: false,
  })
  say(prng.below(10) === 0 ? damaged(words, prng) : words)
  say(encodePeerMessage({ kind: 'have-all' }))
  say(encodePeerMessage({ kind: 'unchoke' }))
  let rest = head.subarray(HANDSHAKE_BYTES)
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 4) {
      const length = rest.readUInt32BE(0)
      if (length > 1_000_000) return void socket.destroy()
      if (rest.length < 4 + length) return
      const frame = rest.subarray(4, 4 + length)
      rest = rest.subarray(4 + length)
      if (frame[0] === REQUEST_ID && frame.length === 13) give(frame)
    }
  })
  socket.resume()

  const give = (request: Buffer) => {
    const [index, begin, length] = [1, 5, 9].map((at) => request.readUInt32BE(at)) as [number, number, number]
    if (length > 1_000_000) return
    const block = new Uint8Array(length).fill(prng.below(256))
    switch (prng.below(6)) {
      case 0:
        return void socket.resetAndDestroy()
      case 1:
        say(encodePieceHeader({ index, begin, length }))
        say(block.subarray(0, prng.below(length + 1)))
        return void socket.resetAndDestroy()
      case 2:
        return say(messageOf(world, prng).bytes)
      case 3:
        // Never comes.
        return
      default:
        say(encodePieceHeader({ index: prng.below(5) === 0 ? index + 1 : index, begin, length }))
        return say(block)
    }
  }
}

/** What the seeder would say to the same question, with a lie in it. */
async function lie(
  request: IncomingMessage,
  response: ServerResponse,
  world: World,
  prng: Prng,
): Promise<void> {
  response.on('error', () => {})
  const genuine = await fetch(`${world.seederUrl}${request.url}`, { signal: AbortSignal.timeout(2_000) })
    .then(async (told) =>
      told.status === 200 ? decodeResolution(new Uint8Array(await told.arrayBuffer())) : undefined,
    )
    .catch(() => undefined)
  if (response.destroyed) return
  if (prng.below(10) === 0) return void request.socket.resetAndDestroy()
  const said =
    genuine === undefined || prng.below(6) === 0 ? randomResolution(prng) : twisted(genuine, world, prng)
  const bytes = prng.below(15) === 0 ? UNPACKING : encodeMessage(said)
  response.writeHead(oneOf([200, 200, 200, 200, 404, 500, 206, 302], prng), {
    'content-type': RESOLUTION_MEDIA_TYPE,
    ...(prng.below(10) === 0 && { 'content-length': bytes.length + 10 }),
  })
  response.write(prng.below(10) === 0 ? damaged(bytes, prng) : bytes)
  if (prng.below(10) === 0) request.socket.resetAndDestroy()
  else response.end()
}

function randomResolution(prng: Prng): unknown {
  return valuesOf(Resolution, prng).next().value
}

function twisted(genuine: Resolution, world: World, prng: Prng): unknown {
  const { metainfo } = freshBlob(world, prng)
  const { host, port } = oneOf(world.impostors, prng)
  const peers = [{ peerId: randomHex(40, prng), host, port, role: 'agent' as const }]
  switch (prng.below(8)) {
    case 0:
      return withOneFieldChanged(genuine, prng)
    case 1:
      // The digest and the length are right, the hashes of the pieces are not.
      return {
        ...genuine,
        blobs: [
          {
            info: encodeInfo({
              ...metainfo,
              piecesSha256: Uint8Array.from(metainfo.piecesSha256, (byte) => byte ^ 1),
            }),
            peers,
          },
        ],
      }
    case 2:
      return {
        ...genuine,
        blobs: genuine.blobs.map((blob) => ({ ...blob, peers, originUrl: `http://${host}:${port}/origin` })),
      }
    case 3:
      return {
        ...genuine,
        manifests: genuine.manifests.map((manifest) => ({ ...manifest, mediaType: 'text/html' })),
      }
    case 4:
      return { ...genuine, blobs: genuine.blobs.map((blob) => ({ ...blob, inline: randomBytes(50, prng) })) }
    case 5:
      return {
        ...genuine,
        tag: {
          record: {
            repository: 'docker.io/library/x1',
            tag: '1',
            digest: genuine.manifests[0]?.digest,
            issuedAtMs: 2 ** 52,
          },
          signature: new Uint8Array(64),
        },
      }
    case 6:
      return { ...genuine, warning: '\r\nx: y', arriving: [{ digest: metainfo.digest, length: 2 ** 40 }] }
    default:
      return genuine
  }
}

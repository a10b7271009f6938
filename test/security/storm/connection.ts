/** A stranger's connection: bytes as he likes, an end as he likes, and never an error. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Prng } from '@shoal/core'
import { ANNOUNCE_STREAM_PATH } from '@shoal/wire'
import { WebSocket } from 'ws'
import { pause } from './attacker.ts'
import { oneOf } from './random-messages.ts'
import { type Address, strangerAddress } from './world.ts'

const CONNECT_MS_MAX = 3_000

/** @returns undefined where nobody answers */
export async function dial(
  { host, port }: Address,
  prng: Prng,
  signal: AbortSignal,
): Promise<Socket | undefined> {
  const socket = connect({ host, port, localAddress: strangerAddress(prng) })
  socket.on('error', () => {})
  const giveUp = () => socket.destroy()
  signal.addEventListener('abort', giveUp, { once: true })
  socket.once('close', () => signal.removeEventListener('abort', giveUp))
  const connected = once(socket, 'connect').then(
    () => true,
    () => false,
  )
  const isConnected = await Promise.race([connected, pause(CONNECT_MS_MAX, signal).then(() => false)])
  if (isConnected) return socket
  socket.destroy()
  return undefined
}

/** Waits for the first bytes of an answer, or for an end. */
export async function heard(socket: Socket, ms: number, signal: AbortSignal): Promise<void> {
  if (socket.destroyed) return
  const event = Promise.withResolvers<void>()
  const settle = () => event.resolve()
  socket.once('data', settle).once('close', settle).once('end', settle)
  await Promise.race([event.promise, pause(ms, signal)])
}

/** Some ways to go: a reset, an end, half an end, after an answer or before. */
export async function leave(socket: Socket, prng: Prng, signal: AbortSignal): Promise<void> {
  switch (prng.below(6)) {
    case 0:
      socket.resetAndDestroy()
      return
    case 1:
      // What was written is on its way, and the answer is not.
      await pause(prng.below(5), signal)
      socket.resetAndDestroy()
      return
    case 2:
      await heard(socket, 2_000, signal)
      socket.resetAndDestroy()
      return
    case 3:
      socket.end()
      await heard(socket, 2_000, signal)
      break
    case 4:
      // Never reads.
      socket.pause()
      await pause(100 + prng.below(1_500), signal)
      socket.resetAndDestroy()
      return
    default:
      socket.resume()
      await heard(socket, 3_000, signal)
      await pause(prng.below(200), signal)
  }
  socket.destroy()
}

/** All at once, in two parts, cut, or slowly. */
export async function deliver(
  socket: Socket,
  bytes: Uint8Array,
  prng: Prng,
  signal: AbortSignal,
): Promise<void> {
  const write = (part: Uint8Array) => {
    if (!socket.destroyed) socket.write(part)
  }
  const at = prng.below(bytes.length + 1)
  switch (oneOf(['whole', 'whole', 'whole', 'parts', 'cut', 'slow'] as const, prng)) {
    case 'whole':
      return write(bytes)
    case 'parts':
      write(bytes.subarray(0, at))
      await pause(prng.below(300), signal)
      return write(bytes.subarray(at))
    case 'cut':
      return write(bytes.subarray(0, at))
    case 'slow':
      for (let sent = 0; sent < Math.min(bytes.length, 60) && !socket.destroyed; sent += 3) {
        write(bytes.subarray(sent, sent + 3))
        await pause(30, signal)
      }
  }
}

/** @returns undefined where none was opened */
export async function openAnnounceStream(
  seederUrl: string,
  localAddress: string,
  signal: AbortSignal,
): Promise<WebSocket | undefined> {
  const socket = new WebSocket(`${seederUrl.replace('http', 'ws')}${ANNOUNCE_STREAM_PATH}`, {
    localAddress,
    perMessageDeflate: false,
    handshakeTimeout: CONNECT_MS_MAX,
  })
  socket.on('error', () => {})
  const isOpen = await once(socket, 'open', { signal }).then(
    () => true,
    () => false,
  )
  if (isOpen) return socket
  socket.terminate()
  return undefined
}

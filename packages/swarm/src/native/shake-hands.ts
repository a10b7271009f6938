/** The first words of a connection (BEP 3): who is there, and which swarm is meant. Bounded in time and bytes. */
import type { Socket } from 'node:net'
import { decodeHandshake, encodeHandshake, HANDSHAKE_BYTES, type Handshake } from '@shoal/wire'

export interface ShakenHands {
  readonly theirs: Handshake
  /** What came behind the handshake. */
  readonly rest: Uint8Array
}

/**
 * @param ours what to say; a function where it depends on what they say, and may be undefined: then nothing is said
 * @returns undefined when the peer is of another protocol, says too little in time, or is not answered; the socket is
 * destroyed then
 */
export function shakeHands(
  socket: Socket,
  ours: Handshake | ((theirs: Handshake) => Handshake | undefined),
  timeoutMs: number,
): Promise<ShakenHands | undefined> {
  return new Promise((resolve) => {
    let heard = Buffer.alloc(0)
    const settle = (result: ShakenHands | undefined) => {
      clearTimeout(timer)
      socket.off('data', onData).off('close', onClose)
      if (result === undefined) socket.destroy()
      else socket.pause()
      resolve(result)
    }
    const onClose = () => settle(undefined)
    const onData = (chunk: Buffer | string) => {
      heard = Buffer.concat([heard, chunk as Buffer])
      if (heard.length < HANDSHAKE_BYTES) return
      const theirs = understood(heard.subarray(0, HANDSHAKE_BYTES))
      if (theirs === undefined) return settle(undefined)
      if (typeof ours === 'function') {
        const answer = ours(theirs)
        if (answer === undefined) return settle(undefined)
        socket.write(encodeHandshake(answer))
      } else if (theirs.infoHash !== ours.infoHash) return settle(undefined)
      settle({ theirs, rest: heard.subarray(HANDSHAKE_BYTES) })
    }
    const timer = setTimeout(() => settle(undefined), timeoutMs)
    socket.on('close', onClose).on('data', onData)
    if (typeof ours !== 'function') socket.write(encodeHandshake(ours))
  })
}

function understood(bytes: Uint8Array): Handshake | undefined {
  try {
    return decodeHandshake(bytes)
  } catch {
    return undefined
  }
}

/**
 * Turns a connected socket into one that reads into memory of our choosing: the kernel writes straight into a piece's buffer.
 *
 * Node offers that (`onread`) only for sockets that it creates itself, not for those that a server accepts, and not once some
 * bytes were looked at. So the system's handle is moved to a new socket; that is the one place where Node's internals are
 * touched. Where a handle has not the form that is known, the socket is left as it is and its chunks are copied.
 */
import { Socket } from 'node:net'

export interface Receiver {
  /** Where the next bytes should go. */
  target(): Uint8Array
  /** So many bytes came into the last target. */
  wrote(count: number): void
  /** Bytes that lie elsewhere. */
  feed(bytes: Uint8Array): void
}

export interface ReceivingSocket {
  readonly socket: Socket
  /** Asks for the target again: the one that was given must not be written to. */
  retarget(): void
}

interface Handle {
  reading: boolean
  readStop(): number
  useUserBuffer(buffer: Uint8Array): void
}

/** @param socket connected, without listeners; it must not be used afterwards */
export function takeOver(socket: Socket, receiver: Receiver): ReceivingSocket {
  const handle = (socket as unknown as { _handle?: Partial<Handle> })._handle
  if (!isKnown(handle) || socket.writableLength > 0) return copying(socket, receiver)
  handle.readStop()
  handle.reading = false
  Object.assign(socket, { _handle: null })
  socket.destroy()
  const taken = new Socket({
    handle,
    onread: {
      buffer: () => receiver.target(),
      callback: (count) => {
        receiver.wrote(count)
        return true
      },
    },
  } as ConstructorParameters<typeof Socket>[0])
  taken.read(0)
  return { socket: taken, retarget: () => handle.useUserBuffer(receiver.target()) }
}

function copying(socket: Socket, receiver: Receiver): ReceivingSocket {
  socket.on('data', (chunk) => receiver.feed(chunk as unknown as Uint8Array))
  socket.resume()
  return { socket, retarget: () => {} }
}

function isKnown(handle: Partial<Handle> | undefined): handle is Handle {
  return (
    typeof handle?.readStop === 'function' &&
    typeof handle.useUserBuffer === 'function' &&
    'reading' in handle
  )
}

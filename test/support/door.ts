/** A way to a service that can be closed and opened: closed, whoever comes or is there is cut off, as if the service were away. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface Door extends AsyncDisposable {
  /** Where the service is found as long as the door is open. */
  readonly url: string
  close(): void
  open(): void
}

/** @param to the service's port on loopback */
export async function openDoor(to: number): Promise<Door> {
  let isOpen = true
  const sockets = new Set<Socket>()
  const server = createServer((inside) => {
    if (!isOpen) {
      inside.destroy()
      return
    }
    const outside = connect(to, '127.0.0.1')
    for (const [socket, other] of [
      [inside, outside],
      [outside, inside],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.once('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
      socket.pipe(other)
    }
  })
  const close = () => {
    isOpen = false
    for (const socket of sockets) socket.destroy()
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close,
    open() {
      isOpen = true
    },
    async [Symbol.asyncDispose]() {
      close()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

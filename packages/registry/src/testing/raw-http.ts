/** Requests as bytes on a socket: what no well-behaved client library would send. */
import { connect, type Socket } from 'node:net'

/** Sends `request` and gives everything that comes back until the server closes or falls silent. */
export function rawExchange(port: number, request: string | Uint8Array, silentMs = 1_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let received = ''
    socket.setTimeout(silentMs, () => socket.destroy())
    socket.on('data', (bytes) => {
      received += bytes.toString('latin1')
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(received))
    socket.write(request)
  })
}

/** A GET of a path exactly as written. */
export async function rawGet(
  port: number,
  path: string,
  method = 'GET',
): Promise<{ status: number; body: string }> {
  const answer = await rawExchange(port, `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
  const status = Number(/^HTTP\/1\.1 ([0-9]{3})/.exec(answer)?.[1])
  return { status, body: answer.slice(answer.indexOf('\r\n\r\n') + 4) }
}

/** A connection that has sent `bytes` and stays open. */
export function openAndSend(port: number, bytes: string | Uint8Array): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes, () => resolve(socket)))
    socket.on('error', reject)
  })
}

/** Waits until `isTrue`, for what happens on the other side of a socket. */
export async function eventually(isTrue: () => boolean | Promise<boolean>, withinMs = 5_000): Promise<void> {
  const endAt = performance.now() + withinMs
  while (!(await isTrue())) {
    if (performance.now() > endAt) throw new Error(`did not become true within ${withinMs} ms: ${isTrue}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

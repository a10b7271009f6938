/** 128 uploads of which each is sent a byte now and then. */
import { connect, type Socket } from 'node:net'
import { request } from 'undici'
import { pushes } from '../honest.ts'
import { type FloodRow, type FloodTarget, floodAddress, floodPort, pause } from '../row.ts'

const UPLOADS = 128
const BYTE_INTERVAL_MS = 2_000
const REPOSITORY = 'flood/app'

export const slowUploads: FloodRow = {
  name: '128 uploads that send a byte now and then',
  honest: pushes,
  async flood(target, signal, say) {
    const open = new Set<Socket>()
    const counts = new Map<number, number>()
    const drip = setInterval(() => {
      for (const socket of open) socket.write('1\r\nx\r\n')
    }, BYTE_INTERVAL_MS)
    const keep = async (n: number) => {
      while (!signal.aborted) {
        const { status, location } = await begin(target)
        counts.set(status, (counts.get(status) ?? 0) + 1)
        if (location === undefined) {
          await pause(500, signal)
          continue
        }
        const socket = connect({
          host: '127.0.0.1',
          port: floodPort(target),
          localAddress: floodAddress(target, n),
        })
        socket.on('error', () => {}).resume()
        socket.write(`PATCH ${location} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n`)
        open.add(socket)
        await new Promise<void>((resolve) => {
          socket.once('close', () => resolve())
          signal.addEventListener('abort', () => socket.destroy(), { once: true })
        })
        open.delete(socket)
      }
    }
    const tell = setInterval(() => say(`${open.size} open; begun ${JSON.stringify([...counts])}`), 5_000)
    await Promise.all(Array.from({ length: UPLOADS }, (_, n) => keep(n)))
    clearInterval(drip)
    clearInterval(tell)
  },
}

/** @returns where it goes on, unless it was refused */
async function begin({ url }: FloodTarget): Promise<{ status: number; location?: string }> {
  try {
    const answer = await request(`${url}/v2/${REPOSITORY}/blobs/uploads/`, { method: 'POST' })
    await answer.body.dump()
    const { location } = answer.headers
    const { statusCode: status } = answer
    return status === 202 && typeof location === 'string' ? { status, location } : { status }
  } catch {
    return { status: 0 }
  }
}

/** Eight streams that announce 160,000 info hashes which nobody knows. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { ANNOUNCE_STREAM_PATH, encodeAgentMessage } from '@shoal/wire'
import { WebSocket } from 'ws'
import { type FloodRow, floodAddress, pause, untilAborted } from '../row.ts'

const STREAMS = 8
const FRAMES = 20
const HASHES_PER_FRAME = 1_000
const SWARMS_METRIC = /^shoal_seeder_swarms (\d+)/m

export const unknownInfoHashes: FloodRow = {
  name: '8 streams that announce 160,000 unknown info hashes',
  async flood(target, signal, say) {
    const stream = async (n: number) => {
      const socket = new WebSocket(`${target.url.replace('http', 'ws')}${ANNOUNCE_STREAM_PATH}`, {
        localAddress: floodAddress(target, n),
      })
      socket.on('error', () => {})
      socket.on('close', (code) => say(`stream ${n} closed with ${code}`))
      signal.addEventListener('abort', () => socket.terminate(), { once: true })
      if (
        !(await once(socket, 'open').then(
          () => true,
          () => false,
        ))
      )
        return
      const hello = { type: 'hello', version: 1, name: 'x', zone: String(n), port: 6001 } as const
      socket.send(encodeAgentMessage({ ...hello, peerId: randomBytes(20).toString('hex') }))
      for (let frame = 0; frame < FRAMES && !signal.aborted; frame++) {
        const infoHashes = Array.from({ length: HASHES_PER_FRAME }, () => randomBytes(20).toString('hex'))
        const swarms = infoHashes.map((infoHash) => ({ infoHash, state: 'leeching' as const }))
        socket.send(encodeAgentMessage({ type: 'announce', swarms }))
        await pause(100, signal)
      }
    }
    await Promise.all(Array.from({ length: STREAMS }, (_, n) => stream(n)))
    await pause(2_000, signal)
    const page = await fetch(`${target.url}/metrics`)
      .then((answer) => answer.text())
      .catch(() => '')
    say(`swarms: ${SWARMS_METRIC.exec(page)?.[1]}`)
    await untilAborted(signal)
  },
}

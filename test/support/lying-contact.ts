/**
 * Somebody who says hello to a seeder like an agent, is told of to the others as a contact, and then answers their questions as
 * it likes and sends them the pieces that it likes, both on one port as agents do.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createPrng, type Metainfo } from '@shoal/core'
import { infoHashOf } from '@shoal/storage'
import { createEngine } from '@shoal/swarm'
import { MemoryPieces } from '@shoal/testing/memory-pieces'
import { encodeAgentMessage, encodeResolution, RESOLUTION_MEDIA_TYPE, type Resolution } from '@shoal/wire'
import { WebSocket } from 'ws'

export interface LyingContact extends AsyncDisposable {
  readonly peerId: string
  readonly port: number
  /** Questions that it was asked. */
  readonly asked: URLSearchParams[]
  /** What it answers; 404 where it says nothing. */
  answer: (question: URLSearchParams) => Resolution | undefined
  /** Says that it has all pieces of a blob, and sends these bytes for them. */
  serve(metainfo: Metainfo, bytes: Buffer): Promise<void>
  stop(): Promise<void>
}

export async function startLyingContact(seederUrl: string): Promise<LyingContact> {
  const peerId = randomBytes(20).toString('hex')
  const asked: URLSearchParams[] = []
  const http = createServer((request, response) => {
    const question = new URL(request.url ?? '', 'http://liar').searchParams
    asked.push(question)
    const answer = contact.answer(question)
    if (answer === undefined) return void response.writeHead(404).end()
    response.writeHead(200, { 'content-type': RESOLUTION_MEDIA_TYPE }).end(encodeResolution(answer))
  })
  const sockets = new Set<import('node:net').Socket>()
  const engine = await createEngine('native', {
    host: '127.0.0.1',
    port: 0,
    peerId,
    prng: createPrng(1),
    onOtherProtocol: (socket) => {
      sockets.add(socket)
      socket.on('error', () => {})
      http.emit('connection', socket)
    },
  })
  await engine.start()
  const stream = new WebSocket(`${seederUrl.replace('http', 'ws')}/api/v1/announce-stream`)
  stream.on('error', () => {})
  await once(stream, 'open')
  const { port } = engine.address
  stream.send(encodeAgentMessage({ type: 'hello', version: 1, name: 'liar', zone: '', peerId, port }))
  const contact: LyingContact = {
    peerId,
    port,
    asked,
    answer: () => undefined,
    async serve(metainfo, bytes) {
      const pieces = MemoryPieces.all({ metainfo, bytes })
      await engine.join({ metainfo, infoHash: infoHashOf(metainfo), pieces })
    },
    async stop() {
      stream.terminate()
      for (const socket of sockets) socket.destroy()
      await engine.stop()
    },
    [Symbol.asyncDispose]: () => contact.stop(),
  }
  return contact
}

/**
 * Goal: answers that unpack to many times their size do not end an agent. A false contact's cost it little, since what is
 * longer than a contact's answer may be is not read; a false seeder's cost it what their bytes need. Method: an agent as a process of its own with a small heap, whose memory is looked
 * at from outside; a seeder of which nothing is true, and a contact that it tells of.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { ANNOUNCE_STREAM_PATH, encodeTrackerMessage, RESOLUTION_MEDIA_TYPE, RESOLVE_PATH } from '@shoal/wire'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocketServer } from 'ws'
import { peakMegabytes, residentMegabytes } from '../bench/process-usage.ts'
import { type ShoalProcess, startShoal } from '../support/shoal.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const MIB = 1024 * 1024
const HEAP = '--max-old-space-size=512'
/** proc(5): makes the peak what is resident now. */
const CLEAR_PEAK = '5'
/** Of questions and refusals one after the other, before V8 collects what they were about. As objects it would be hundreds. */
const QUESTION_MEGABYTES = 80

let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

const text = (value: string) => Buffer.from([0xa0 | value.length, ...Buffer.from(value)])
const list = (count: number) => {
  const header = Buffer.from([0xdd, 0, 0, 0, 0])
  header.writeUInt32BE(count, 1)
  return header
}
const noBytes = Buffer.from([0xc4, 0])

/** Blobs that are empty maps: a byte each here, some dozens of bytes each as objects. */
function emptyBlobs(bytes: number): Buffer {
  const head = Buffer.concat([Buffer.from([0x82]), text('manifests'), list(0), text('blobs')])
  const count = bytes - head.length - 5
  return Buffer.concat([head, list(count), Buffer.alloc(count, 0x80)])
}

/** Of what may be there as many as there may be: half a million peers, of which only what is in the fields is wrong. */
function emptyPeers(): Buffer {
  const fields = [text('peerId'), text(''), text('host'), text(''), text('port'), Buffer.from([0])]
  const peer = Buffer.concat([Buffer.from([0x84]), ...fields, text('role'), text('')])
  const peers = Buffer.concat([list(256), ...Array.from({ length: 256 }, () => peer)])
  const blob = Buffer.concat([Buffer.from([0x82]), text('info'), noBytes, text('peers'), peers])
  const head = Buffer.concat([Buffer.from([0x82]), text('manifests'), list(0), text('blobs'), list(2_048)])
  return Buffer.concat([head, ...Array.from({ length: 2_048 }, () => blob)])
}

/** Answers questions with the same bytes, whatever was asked; 503 while it has none. */
async function answering(): Promise<{
  server: Server
  port: number
  answer: Buffer | undefined
  asked: number
}> {
  const served = { server: createServer(), port: 0, answer: undefined as Buffer | undefined, asked: 0 }
  served.server.on('request', (request, response) => {
    response.on('error', () => {})
    if (!request.url?.startsWith(RESOLVE_PATH) || served.answer === undefined)
      return void response.writeHead(503).end()
    served.asked++
    response.writeHead(200, { 'content-type': RESOLUTION_MEDIA_TYPE }).end(served.answer)
  })
  served.server.listen(0, '127.0.0.1')
  await once(served.server, 'listening')
  served.port = (served.server.address() as AddressInfo).port
  stack.defer(() => {
    served.server.closeAllConnections()
    served.server.close()
  })
  return served
}

async function falseCluster() {
  const [seeder, contact] = [await answering(), await answering()]
  const streams = new WebSocketServer({ server: seeder.server, path: ANNOUNCE_STREAM_PATH })
  const signingKey = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'der' })
  const introduced = new Promise<void>((resolve) => {
    streams.on('connection', (stream) => {
      stream.on('error', () => {})
      stack.defer(() => stream.terminate())
      stream.send(encodeTrackerMessage({ type: 'welcome', version: 1, signingKey }))
      const peerId = randomBytes(20).toString('hex')
      const liar = { peerId, host: '127.0.0.1', port: contact.port, role: 'agent' as const }
      stream.send(encodeTrackerMessage({ type: 'contacts', agents: [liar] }))
      // It has read what came before.
      stream.ping()
      stream.once('pong', () => resolve())
    })
  })
  const folder = await temporaryFolder('answers')
  stack.defer(() => folder.remove())
  const agent = stack.use(
    await startShoal(
      ['agent', '--listen', '127.0.0.1:0', '--peer-listen', '127.0.0.1:0'].concat(
        ['--seeder', `http://127.0.0.1:${seeder.port}`],
        ['--cache', join(folder.path, 'cache')],
      ),
      { env: { NODE_OPTIONS: HEAP } },
    ),
  )
  await introduced
  return { seeder, contact, agent }
}

let images = 0
/** @returns the status of the answer to a pull of an image of which nobody has heard */
async function pull({ ready }: ShoalProcess): Promise<number> {
  const answer = await fetch(`http://${ready.listen}/v2/team/app-${images++}/manifests/1`)
  await answer.arrayBuffer()
  return answer.status
}

/** Pulls some times. @returns memory before and at the most, in megabytes */
async function measured(agent: ShoalProcess): Promise<{ before: number; peak: number }> {
  // What the first pull costs is not what the others do.
  await writeFile(`/proc/${agent.pid}/clear_refs`, CLEAR_PEAK)
  const before = await residentMegabytes(agent.pid)
  for (let n = 0; n < 3; n++) expect(await pull(agent)).toBeGreaterThanOrEqual(400)
  expect((await fetch(`http://${agent.ready.listen}/healthz`)).status).toBe(200)
  expect(agent.hasExited).toBe(false)
  const peak = await peakMegabytes(agent.pid)
  if (process.env.SHOW)
    console.log(expect.getState().currentTestName, before, peak, (peak / before).toFixed(2))
  return { before, peak }
}

/** Its bytes as they come, once more in one piece, and what V8 has not collected yet. */
const COLLECTED = 2.5
/** As objects: only as many as a resolution may have are built. */
const BUILT = 5
/** What it is, and how many times its bytes it may take of an agent that asked its seeder. */
const ANSWERS: readonly (readonly [string, () => Buffer, number])[] = [
  ['4 MiB of empty blobs', () => emptyBlobs(4 * MIB), COLLECTED],
  ['10 MiB of empty blobs', () => emptyBlobs(10 * MIB), COLLECTED],
  ['60 MiB of empty blobs', () => emptyBlobs(60 * MIB), COLLECTED],
  ['half a million empty peers', emptyPeers, COLLECTED + BUILT],
]

describe('an agent with a heap of 512 MiB', () => {
  it.each(ANSWERS)(
    'holds half of its own memory at most for a false contact: %s',
    async (_, answer) => {
      const { contact, agent } = await falseCluster()
      await pull(agent)
      contact.answer = answer()
      const { before, peak } = await measured(agent)
      expect(contact.asked).toBeGreaterThan(0)
      expect(peak / before).toBeLessThanOrEqual(1.5)
    },
    60_000,
  )

  it.each(ANSWERS)(
    'holds what the bytes need for a false seeder: %s',
    async (_, answer, times) => {
      const { seeder, agent } = await falseCluster()
      await pull(agent)
      seeder.answer = answer()
      const megabytes = seeder.answer.length / 1e6
      const { before, peak } = await measured(agent)
      expect(seeder.asked).toBeGreaterThan(0)
      expect(peak - before).toBeLessThanOrEqual(times * megabytes + QUESTION_MEGABYTES)
    },
    60_000,
  )
})

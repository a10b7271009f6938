/**
 * Some thousand agents, as far as the tracker can tell: each has its own WebSocket and says what an agent says. What the
 * tracker sends is decoded as an agent does.
 */
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { createPrng } from '@shoal/core'
import {
  type AgentMessage,
  ANNOUNCE_STREAM_PATH,
  decodeTrackerMessage,
  encodeAgentMessage,
} from '@shoal/wire'
import { WebSocket } from 'ws'
import type { Answer, Question, Share } from './protocol.ts'

/** Connections that are being opened at a time: fewer than the tracker's backlog, from all generators together. */
const OPENING_MAX = 100
/** Completions are said in bursts of so many milliseconds. */
const BURST_MS = 10

interface PlayedAgent {
  readonly socket: WebSocket
  /** Swarms in which it was told of somebody, the seeder included. */
  readonly known: Set<string>
}

const agents: PlayedAgent[] = []
let infoHashes: string[] = []
let heard = { frames: 0, bytes: 0 }
let announcedAtMs = 0
/** Of each agent, from the announce of all until it knew somebody in every swarm. */
let neighboursMs: number[] = []
let onNeighbours: () => void = () => {}

process.on('message', (question: Question) => void answer(question))
process.on('disconnect', () => process.exit())
say({ kind: 'ready' })

async function answer(question: Question): Promise<void> {
  heard = { frames: 0, bytes: 0 }
  if (question.kind === 'connect') await connectAll(question.share)
  if (question.kind === 'announce') await announceAll()
  if (question.kind === 'complete') await completeAll(question.seconds)
  if (question.kind === 'rest') await delay(question.seconds * 1000)
  const isAnnounce = question.kind === 'announce'
  say({ kind: 'done', heard, ...(isAnnounce && { neighboursMs }) })
}

async function connectAll({ port, from, to, layers, zones }: Share): Promise<void> {
  infoHashes = Array.from({ length: layers }, (_, layer) => hex20(layer, 'a'))
  const numbers = Array.from({ length: to - from }, (_, i) => from + i)
  const open = async () => {
    for (let n = numbers.pop(); n !== undefined; n = numbers.pop())
      agents.push(await connect(port, n, n % zones))
  }
  await Promise.all(Array.from({ length: OPENING_MAX }, open))
  await untilTakenIn()
}

async function connect(port: number, n: number, zone: number): Promise<PlayedAgent> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${ANNOUNCE_STREAM_PATH}`, { perMessageDeflate: false })
  const agent: PlayedAgent = { socket, known: new Set() }
  socket.on('message', (frame: Buffer) => hear(agent, frame))
  await once(socket, 'open')
  socket.on('close', () => {
    throw new Error('the tracker closed a stream')
  })
  const hello = {
    type: 'hello',
    version: 1,
    name: `node-${n}`,
    zone: `zone-${zone}`,
    peerId: hex20(n, '0'),
  } as const
  send(socket, { ...hello, port: 6001 })
  return agent
}

async function announceAll(): Promise<void> {
  announcedAtMs = performance.now()
  neighboursMs = []
  const all = new Promise<void>((resolve) => {
    onNeighbours = resolve
  })
  const swarms = infoHashes.map((infoHash) => ({ infoHash, state: 'leeching' as const }))
  const frame = encodeAgentMessage({ type: 'announce', swarms })
  for (const { socket } of agents) socket.send(frame)
  await all
  await untilTakenIn()
}

async function completeAll(seconds: number): Promise<void> {
  const frames = infoHashes.map((infoHash) =>
    encodeAgentMessage({ type: 'announce', swarms: [{ infoHash, state: 'seeding' }] }),
  )
  const completions = createPrng(process.pid).shuffled(
    agents.flatMap(({ socket }) => frames.map((frame) => ({ socket, frame }))),
  )
  const startMs = performance.now()
  let said = 0
  while (said < completions.length) {
    const due = Math.min(1, (performance.now() - startMs) / 1000 / seconds) * completions.length
    for (; said < due; said++) completions[said]!.socket.send(completions[said]!.frame)
    await delay(BURST_MS)
  }
  await untilTakenIn()
}

/** Frames are taken in turn: when a ping is answered, everything before it was. */
async function untilTakenIn(): Promise<void> {
  await Promise.all(
    agents.map(async ({ socket }) => {
      socket.ping()
      await once(socket, 'pong')
    }),
  )
}

function hear(agent: PlayedAgent, frame: Buffer): void {
  heard.frames++
  heard.bytes += frame.length
  const message = decodeTrackerMessage(frame)
  if (message.type !== 'peers' || agent.known.size === infoHashes.length) return
  for (const { infoHash } of message.swarms) agent.known.add(infoHash)
  if (agent.known.size < infoHashes.length) return
  neighboursMs.push(performance.now() - announcedAtMs)
  if (neighboursMs.length === agents.length) onNeighbours()
}

function send(socket: WebSocket, message: AgentMessage): void {
  socket.send(encodeAgentMessage(message))
}

function hex20(n: number, fill: string): string {
  return n.toString(16).padStart(40, fill)
}

function say(message: Answer): void {
  process.send!(message)
}

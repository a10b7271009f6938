/**
 * Goal: agents and standard clients find each other over real sockets; who misbehaves loses its stream and nothing else.
 * Method: a fastify server on a free port, `ws` and plain HTTP as clients.
 */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { bdecode, createPrng, type PeerAddress } from '@shoal/core'
import { type AgentMessage, decodeTrackerMessage, encodeAgentMessage, type TrackerMessage } from '@shoal/wire'
import fastify, { type FastifyInstance } from 'fastify'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { Tracker } from './tracker.ts'

const seeder: PeerAddress = { peerId: 'ee'.repeat(20), host: '127.0.0.1', port: 7001, role: 'seeder' }
const KNOWN = 'aa'.repeat(20)
const id = (n: number) => n.toString(16).padStart(40, '0')

let http: FastifyInstance
let seederHost: string
let tracker: Tracker
let port: number
let nowMs: number

beforeEach(() => serve('127.0.0.1'))

async function serve(listenHost: string): Promise<void> {
  nowMs = 0
  seederHost = listenHost
  http = fastify({ forceCloseConnections: true })
  tracker = new Tracker({
    log: pino({ level: 'silent' }),
    nowMs: () => nowMs,
    prng: createPrng(1),
    seeder: { ...seeder, host: seederHost },
    signingKey: Uint8Array.of(1, 2, 3),
    isKnown: async (infoHash) => infoHash === KNOWN,
    dialPeer: async () => ({ outcome: 'reached', ms: 1 }),
  })
  tracker.register(http)
  await http.listen({ port: 0, host: '127.0.0.1' })
  port = (http.server.address() as AddressInfo).port
}
afterEach(() => http.close())

interface AgentEnd {
  readonly socket: WebSocket
  readonly heard: TrackerMessage[]
  say(message: AgentMessage): void
  /** The peers that this agent was told of. */
  peers(): string[]
}

async function agent(n: number, zone = ''): Promise<AgentEnd> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/api/v1/announce-stream`)
  const heard: TrackerMessage[] = []
  socket.on('message', (frame: Buffer) => heard.push(decodeTrackerMessage(frame)))
  await once(socket, 'open')
  const say = (message: AgentMessage) => socket.send(encodeAgentMessage(message))
  say({ type: 'hello', version: 1, name: `n${n}`, zone, peerId: id(n), port: 6000 + n })
  await expect.poll(() => heard.some(({ type }) => type === 'welcome')).toBe(true)
  const peers = () =>
    heard.flatMap((message) =>
      message.type === 'peers'
        ? message.swarms.flatMap((swarm) => swarm.peers.map(({ peerId }) => peerId))
        : [],
    )
  return { socket, heard, say, peers }
}

const announce = (state: 'leeching' | 'holding' | 'seeding'): AgentMessage => ({
  type: 'announce',
  swarms: [{ infoHash: KNOWN, state }],
})

describe('announce streams', () => {
  it('push peers as they appear, and the address that the stream comes from', async () => {
    const [first, second] = [await agent(1), await agent(2)]
    first.say(announce('leeching'))
    await expect.poll(first.peers).toEqual([seeder.peerId])
    second.say(announce('seeding'))
    await expect.poll(first.peers).toEqual([seeder.peerId, id(2)])
    const told = first.heard.flatMap((m) => (m.type === 'peers' ? m.swarms.flatMap((s) => s.peers) : []))
    expect(told.at(-1)).toEqual({ peerId: id(2), host: '127.0.0.1', port: 6002, role: 'agent' })
  })

  it('tell of a seeder that listens everywhere by the address that the agent dialled', async () => {
    await http.close()
    await serve('0.0.0.0')
    const one = await agent(1)
    one.say(announce('leeching'))
    await expect.poll(one.peers).toEqual([seeder.peerId])
    const told = one.heard.flatMap((m) => (m.type === 'peers' ? m.swarms.flatMap((s) => s.peers) : []))
    expect(told).toEqual([seeder])
    expect(tracker.admit(id(1), [KNOWN])).toEqual([{ peers: [seeder], imports: undefined }])
  })

  it('introduce agents to each other, the earlier ones too', async () => {
    const [first, second] = [await agent(1), await agent(2)]
    const contacts = ({ heard }: AgentEnd) =>
      heard.flatMap((m) => (m.type === 'contacts' ? m.agents.map((a) => a.peerId) : []))
    await expect.poll(() => contacts(second)).toEqual([id(1)])
    await expect.poll(() => contacts(first)).toEqual([id(2)])
  })

  it('forget an agent with its stream, and say that the swarm ended', async () => {
    const only = await agent(1)
    only.say(announce('seeding'))
    await expect.poll(() => tracker.swarmCount).toBe(1)
    const ended = once(tracker, 'swarm-ended')
    only.socket.terminate()
    expect(await ended).toEqual([KNOWN])
    expect(tracker.agentCount).toBe(0)
  })

  it('let an agent come again on a new stream before the old one is found dead', async () => {
    const old = await agent(1)
    old.say(announce('seeding'))
    const closed = once(old.socket, 'close')
    const again = await agent(1)
    await closed
    again.say(announce('seeding'))
    await expect.poll(() => tracker.swarmCount).toBe(1)
    expect(tracker.agentCount).toBe(1)
  })

  it('put peers into the answer for who asks to pull, and not on its stream as well', async () => {
    const [holder, puller] = [await agent(1), await agent(2)]
    holder.say(announce('seeding'))
    await expect.poll(() => tracker.swarmCount).toBe(1)
    const [admission] = tracker.admit(id(2), [KNOWN])
    expect(admission?.peers.map(({ peerId }) => peerId).toSorted()).toEqual([id(1), seeder.peerId])
    puller.say(announce('leeching'))
    holder.say({ type: 'leave', infoHashes: [KNOWN] })
    await expect.poll(() => tracker.admit(id(2), [KNOWN])[0]?.peers.length).toBe(1)
    expect(puller.peers()).toEqual([])
  })

  it('say what may be imported from other zones, or put it into the answer', async () => {
    const [here, there] = [await agent(1, 'a'), await agent(2, 'b')]
    const all = { modulus: 4, remainders: [0, 1, 2, 3] }
    const shares = ({ heard }: AgentEnd) => heard.flatMap((m) => (m.type === 'imports' ? m.swarms : []))
    here.say(announce('leeching'))
    await expect.poll(here.peers).toEqual([seeder.peerId])
    expect(tracker.admit(id(2), [KNOWN])[0]?.imports).toEqual(all)
    await expect.poll(() => shares(here)).toEqual([{ infoHash: KNOWN, ...all }])
    there.say(announce('seeding'))
    await expect.poll(() => shares(there)).toEqual([{ infoHash: KNOWN, modulus: 4, remainders: [] }])
  })

  it.each([
    ['bytes that are no message', Buffer.from([0xc1])],
    ['an array of four thousand million', Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff])],
    ['a frame before hello', Buffer.from(encodeAgentMessage(announce('seeding')))],
  ])('are closed on %s, and the others go on', async (_what, frame) => {
    const good = await agent(1)
    const bad = new WebSocket(`ws://127.0.0.1:${port}/api/v1/announce-stream`)
    await once(bad, 'open')
    bad.send(frame)
    await once(bad, 'close')
    good.say(announce('leeching'))
    await expect.poll(good.peers).toEqual([seeder.peerId])
  })

  it('end with the server', async () => {
    const { socket } = await agent(1)
    const closed = once(socket, 'close')
    await http.close()
    await closed
  })

  it('are found at their own path only', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/elsewhere`)
    const [error] = await once(socket, 'error')
    expect(String(error)).toContain('404')
  })
})

describe('standard announces', () => {
  const binary = (hex: string) => hex.replace(/../g, '%$&')

  async function get(path: string): Promise<Record<string, unknown>> {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`)
    return bdecode(new Uint8Array(await answer.arrayBuffer())) as Record<string, unknown>
  }
  const announcePath = (n: number, more = '') =>
    `/announce?info_hash=${binary(KNOWN)}&peer_id=${binary(id(n))}&port=${6000 + n}&left=5&compact=1${more}`

  it('are given the seeder and the agents, compactly', async () => {
    const holder = await agent(1)
    holder.say(announce('seeding'))
    await expect.poll(() => tracker.swarmCount).toBe(1)
    const answer = await get(announcePath(9, '&event=started'))
    const peers = Buffer.from(answer.peers as Uint8Array)
    const ports = Array.from({ length: peers.length / 6 }, (_, i) => peers.readUInt16BE(i * 6 + 4))
    expect(ports.toSorted()).toEqual([6001, 7001])
    expect(answer.complete).toBe(1)
    expect(answer.incomplete).toBe(1)
  })

  it('are taken out when they stop, and counted by scrape', async () => {
    await get(announcePath(9, '&event=started'))
    const scrape = await get(`/scrape?info_hash=${binary(KNOWN)}`)
    expect(JSON.stringify(scrape)).toContain('"incomplete":1')
    await get(announcePath(9, '&event=stopped'))
    expect(tracker.swarmCount).toBe(0)
  })

  it('are refused for what the seeder does not have, and for nonsense', async () => {
    const other = announcePath(9).replace(binary(KNOWN), binary('bb'.repeat(20)))
    expect(Object.keys(await get(other))).toEqual(['failure reason'])
    expect(Object.keys(await get('/announce?info_hash=short'))).toEqual(['failure reason'])
    expect(tracker.swarmCount).toBe(0)
  })
})

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
let dialledBySeeder: PeerAddress[]
let lookedUp: string[]
/** How the seeder joins a swarm. */
let seed: (infoHash: string) => Promise<void>

beforeEach(() => serve('127.0.0.1'))

async function serve(listenHost: string): Promise<void> {
  nowMs = 0
  dialledBySeeder = []
  lookedUp = []
  seed = async () => {}
  seederHost = listenHost
  http = fastify({ forceCloseConnections: true })
  tracker = new Tracker({
    log: pino({ level: 'silent' }),
    nowMs: () => nowMs,
    prng: createPrng(1),
    seeder: { ...seeder, host: seederHost },
    signingKey: Uint8Array.of(1, 2, 3),
    isKnown: async (infoHash) => {
      lookedUp.push(infoHash)
      return infoHash === KNOWN
    },
    seed: (infoHash) => seed(infoHash),
    dialPeer: async (peer) => {
      dialledBySeeder.push(peer)
      return { outcome: 'reached', ms: 1 }
    },
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

async function agent(n: number, zone = '', more: object = {}): Promise<AgentEnd> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/api/v1/announce-stream`)
  const heard: TrackerMessage[] = []
  socket.on('message', (frame: Buffer) => heard.push(decodeTrackerMessage(frame)))
  await once(socket, 'open')
  const say = (message: AgentMessage) => socket.send(encodeAgentMessage(message))
  say({ type: 'hello', version: 1, name: `n${n}`, zone, peerId: id(n), port: 6000 + n, ...more })
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

  it('make swarms of what is known only, and look up each info hash once', async () => {
    const unknown = Array.from({ length: 100 }, (_, n) => ({ infoHash: id(n), state: 'seeding' as const }))
    const agents = [await agent(1), await agent(2), await agent(3)]
    for (const one of agents) {
      one.say({ type: 'announce', swarms: unknown })
      one.say(announce('seeding'))
    }
    await expect.poll(() => tracker.swarmCount).toBe(1)
    await expect.poll(() => tracker.isSeeding(KNOWN, id(3))).toBe(true)
    expect(lookedUp.toSorted()).toEqual([...unknown.map(({ infoHash }) => infoHash), KNOWN].toSorted())
  })

  it('know who has a blob that appears after it was announced', async () => {
    const LATE = 'bb'.repeat(20)
    const [early, left] = [await agent(1), await agent(2)]
    for (const one of [early, left])
      one.say({ type: 'announce', swarms: [{ infoHash: LATE, state: 'seeding' }] })
    left.say({ type: 'leave', infoHashes: [LATE] })
    left.say(announce('seeding'))
    await expect.poll(() => tracker.isSeeding(KNOWN, id(2))).toBe(true)
    await expect.poll(() => lookedUp).toContain(LATE)
    expect(tracker.swarmCount).toBe(1)
    tracker.appeared(LATE)
    await expect.poll(() => tracker.isSeeding(LATE, id(1))).toBe(true)
    expect(tracker.isSeeding(LATE, id(2))).toBe(false)
  })

  it('are read more slowly when they name swarms without end, and hear everything in the end', async () => {
    const one = await agent(1)
    for (let n = 0; n < 12; n++)
      one.say({
        type: 'announce',
        swarms: Array.from({ length: 1_000 }, () => ({ infoHash: KNOWN, state: 'leeching' })),
      })
    one.say(announce('seeding'))
    const other = await agent(2)
    other.say(announce('leeching'))
    await expect.poll(() => other.peers()).toContain(id(1))
    expect(tracker.isSeeding(KNOWN, id(1))).toBe(false)
    nowMs += 10_000
    await expect.poll(() => tracker.isSeeding(KNOWN, id(1)), { timeout: 10_000 }).toBe(true)
  }, 15_000)

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

describe('the end of an arrival', () => {
  it('is told to those of its swarm that know the frame, and to nobody else', async () => {
    const knows = { capabilities: ['arrival-ended'] }
    const [member, older, elsewhere] = [await agent(1, '', knows), await agent(2), await agent(3, '', knows)]
    for (const one of [member, older]) one.say(announce('leeching'))
    for (const one of [member, older]) await expect.poll(one.peers).toContain(seeder.peerId)
    tracker.tellPieces(KNOWN, 0, new Uint8Array(32))
    tracker.tellArrivalEnded(KNOWN)
    tracker.warm([1, 2, 3].map(id), [])
    const typesOf = ({ heard }: AgentEnd) =>
      heard.map(({ type }) => type).filter((type) => ['pieces', 'arrival-ended', 'warm'].includes(type))
    for (const one of [member, older, elsewhere]) await expect.poll(() => typesOf(one).at(-1)).toBe('warm')
    expect(typesOf(member)).toEqual(['pieces', 'arrival-ended', 'warm'])
    expect(typesOf(older)).toEqual(['pieces', 'warm'])
    expect(typesOf(elsewhere)).toEqual(['warm'])
    expect(member.heard).toContainEqual({ type: 'arrival-ended', infoHash: KNOWN })
  })
})

describe('trying peers', () => {
  const CAN = { capabilities: ['try-peers', 'something newer'] }
  const of = <T extends TrackerMessage['type']>({ heard }: AgentEnd, type: T) =>
    heard.filter((message): message is Extract<TrackerMessage, { type: T }> => message.type === type)

  it('has others and the seeder dial the address that the asker announced, and tells it of them', async () => {
    const [asker, other] = [await agent(1, 'a', CAN), await agent(2, 'b', CAN)]
    asker.say({ type: 'try-peers', id: 3 })
    await expect.poll(() => of(other, 'dial').length).toBe(1)
    const [{ id: dial, peer }] = of(other, 'dial') as [Extract<TrackerMessage, { type: 'dial' }>]
    const you = { peerId: id(1), host: '127.0.0.1', port: 6001, role: 'agent' }
    expect(peer).toEqual(you)
    expect(dialledBySeeder).toEqual([you])
    other.say({ type: 'dialled', id: dial, outcome: 'refused', ms: 2 })
    await expect.poll(() => of(asker, 'tried').length).toBe(1)
    expect(of(asker, 'peers-to-try')).toEqual([
      {
        type: 'peers-to-try',
        id: 3,
        you,
        peers: [
          { peer: seeder, name: 'seeder', zone: '' },
          { peer: { ...you, peerId: id(2), port: 6002 }, name: 'n2', zone: 'b' },
        ],
      },
    ])
    expect(of(asker, 'tried')[0]).toEqual({
      type: 'tried',
      id: 3,
      tries: [
        { peerId: seeder.peerId, outcome: 'reached', ms: 1 },
        { peerId: id(2), outcome: 'refused', ms: 2 },
      ],
    })
  })

  it('says in welcome that it can, and sends none of its frames to an agent that has not said so', async () => {
    const [asker, older] = [await agent(1, '', CAN), await agent(2)]
    expect(of(asker, 'welcome')[0]?.capabilities).toEqual(['try-peers', 'arrival-ended'])
    asker.say({ type: 'try-peers', id: 1 })
    await expect.poll(() => of(asker, 'tried').length).toBe(1)
    expect(of(asker, 'tried')[0]?.tries).toEqual([{ peerId: seeder.peerId, outcome: 'reached', ms: 1 }])
    // What comes after it would have come before it.
    older.say(announce('leeching'))
    await expect.poll(older.peers).toEqual([seeder.peerId])
    expect(of(older, 'dial')).toEqual([])
  })

  it('waits for nobody for ever, and takes no word from those who were not asked', async () => {
    const [asker, silent, liar] = [await agent(1, '', CAN), await agent(2, '', CAN), await agent(3)]
    asker.say({ type: 'try-peers', id: 1 })
    await expect.poll(() => of(silent, 'dial').length).toBe(1)
    const dial = of(silent, 'dial')[0]!.id
    liar.say({ type: 'dialled', id: dial, outcome: 'reached', ms: 1 })
    asker.say({ type: 'dialled', id: dial, outcome: 'reached', ms: 1 })
    // The round ends by the tracker's own clock, its timer by the system's.
    nowMs += 3_000
    await expect.poll(() => of(asker, 'tried').length, { timeout: 10_000 }).toBe(1)
    expect(of(asker, 'tried')[0]?.tries.map(({ peerId }) => peerId)).toEqual([seeder.peerId])
  })

  it('tells one who announced another’s address nothing of that address', async () => {
    const [asker, other] = [await agent(1, '', { ...CAN, host: '10.9.9.9' }), await agent(2, '', CAN)]
    asker.say({ type: 'try-peers', id: 1 })
    await expect.poll(() => of(other, 'dial').length).toBe(1)
    const [{ id: dial, peer }] = of(other, 'dial') as [Extract<TrackerMessage, { type: 'dial' }>]
    expect(peer.host).toBe('10.9.9.9')
    other.say({ type: 'dialled', id: dial, outcome: 'refused', ms: 2 })
    nowMs += 3_000
    await expect.poll(() => of(asker, 'tried').length, { timeout: 10_000 }).toBe(1)
    expect(of(asker, 'tried')[0]?.tries).toEqual([{ peerId: id(2), outcome: 'unreached', ms: 0 }])
    expect(dialledBySeeder).toEqual([])
  })

  it('refuses who asks again at once: a flood of questions makes one round', async () => {
    const [asker, other] = [await agent(1, '', CAN), await agent(2, '', CAN)]
    for (let question = 0; question < 200; question++) asker.say({ type: 'try-peers', id: question })
    await expect.poll(() => of(asker, 'try-refused').length).toBe(199)
    expect(of(other, 'dial')).toHaveLength(1)
    expect(dialledBySeeder).toHaveLength(1)
  })

  it('forgets the round of an agent that leaves', async () => {
    const [asker, other] = [await agent(1, '', CAN), await agent(2, '', CAN)]
    asker.say({ type: 'try-peers', id: 1 })
    await expect.poll(() => of(other, 'dial').length).toBe(1)
    asker.socket.terminate()
    await expect.poll(() => tracker.agentCount).toBe(1)
    other.say({ type: 'dialled', id: of(other, 'dial')[0]!.id, outcome: 'reached', ms: 1 })
    other.say(announce('leeching'))
    await expect.poll(other.peers).toEqual([seeder.peerId])
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
    // The agent, and the seeder.
    expect(answer.complete).toBe(2)
    expect(answer.incomplete).toBe(1)
  })

  it('wait until the seeder serves the swarm, and only those that will dial it', async () => {
    const joining = Promise.withResolvers<void>()
    const joined: string[] = []
    seed = (infoHash) => {
      joined.push(infoHash)
      return joining.promise
    }
    let isAnswered = false
    const answers = Promise.all([1, 2].map((n) => get(announcePath(n, '&event=started')))).finally(() => {
      isAnswered = true
    })
    await expect.poll(() => joined).toEqual([KNOWN])
    for (const more of ['&event=stopped', '&numwant=0']) await get(announcePath(3, more))
    await get(announcePath(3).replace('left=5', 'left=0'))
    expect(isAnswered).toBe(false)
    joining.resolve()
    for (const { peers } of await answers) expect(peers).toEqual(expect.objectContaining({ length: 18 }))
    expect(joined).toEqual([KNOWN])
  })

  it('are told to ask again where the seeder cannot serve, and of the others where there are some', async () => {
    seed = () => Promise.reject(new Error('no origin'))
    expect(String(Buffer.from((await get(announcePath(9)))['failure reason'] as Uint8Array))).toContain(
      'ask again',
    )
    const holder = await agent(1)
    holder.say(announce('seeding'))
    await expect.poll(() => tracker.isSeeding(KNOWN, id(1))).toBe(true)
    const answer = await get(announcePath(9))
    expect(Buffer.from(answer.peers as Uint8Array).readUInt16BE(4)).toBe(6001)
    expect(answer.complete).toBe(1)
  })

  it('do not wait for ever', async () => {
    seed = () => new Promise(() => {})
    const asking = get(announcePath(9))
    await expect.poll(() => tracker.swarmCount).toBe(1)
    nowMs += 2_000
    expect(Object.keys(await asking)).toEqual(['failure reason'])
  }, 20_000)

  it('are given whole peer ids in the long form', async () => {
    const holder = await agent(1)
    holder.say(announce('seeding'))
    await expect.poll(() => tracker.swarmCount).toBe(1)
    const { peers } = await get(announcePath(9).replace('&compact=1', ''))
    const ids = (peers as { 'peer id': Uint8Array }[]).map((peer) =>
      Buffer.from(peer['peer id']).toString('hex'),
    )
    expect(ids.toSorted()).toEqual([id(1), seeder.peerId])
  })

  it('are taken out when they stop, and counted by scrape', async () => {
    await get(announcePath(9, '&event=started'))
    const scrape = await get(`/scrape?info_hash=${binary(KNOWN)}`)
    const counts = Object.entries(scrape.files as object)
    expect(counts).toEqual([
      [String.fromCharCode(...Buffer.from(KNOWN, 'hex')), { complete: 1, downloaded: 1, incomplete: 1 }],
    ])
    await get(announcePath(9, '&event=stopped'))
    expect(tracker.swarmCount).toBe(0)
  })

  it('find the seeder counted by scrape where nobody is in the swarm yet, and nobody for what is not here', async () => {
    const scrape = await get(`/scrape?info_hash=${binary(KNOWN)}&info_hash=${binary('bb'.repeat(20))}`)
    expect(Object.values(scrape.files as object).map(({ complete }) => complete)).toEqual([1, 0])
    expect(tracker.swarmCount).toBe(0)
    expect(Object.keys((await get('/scrape')).files as object)).toEqual([])
    expect(Object.keys(await get('/scrape?info_hash=short'))).toEqual(['failure reason'])
  })

  it('are refused for what the seeder does not have, and for nonsense', async () => {
    const other = announcePath(9).replace(binary(KNOWN), binary('bb'.repeat(20)))
    expect(Object.keys(await get(other))).toEqual(['failure reason'])
    expect(Object.keys(await get('/announce?info_hash=short'))).toEqual(['failure reason'])
    expect(tracker.swarmCount).toBe(0)
  })

  it('have what is not there looked up once, and only so often', async () => {
    const of = (n: number) => announcePath(9).replace(binary(KNOWN), binary(id(n)))
    await Promise.all([get(of(1)), get(of(1))])
    await get(of(1))
    expect(lookedUp).toEqual([id(1)])
    for (let n = 0; n < 2_400; n += 8)
      await Promise.all(Array.from({ length: 8 }, (_, at) => get(of(n + at))))
    expect(lookedUp.length).toBeLessThan(2_050)
    // What is there is not refused for it where somebody is in its swarm.
    const holder = await agent(1)
    tracker.admit(id(1), [KNOWN])
    expect(Object.keys(await get(announcePath(8)))).toContain('peers')
    holder.socket.terminate()
  }, 20_000)
})

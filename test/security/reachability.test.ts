/**
 * Goal: that agents can be asked how they are and have each other dialled is of no use to a stranger: nobody from another
 * machine is told anything, nobody is led to an address of somebody else's choice, and no flood grows.
 * Method: a whole seeder and agents; the attacker is an agent that says what it likes on its announce stream, or asks an
 * agent from an address that is not its own.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { decodeTrackerMessage, encodeAgentMessage, encodeMessage, type TrackerMessage } from '@shoal/wire'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { describeWith } from '../support/describe-with.ts'
import { type LocalService, linesWith, startLocalAgent, startLocalSeeder } from '../support/local-services.ts'
import { jsonEvent, runProcess, startProcess } from '../support/process.ts'
import { openRaw } from '../support/raw-http.ts'
import { BIN, SHOAL_NODE_FLAGS } from '../support/shoal.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

const startSeeder = async () => stack.use(await startLocalSeeder())
const startAgent = async (seeder: LocalService, settings = {}) =>
  stack.use(await startLocalAgent(seeder.url, settings))
const untilConnected = (agent: LocalService) =>
  expect.poll(() => linesWith(agent, 'announce-stream-open').length, { timeout: 10_000 }).toBe(1)

/** Counts who connects, and says nothing. */
async function victim() {
  let connections = 0
  const server = createServer((socket) => {
    connections++
    socket.on('error', () => {}).on('data', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  stack.defer(async () => {
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, connections: () => connections }
}

async function attacker(seeder: LocalService, port: number) {
  const socket = new WebSocket(`${seeder.url.replace('http', 'ws')}/api/v1/announce-stream`)
  const heard: TrackerMessage[] = []
  socket.on('message', (frame: Buffer) => heard.push(decodeTrackerMessage(frame)))
  socket.on('error', () => {})
  stack.defer(() => socket.terminate())
  await once(socket, 'open')
  const peerId = randomBytes(20).toString('hex')
  const name = 'attacker'
  const hello = { type: 'hello', version: 1, name, zone: '', peerId, host: '127.0.0.1', port } as const
  socket.send(encodeAgentMessage({ ...hello, capabilities: ['try-peers'] }))
  await expect.poll(() => heard.some(({ type }) => type === 'welcome')).toBe(true)
  return { socket, heard, ofType: (type: string) => heard.filter((message) => message.type === type) }
}

describeWith(['network-namespaces'], 'what an agent tells', () => {
  it('is for its own machine, whatever a stranger says of himself', async () => {
    const folder = stack.use(await temporaryFolder('stranger'))
    // In a network of its own, with two addresses: who comes from one to the other is what another machine would be.
    const agent = stack.use(
      startProcess('unshare', [
        ...['--net', 'sh', '-c'],
        'ip link set lo up && ip address add 10.7.0.1/32 dev lo && ip address add 10.7.0.2/32 dev lo && exec "$@"',
        ...['sh', process.execPath, ...SHOAL_NODE_FLAGS, BIN, 'agent', '--listen', '0.0.0.0:5001'],
        ...['--peer-listen', '10.7.0.1:6001', '--seeder', 'http://10.7.0.1:7000', '--cache', folder.path],
      ]),
    )
    await agent.waitForLine(jsonEvent('ready'), 30_000)
    const ask = async (from: string, to: string, method: string, path: string): Promise<string> => {
      const script = `
        const headers = { 'x-forwarded-for': '127.0.0.1', 'x-real-ip': '127.0.0.1', forwarded: 'for=127.0.0.1', host: 'localhost' }
        const [localAddress, host, method, path] = process.argv.slice(1)
        require('node:http')
          .request({ localAddress, host, port: 5001, method, path, headers }, (answer) => {
            process.stdout.write(answer.statusCode + ' ')
            answer.pipe(process.stdout)
          })
          .end()`
      const command = [process.execPath, '-e', script, '--', from, to, method, path]
      return (await runProcess('nsenter', ['--net', `--target=${agent.pid}`, ...command])).stdout
    }
    for (const [method, path] of [
      ['GET', '/api/v1/status'],
      ['HEAD', '/api/v1/status'],
      ['POST', '/api/v1/reachability'],
    ] as const) {
      const told = await ask('10.7.0.2', '10.7.0.1', method, path)
      expect(told).toMatch(/^403 /)
      for (const secret of [folder.path, '6001', '7000']) expect(told).not.toContain(secret)
    }
    // Its registry is what it listens there for; who is here is told more.
    expect(await ask('10.7.0.2', '10.7.0.1', 'GET', '/v2/')).toMatch(/^200 /)
    expect(await ask('10.7.0.1', '10.7.0.1', 'GET', '/api/v1/status')).toContain(folder.path)
    expect(await ask('127.0.0.1', '127.0.0.1', 'GET', '/api/v1/status')).toContain(folder.path)
  })
})

describe('a report of reachability', () => {
  it('is one round for all who ask at once', async () => {
    const seeder = await startSeeder()
    const [asked, other] = [await startAgent(seeder), await startAgent(seeder)]
    await Promise.all([asked, other].map(untilConnected))
    const ask = () =>
      fetch(`${asked.url}/api/v1/reachability`, { method: 'POST' }).then((answer) => answer.text())
    const answers = await Promise.all(Array.from({ length: 50 }, ask))
    expect(new Set(answers).size).toBe(1)
    expect(JSON.parse(answers[0]!)).toMatchObject({
      kind: 'tried',
      peers: [{ role: 'seeder' }, { role: 'agent' }],
    })
    expect(linesWith(other, 'peer-tried')).toHaveLength(1)
  })
})

describe('an attacker among the agents', () => {
  it('who asks without pause is refused: each peer dials it once', async () => {
    const seeder = await startSeeder()
    const agents = [await startAgent(seeder), await startAgent(seeder)]
    await Promise.all(agents.map(untilConnected))
    const target = await victim()
    const { socket, ofType } = await attacker(seeder, target.port)
    for (let id = 0; id < 300; id++) socket.send(encodeAgentMessage({ type: 'try-peers', id }))
    await expect.poll(() => ofType('try-refused').length + ofType('peers-to-try').length).toBe(300)
    // Dials take their two seconds, so the first round is all there is; the seeder's and two agents'.
    expect(ofType('peers-to-try')).toHaveLength(1)
    expect(target.connections()).toBeLessThanOrEqual(3)
  })

  it('cannot name another address than the one that it announced', async () => {
    const seeder = await startSeeder()
    const agent = await startAgent(seeder)
    await untilConnected(agent)
    const [own, target] = [await victim(), await victim()]
    const { socket, ofType } = await attacker(seeder, own.port)
    const elsewhere = { peerId: 'ab'.repeat(20), host: '127.0.0.1', port: target.port, role: 'agent' }
    socket.send(
      encodeMessage({ type: 'try-peers', id: 1, peer: elsewhere, you: elsewhere, peers: [elsewhere] }),
    )
    await expect.poll(own.connections).toBe(2)
    await expect.poll(() => ofType('tried').length, { timeout: 10_000 }).toBe(1)
    expect(target.connections()).toBe(0)
    // What only a tracker says is nothing that it understands.
    socket.send(encodeMessage({ type: 'dial', id: 1, peer: elsewhere }))
    await once(socket, 'close')
    expect(target.connections()).toBe(0)
  })

  it('learns nothing from a peer port whose peer it does not know', async () => {
    const seeder = await startSeeder()
    const agent = await startAgent(seeder)
    // A handshake for a swarm that nobody is in, from who only has the address.
    const handshake = Buffer.concat([
      Buffer.from('\x13BitTorrent protocol', 'latin1'),
      Buffer.alloc(8),
      randomBytes(40),
    ])
    for (const address of [agent.peerAddress, seeder.peerAddress]) {
      const exchange = openRaw(`http://${address}`, handshake)
      await exchange.closed(10_000)
      expect(exchange.text).toBe('')
    }
  })

  it('who lies about what it met changes its own line of a report, and no other', async () => {
    const seeder = await startSeeder()
    const agent = await startAgent(seeder)
    await untilConnected(agent)
    const target = await victim()
    const { socket, ofType } = await attacker(seeder, target.port)
    const asking = fetch(`${agent.url}/api/v1/reachability`, { method: 'POST' })
    await expect.poll(() => ofType('dial').length).toBe(1)
    const [dial] = ofType('dial') as (TrackerMessage & { type: 'dial' })[]
    for (let id = dial!.id - 5; id < dial!.id + 20; id++)
      if (id >= 0)
        socket.send(encodeAgentMessage({ type: 'dialled', id, outcome: 'unreachable', ms: 60_000 }))
    const report = (await (await asking).json()) as { peers: { role: string; incoming?: object }[] }
    expect(report.peers.map(({ role, incoming }) => [role, incoming])).toEqual([
      ['seeder', { outcome: 'reached', ms: expect.any(Number) }],
      ['agent', { outcome: 'unreachable', ms: 60_000 }],
    ])
  })
})

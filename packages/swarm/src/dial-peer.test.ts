/**
 * Goal: what became of a dial is told right, whatever is at the other end, in bounded time and bytes.
 * Method: servers on loopback with all kinds of manners. Peers that are there are in the engines' contract.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { mayDialFrom } from '@shoal/core'
import { encodeProbe } from '@shoal/wire'
import { afterEach, expect, test } from 'vitest'
import { dialPeer } from './dial-peer.ts'

const PEER = 'ab'.repeat(20)
const SELF = 'cd'.repeat(20)
const HERE = mayDialFrom(['127.0.0.1'])
const servers: Server[] = []
const sockets: Socket[] = []
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const server of servers.splice(0)) server.close()
})

async function peerThat(answers: (socket: Socket) => void) {
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    answers(socket)
  })
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    peerId: PEER,
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    role: 'agent' as const,
  }
}

test('nothing listens', async () => {
  const peer = await peerThat(() => {})
  servers[0]!.close()
  await once(servers[0]!, 'close')
  expect(await dialPeer(peer, SELF, HERE)).toMatchObject({ outcome: 'refused' })
})

test.each<[string, (socket: Socket) => void]>([
  ['says nothing', () => {}],
  ['hangs up', (socket) => socket.end()],
  ['resets', (socket) => socket.resetAndDestroy()],
  ['speaks HTTP', (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'.padEnd(100))],
  ['says what it was told', (socket) => socket.pipe(socket)],
  ['claims another id', (socket) => socket.write(encodeProbe(PEER, SELF))],
  ['sends a part of the answer', (socket) => socket.write(encodeProbe(PEER, PEER).subarray(0, 67))],
  [
    'never stops sending',
    (socket) => {
      const more = () => socket.write(Buffer.alloc(1024 * 1024), () => socket.destroyed || more())
      more()
    },
  ],
])('a stranger that %s', async (_what, answers) => {
  expect(await dialPeer(await peerThat(answers), SELF, HERE, 200)).toMatchObject({ outcome: 'stranger' })
})

test('an answer in parts is one', async () => {
  const peer = await peerThat((socket) => {
    const answer = encodeProbe(PEER, PEER)
    socket.write(answer.subarray(0, 1))
    setTimeout(() => socket.write(answer.subarray(1)), 20)
  })
  expect(await dialPeer(peer, SELF, HERE)).toMatchObject({ outcome: 'reached' })
})

test('an address that is nowhere: no way there, or no answer, in time', async () => {
  // TEST-NET-1 (RFC 5737).
  const { outcome, ms } = await dialPeer(
    { peerId: PEER, host: '192.0.2.1', port: 9, role: 'agent' },
    SELF,
    HERE,
    200,
  )
  expect(['silent', 'unreachable', 'refused']).toContain(outcome)
  expect(ms).toBeLessThan(2_000)
})

test('a name that is none', async () => {
  const peer = { peerId: PEER, host: 'peer.invalid', port: 9, role: 'agent' as const }
  expect(['unreachable', 'silent']).toContain((await dialPeer(peer, SELF, HERE, 500)).outcome)
})

test.each(['127.0.0.1', '::ffff:127.0.0.1', 'localhost', '999.1.1.1', 'dead:beef'])(
  'nobody is led to %s on another machine, and not a packet leaves',
  async (host) => {
    let connections = 0
    const { port } = await peerThat(() => connections++)
    const peer = { peerId: PEER, host, port, role: 'agent' as const }
    expect(await dialPeer(peer, SELF, mayDialFrom(['10.0.0.21']), 500)).toMatchObject({
      outcome: 'unreachable',
    })
    expect(connections).toBe(0)
  },
)

test('a name is looked up, and what comes out is held against the rule', async () => {
  const peer = { ...(await peerThat(() => {})), host: 'localhost' }
  expect(await dialPeer(peer, SELF, HERE, 200)).toMatchObject({ outcome: 'stranger' })
})

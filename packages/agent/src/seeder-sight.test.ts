/**
 * Goal: whoever names the wrong seeder is told what is wrong with it. Method: real servers and ports on loopback, each a mistake
 * that somebody makes.
 */
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { SeederProbe } from './seeder-sight.ts'

const servers: Server[] = []
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))))
})

async function listen(server: Server): Promise<string> {
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

const answering = (status: number, body: string) =>
  listen(createHttpServer((_request, response) => response.writeHead(status).end(body)))

async function look(url: string) {
  const probe = new SeederProbe(url)
  try {
    return await probe.look()
  } finally {
    await probe.stop()
  }
}

test.each([
  [200, '{"status":"ready","service":"seeder","version":"1"}', 'seeder'],
  [200, '{"status":"ready"}', 'seeder'],
  [503, '{"status":"origin-away","service":"seeder"}', 'seeder'],
  [200, '{"status":"ready","service":"agent"}', 'an agent answers there, and it must be the seeder'],
  [404, 'not found', 'what answers there is no seeder (HTTP 404)'],
  [200, '<html>', 'what answers there is no seeder (HTTP 200)'],
])('HTTP %i and %s is: %s', async (status, body, expected) => {
  const sight = await look(`http://${await answering(status, body)}`)
  expect(sight.kind === 'seeder' ? sight.kind : sight.reason).toBe(expected)
})

test('a port that nobody has, a name that is none, https to plain HTTP, and a port for peers', async () => {
  const plain = await answering(200, '{"status":"ready","service":"seeder"}')
  const closing = await listen(createTcpServer((socket) => socket.once('data', () => socket.destroy())))
  const server = createTcpServer()
  const gone = await listen(server)
  await new Promise((resolve) => server.close(resolve))
  servers.splice(servers.indexOf(server), 1)
  const reasons = await Promise.all(
    [`http://${gone}`, 'http://seeder.invalid:7000', `https://${plain}`, `http://${closing}`].map(look),
  )
  expect(reasons).toEqual([
    { kind: 'unreachable', reason: 'connection refused' },
    { kind: 'unreachable', reason: expect.stringMatching(/^its name does not resolve/) },
    { kind: 'unreachable', reason: expect.stringMatching(/TLS/) },
    { kind: 'unreachable', reason: expect.stringMatching(/port for peers/) },
  ])
})

test('what accepts and says nothing does not answer in time', async () => {
  const sockets: { destroy(): void }[] = []
  const address = await listen(createTcpServer((socket) => sockets.push(socket)))
  expect(await look(`http://${address}`)).toEqual({
    kind: 'unreachable',
    reason: 'it does not answer in time',
  })
  for (const socket of sockets) socket.destroy()
})

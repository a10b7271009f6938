/**
 * Goal: connections that do nothing, ask without end or leave their answers unread keep nobody out of an HTTP listener, and
 * what they cost is bounded.
 * Method: the server that both services listen with, under small bounds, and sockets that play several addresses.
 */
import { once } from 'node:events'
import { createHttpServer, type HttpServerLimits } from '@shoal/service'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import { afterEach, describe, expect, it } from 'vitest'
import { startLocalSeeder } from '../support/local-services.ts'
import { openRaw, type RawExchange } from '../support/raw-http.ts'

const CONNECTIONS = {
  connectionsMax: 12,
  connectionsPerAddressMax: 8,
  requestsPerConnectionMax: 4,
  answerTimeoutMs: 400,
  restOfBodyMs: 200,
}
const ASK = 'GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n'
const open: RawExchange[] = []
let server: FastifyInstance | undefined
afterEach(async () => {
  for (const { socket } of open.splice(0)) socket.destroy()
  await server?.close()
  server = undefined
})

/** `/waiting` is answered when the test says so, `/large` with a MiB, `/body` with the length of what was sent. */
async function start(limits: Partial<HttpServerLimits> = {}) {
  const state = { waiting: 0, most: 0, release: Promise.withResolvers<void>() }
  server = createHttpServer(pino({ level: 'silent' }), {
    limits: { connections: CONNECTIONS, ...limits },
  })
  server.get('/waiting', async () => {
    state.most = Math.max(state.most, ++state.waiting)
    await state.release.promise
    state.waiting--
    return 'done'
  })
  server.get('/large', async () => Buffer.alloc(1024 * 1024))
  server.post<{ Body: string }>('/body', async ({ body }) => `${body.length}`)
  const url = await server.listen({ host: '127.0.0.1', port: 0 })
  return { url, state }
}

async function connect(url: string, first = '', from = '127.0.0.1'): Promise<RawExchange> {
  const exchange = openRaw(url, first, from)
  open.push(exchange)
  await once(exchange.socket, 'connect')
  return exchange
}

const answered = (exchange: RawExchange) =>
  expect.poll(() => exchange.text, { timeout: 5_000 }).toContain('"alive"')

describe('connections that do nothing', () => {
  it.each([
    ['say nothing', ''],
    ['have said half a request', 'GET /healthz HTTP/1.1\r\nx: '],
    ['were answered and stay', ASK],
  ])('and %s give way, the idlest of the greediest address first', async (_what, first) => {
    const { url } = await start()
    const theirs: RawExchange[] = []
    const honest = await connect(url, ASK, '127.0.0.3')
    await answered(honest)
    for (let i = 0; i < 30; i++) theirs.push(await connect(url, first, '127.0.0.2'))
    await theirs[0]!.closed(5_000)
    for (let i = 0; i < 30; i++) theirs.push(await connect(url, first, `127.0.0.${4 + (i % 8)}`))
    await answered(await connect(url, ASK, '127.0.0.2'))
    await answered(await connect(url, ASK, '127.0.0.3'))
    expect(theirs.filter(({ socket }) => socket.destroyed).length).toBeGreaterThanOrEqual(48)
    expect(honest.socket.destroyed).toBe(false)
    honest.write(ASK)
    await expect.poll(() => honest.text.match(/"alive"/g)?.length).toBe(2)
  })

  it('do not push out those that are being answered', async () => {
    const { url, state } = await start()
    const asked = []
    for (let i = 0; i < 8; i++) asked.push(await connect(url, 'GET /waiting HTTP/1.1\r\nhost: x\r\n\r\n'))
    await expect.poll(() => state.waiting).toBe(8)
    await (await connect(url)).closed(5_000)
    await answered(await connect(url, ASK, '127.0.0.2'))
    state.release.resolve()
    for (const exchange of asked) await expect.poll(() => exchange.text).toContain('done')
  })

  it('in thousands leave a seeder to others', async () => {
    await using seeder = await startLocalSeeder()
    const idle: RawExchange[] = []
    for (let i = 0; i < 42; i++)
      idle.push(
        ...(await Promise.all(Array.from({ length: 100 }, () => connect(seeder.url, '', '127.0.0.2')))),
      )
    await expect
      .poll(() => idle.filter(({ socket }) => socket.destroyed).length, { timeout: 10_000 })
      .toBeGreaterThanOrEqual(4_200 - 4_096)
    await answered(await connect(seeder.url, ASK, '127.0.0.2'))
  }, 60_000)
})

describe('a connection', () => {
  it('that asks on and on without waiting for answers is cut, having cost little', async () => {
    const { url, state } = await start()
    const many = await connect(url, 'GET /waiting HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(5_000))
    await many.closed(5_000)
    expect(state.most).toBeLessThanOrEqual(CONNECTIONS.requestsPerConnectionMax)
  })

  it('that asks for two things at once is answered both', async () => {
    const { url } = await start()
    const two = await connect(url, ASK + ASK)
    await expect.poll(() => two.text.match(/"alive"/g)?.length).toBe(2)
  })

  it('whose body goes on after the answer is cut', async () => {
    const { url } = await start()
    const head = 'GET /v2/nothing HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n'
    const exchange = await connect(url, head)
    const drip = setInterval(() => exchange.write('0'), 50)
    await exchange.closed(5_000).finally(() => clearInterval(drip))
    expect(exchange.text).toContain(' 404 ')
  })

  it('whose answer is not taken is cut', async () => {
    const { url } = await start()
    const exchange = await connect(url)
    exchange.socket.pause()
    await expect.poll(connections).toBe(1)
    // Four: the first fill what the system keeps for the socket.
    exchange.write('GET /large HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(4))
    await expect.poll(connections, { timeout: 5_000 }).toBe(0)
  })

  it('that wants another protocol of another path is not kept half open', async () => {
    await using seeder = await startLocalSeeder()
    const upgrade = 'GET /elsewhere HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n'
    const connection = await connect(seeder.url, upgrade)
    await expect.poll(() => connection.text).toContain('404')
    connection.socket.end('what is not spoken here')
    await connection.closed(5_000)
  })

  async function connections(): Promise<number> {
    const counted = Promise.withResolvers<number>()
    server!.server.getConnections((error, count) =>
      error === null ? counted.resolve(count) : counted.reject(error),
    )
    return counted.promise
  }
})

describe('small bodies', () => {
  it('that come slowly give way to one that comes', async () => {
    const bodies = { placesMax: 6, placesPerAddressMax: 4, stallMs: 200, patienceMs: 5_000 }
    const { url } = await start({ bodies, connections: { ...CONNECTIONS, connectionsPerAddressMax: 12 } })
    const slow = []
    for (let i = 0; i < 8; i++) {
      const head =
        'POST /body HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 900000\r\n\r\n'
      slow.push(await connect(url, head))
    }
    const answer = await fetch(`${url}/body`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
      body: 'x'.repeat(900_000),
    })
    expect(await answer.text()).toBe('900000')
    expect(slow.filter(({ socket }) => socket.destroyed).length).toBeGreaterThan(0)
  })
})

describe('answers that nobody takes', () => {
  it('are so many bytes, and the next who asks is served', async () => {
    const MIB = 1024 * 1024
    const { url } = await start({
      connections: {
        ...CONNECTIONS,
        connectionsMax: 500,
        connectionsPerAddressMax: 400,
        answerTimeoutMs: 60_000,
      },
      unreadAnswers: { bytesMax: 24 * MIB, bytesPerAddressMax: 16 * MIB, stallMs: 500 },
    })
    const unread: RawExchange[] = []
    for (let i = 0; i < 100; i++) {
      // Four: the first fill what the system keeps for the socket.
      const exchange = await connect(url, 'GET /large HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(4), '127.0.0.2')
      exchange.socket.pause()
      unread.push(exchange)
    }
    const large = async () => {
      const answer = await fetch(`${url}/large`)
      return answer.status === 200 ? (await answer.arrayBuffer()).byteLength : answer.status
    }
    expect(await large()).toBe(MIB)
    for (let i = 0; i < 5; i++) expect(await large()).toBe(MIB)
    // From the same address too, once theirs are left unread for a while.
    const same = async () => {
      const exchange = await connect(
        url,
        'GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
        '127.0.0.2',
      )
      await exchange.closed(10_000)
      return exchange.text.slice(9, 12)
    }
    await expect.poll(same, { timeout: 10_000 }).toBe('200')
  }, 30_000)
})

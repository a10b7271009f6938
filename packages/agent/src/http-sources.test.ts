/**
 * Goal: bytes of a blob come over a bounded number of connections, and an error says what was wrong with whom they came from.
 * Method: servers on loopback.
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HttpSources } from './http-sources.ts'

let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

function sourcesOf(): HttpSources {
  const sources = new HttpSources()
  stack.defer(() => sources.stop())
  return sources
}

it('the seeder and the origin have eight connections each, however much is asked of them', async () => {
  async function holding() {
    const held: ServerResponse[] = []
    const connections = { count: 0 }
    const server = createServer((_request, response) => void held.push(response))
    server.on('connection', () => connections.count++)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    stack.defer(() => {
      server.closeAllConnections()
      server.close()
    })
    return { held, connections, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
  }
  const servers = [await holding(), await holding()]
  const sources = sourcesOf()
  const { signal } = new AbortController()
  const reading = servers.flatMap(({ url }) =>
    Array.from({ length: 12 }, async () => {
      for await (const _ of sources.bytes(url, { start: 0, end: 1 }, 'the origin', signal));
    }),
  )
  await expect.poll(() => servers.map(({ held }) => held.length)).toEqual([8, 8])
  for (const { held } of servers)
    for (let n = 0; n < 12; n++) {
      await expect.poll(() => held.length).toBeGreaterThan(n)
      held[n]!.writeHead(206).end('x')
    }
  await Promise.all(reading)
  expect(servers.map(({ connections }) => connections.count)).toEqual([8, 8])
})

describe('an error says what was wrong', () => {
  async function read(answer: (response: ServerResponse) => void): Promise<string> {
    const server = createServer((_request, response) => answer(response))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    stack.defer(() => {
      server.closeAllConnections()
      server.close()
    })
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/blob?signature=secret`
    let text = ''
    const { signal } = new AbortController()
    for await (const chunk of sourcesOf().bytes(url, { start: 2, end: 6 }, 'the origin', signal))
      text += chunk
    return text
  }

  it.each<[string, (response: ServerResponse) => void]>([
    ['status 403 for a range', (response) => response.writeHead(403).end('<Error/>')],
    ['the body was cut short', (response) => response.writeHead(206).end('blo')],
    ['it gave more bytes than were asked for', (response) => response.writeHead(206).end('blob and more')],
    [
      'its answer was cut short (ECONNRESET)',
      (response) => {
        response.writeHead(206, { 'content-length': 4 }).write('bl')
        setImmediate(() => response.destroy())
      },
    ],
    ['it closed the connection without an answer', (response) => response.destroy()],
  ])('%s', async (what, answer) => {
    const error = (await read(answer).catch((thrown: unknown) => thrown)) as Error
    expect(error).toMatchObject({ code: 'AGENT_SOURCE_UNAVAILABLE', message: expect.stringContaining(what) })
    expect(error.message).toContain('the origin')
    expect(error.message).not.toContain('secret')
  })
})

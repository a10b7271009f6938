/** Goal: only programs on the agent's own machine are told anything. Method: the rule, then a real server asked from both. */
import type { AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { AGENT_STATUS_PATH, REACHABILITY_PATH } from '@shoal/wire'
import fastify from 'fastify'
import { describe, expect, test } from 'vitest'
import { isFromThisMachine, localApi } from './local-api.ts'

test.each([
  ['127.0.0.1', '127.0.0.1', true],
  ['127.9.9.9', '127.0.0.1', true],
  ['::1', '::1', true],
  ['::ffff:127.0.0.1', '::ffff:127.0.0.1', true],
  // Asked at the machine's own address, from itself.
  ['10.0.0.21', '10.0.0.21', true],
  ['10.0.0.22', '10.0.0.21', false],
  ['::ffff:10.0.0.22', '::ffff:10.0.0.21', false],
  ['', '', false],
  [undefined, undefined, false],
])('from %s to %s: %s', (remoteAddress, localAddress, expected) => {
  expect(isFromThisMachine({ remoteAddress, localAddress })).toBe(expected)
})

describe('the routes', () => {
  const asked: string[] = []
  const serve = async () => {
    const server = fastify({ forceCloseConnections: true })
    await localApi(server, {
      status: async () => {
        asked.push('status')
        return { service: 'agent' } as never
      },
      reachability: async () => {
        asked.push('reachability')
        return { kind: 'unavailable', reason: 'busy' }
      },
    })
    return server
  }

  test('refuse a stranger before anything is looked at', async () => {
    const server = await serve()
    for (const [method, url] of [
      ['GET', AGENT_STATUS_PATH],
      ['POST', REACHABILITY_PATH],
    ] as const) {
      const answer = await server.inject({ method, url, remoteAddress: '10.0.0.22' })
      expect(answer.statusCode).toBe(403)
      expect(answer.json()).toMatchObject({ code: 'NOT_LOCAL' })
    }
    expect(asked).toEqual([])
    await server.close()
  })

  test('answer a program here, by loopback and by the machine’s own address', async () => {
    const server = await serve()
    await server.listen({ host: '0.0.0.0', port: 0 })
    const { port } = server.server.address() as AddressInfo
    const own = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .filter(({ family, internal }) => family === 'IPv4' && !internal)
      .map(({ address }) => address)
    for (const host of ['127.0.0.1', ...own.slice(0, 1)]) {
      expect((await fetch(`http://${host}:${port}${AGENT_STATUS_PATH}`)).status, host).toBe(200)
      // As browsers ask where a page wants something of another place.
      expect((await fetch(`http://${host}:${port}${REACHABILITY_PATH}`)).status, 'a GET').toBe(404)
    }
    await server.close()
  })
})

/**
 * Goal: an agent is not led by a contact's address to what only its own machine reaches, and shows the stream's secret to the
 * seeder alone; an answer is read no further than it may be long. Method: servers on loopback in both places.
 */
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline, Readable } from 'node:stream'
import { type MayDial, mayDialFrom } from '@shoal/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HttpSources } from './http-sources.ts'

const SECRET = 'ab'.repeat(32)
const question = { repository: 'team/app', reference: '1', platform: 'linux/amd64', peerId: '' }

let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

async function knowsNothing() {
  const seen: IncomingHttpHeaders[] = []
  const server = createServer(({ headers }, response) => {
    seen.push(headers)
    response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  stack.defer(() => {
    server.closeAllConnections()
    server.close()
  })
  return { seen, port: (server.address() as AddressInfo).port }
}

function sourcesOf(mayDial: MayDial): HttpSources {
  const sources = new HttpSources({ mayDial, streamSecret: () => SECRET })
  stack.defer(() => sources.stop())
  return sources
}

describe('a contact', () => {
  it.each(['127.0.0.1', 'localhost', '[::ffff:127.0.0.1]', '127.1', '2130706433'])(
    'at %s is not asked from a node of a cluster: not a packet leaves',
    async (host) => {
      const { seen, port } = await knowsNothing()
      const ask = (mayDial: MayDial) =>
        sourcesOf(mayDial).resolve(`http://${host}:${port}`, question, 'contact')
      await expect(ask(mayDialFrom(['10.0.0.21']))).rejects.toMatchObject({
        code: 'AGENT_SOURCE_UNAVAILABLE',
      })
      expect(seen).toEqual([])
      // On loopback itself, as in a demo, it is.
      expect(await ask(mayDialFrom(['127.0.0.1']))).toBeUndefined()
      expect(seen).toHaveLength(1)
      expect(seen[0]).not.toHaveProperty('shoal-stream-secret')
    },
  )
})

describe('the seeder', () => {
  it('is where the settings say, and is shown the secret', async () => {
    const { seen, port } = await knowsNothing()
    await sourcesOf(mayDialFrom(['10.0.0.21'])).resolve(`http://127.0.0.1:${port}`, question, 'seeder')
    expect(seen).toMatchObject([{ 'shoal-stream-secret': SECRET }])
  })
})

describe('a resolution that goes on and on', () => {
  const MIB = 1024 * 1024
  const blob = { repository: 'team/app', blob: `sha256:${'ab'.repeat(32)}`, platform: '', peerId: '' }

  /** Gives zeros for as long as they are taken, up to twice what any answer may have. */
  async function endless() {
    const sent = { bytes: 0 }
    const zeros = function* () {
      for (; sent.bytes < 2 * 64 * MIB; sent.bytes += MIB) yield Buffer.alloc(MIB)
    }
    const server = createServer((_request, response) => pipeline(Readable.from(zeros()), response, () => {}))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    stack.defer(() => {
      server.closeAllConnections()
      server.close()
    })
    return { sent, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
  }

  it.each([
    ['of one blob', 'seeder', blob, 5],
    ['of another agent, whatever was asked', 'contact', question, 5],
    ['of an image', 'seeder', question, 64],
  ] as const)('is cut: %s', async (_what, who, asked, mibMax) => {
    const { sent, url } = await endless()
    await expect(sourcesOf(mayDialFrom(['127.0.0.1'])).resolve(url, asked, who)).rejects.toMatchObject({
      code: 'AGENT_SOURCE_UNAVAILABLE',
      message: expect.stringContaining(`longer than ${mibMax * MIB} bytes`),
    })
    expect(sent.bytes).toBeLessThan(2 * 64 * MIB)
  })
})

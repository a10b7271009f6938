/**
 * Goal: an agent is not led by a contact's address to what only its own machine reaches, and shows the stream's secret to the
 * seeder alone; an answer is read no further than it may be long. Method: servers on loopback in both places.
 */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline, Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { type MayDial, mayDialFrom, parseDigest } from '@shoal/core'
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

describe('a seeder whom another registry did not answer', () => {
  const problem = 'slow.test gave no manifest: its rate limit is used up'
  it.each([
    ['says so', JSON.stringify({ errors: [{ code: 'MANIFEST_UNKNOWN', message: problem }] }), problem],
    ['is not the proxy before it', '<html>502 Bad Gateway</html>', undefined],
    ['may be of an earlier version', '', undefined],
    ['says it in a sentence', JSON.stringify({ errors: [{ message: { not: 'a sentence' } }] }), undefined],
  ])('%s', async (_what, body, upstreamProblem) => {
    const server = createServer((_request, response) => response.writeHead(502).end(body))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    stack.defer(() => {
      server.closeAllConnections()
      server.close()
    })
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    await expect(sourcesOf(() => true).resolve(url, question, 'seeder')).rejects.toMatchObject({
      code: 'AGENT_SOURCE_UNAVAILABLE',
      isUnanswered: false,
      upstreamProblem,
    })
  })
})

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

describe('an answer that goes on and on', () => {
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
  ] as const)('a resolution %s is cut', async (_what, who, asked, mibMax) => {
    const { sent, url } = await endless()
    await expect(sourcesOf(mayDialFrom(['127.0.0.1'])).resolve(url, asked, who)).rejects.toMatchObject({
      code: 'AGENT_SOURCE_UNAVAILABLE',
      message: expect.stringContaining(`longer than ${mibMax * MIB} bytes`),
    })
    expect(sent.bytes).toBeLessThan(2 * 64 * MIB)
  })

  it('a list of tags or of referrers is cut', async () => {
    const { url } = await endless()
    const sources = sourcesOf(mayDialFrom(['127.0.0.1']))
    const { signal } = new AbortController()
    await expect(sources.tags(url, 'team/app', { tagsMax: 10 }, signal)).rejects.toThrow(
      `longer than ${4 * MIB} bytes`,
    )
    const subject = parseDigest(blob.blob)
    await expect(sources.referrers(url, 'team/app', subject, {}, signal)).rejects.toThrow(
      `longer than ${16 * MIB} bytes`,
    )
  })
})

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
  const sources = sourcesOf(mayDialFrom(['127.0.0.1']))
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

describe('questions that wait', () => {
  const wait = { repository: 'team/app', platform: 'linux/amd64', peerId: '', wait: 'true' } as const
  const blobOf = (n: number) => `sha256:${n.toString(16).padStart(64, '0')}`

  /** Holds every question of the path, and answers every other at once. */
  async function seeder(isHeld: (url: string) => boolean) {
    const held: ServerResponse[] = []
    const server = createServer((request, response) => {
      if (isHeld(request.url ?? '')) held.push(response)
      else response.writeHead(404).end()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    stack.defer(() => {
      server.closeAllConnections()
      server.close()
    })
    return { held, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
  }

  it('are no hindrance to those that do not, nor are bodies that are slow in coming', async () => {
    const { held, url } = await seeder((path) => path.includes('wait=true') || path.startsWith('/v2/'))
    const sources = sourcesOf(mayDialFrom(['127.0.0.1']))
    const { signal } = new AbortController()
    const waiting = Array.from({ length: 100 }, (_, n) =>
      sources.resolve(url, { ...wait, blob: blobOf(n) }, 'seeder').catch(() => {}),
    )
    const bodies = Array.from({ length: 100 }, async () => {
      const blob = new URL('/v2/team/app/blobs/x', url)
      for await (const _ of sources.arrivingBytes(blob, { start: 0, end: 1 }, signal));
    })
    for (const body of bodies) body.catch(() => {})
    await expect.poll(() => held.length).toBe(64 + 64)
    expect(await sources.resolve(url, question, 'seeder')).toBeUndefined()
    await sources.stop()
    await Promise.allSettled([...waiting, ...bodies])
  })

  it('and those that do not are asked in turn, and none is given up for having waited for its turn', async () => {
    const { held, url } = await seeder(() => true)
    const sources = sourcesOf(mayDialFrom(['127.0.0.1']))
    const asked = Array.from({ length: 2 * 32 }, (_, n) =>
      sources.resolve(url, { ...question, reference: `${n}` }, 'seeder'),
    )
    // Two turns of 1.2 s each: the second has waited and been asked for longer than any question may take.
    for (let turn = 1; turn <= 2; turn++) {
      await expect.poll(() => held.length, { timeout: 10_000 }).toBe(turn * 32)
      await sleep(1_200)
      for (const response of held.slice((turn - 1) * 32)) response.writeHead(404).end()
    }
    expect(new Set(await Promise.all(asked))).toEqual(new Set([undefined]))
  })
})

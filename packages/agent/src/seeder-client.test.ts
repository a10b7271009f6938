/**
 * Goal: an agent is not led by a contact's address to what only its own machine reaches, and shows the stream's secret to the
 * seeder alone; an answer is read no further than it may be long; an error says what was wrong. Method: servers on loopback in
 * both places.
 */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline, Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { type MayDial, mayDialFrom, parseDigest } from '@shoal/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HttpSources } from './http-sources.ts'
import { SeederClient } from './seeder-client.ts'

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

function clientOf(mayDial: MayDial): SeederClient {
  const client = new SeederClient({ mayDial, streamSecret: () => SECRET })
  stack.defer(() => client.stop())
  return client
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
    await expect(clientOf(() => true).resolve(url, question, 'seeder')).rejects.toMatchObject({
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
        clientOf(mayDial).resolve(`http://${host}:${port}`, question, 'contact')
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
    await clientOf(mayDialFrom(['10.0.0.21'])).resolve(`http://127.0.0.1:${port}`, question, 'seeder')
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
    await expect(clientOf(mayDialFrom(['127.0.0.1'])).resolve(url, asked, who)).rejects.toMatchObject({
      code: 'AGENT_SOURCE_UNAVAILABLE',
      message: expect.stringContaining(`longer than ${mibMax * MIB} bytes`),
    })
    expect(sent.bytes).toBeLessThan(2 * 64 * MIB)
  })

  it('a list of tags or of referrers is cut', async () => {
    const { url } = await endless()
    const client = clientOf(mayDialFrom(['127.0.0.1']))
    const { signal } = new AbortController()
    await expect(client.tags(url, 'team/app', { tagsMax: 10 }, signal)).rejects.toThrow(
      `longer than ${4 * MIB} bytes`,
    )
    const subject = parseDigest(blob.blob)
    await expect(client.referrers(url, 'team/app', subject, {}, signal)).rejects.toThrow(
      `longer than ${16 * MIB} bytes`,
    )
  })
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
    const client = clientOf(mayDialFrom(['127.0.0.1']))
    const sources = new HttpSources()
    const { signal } = new AbortController()
    const waiting = Array.from({ length: 100 }, (_, n) =>
      client.resolve(url, { ...wait, blob: blobOf(n) }, 'seeder').catch(() => {}),
    )
    const bodies = Array.from({ length: 100 }, async () => {
      const blob = new URL('/v2/team/app/blobs/x', url)
      for await (const _ of sources.arrivingBytes(blob, { start: 0, end: 1 }, signal));
    })
    for (const body of bodies) body.catch(() => {})
    await expect.poll(() => held.length).toBe(64 + 64)
    expect(await client.resolve(url, question, 'seeder')).toBeUndefined()
    await Promise.all([client.stop(), sources.stop()])
    await Promise.allSettled([...waiting, ...bodies])
  })

  it('and those that do not are asked in turn, and none is given up for having waited for its turn', async () => {
    const { held, url } = await seeder(() => true)
    const client = clientOf(mayDialFrom(['127.0.0.1']))
    const asked = Array.from({ length: 2 * 32 }, (_, n) =>
      client.resolve(url, { ...question, reference: `${n}` }, 'seeder'),
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

describe('an error says what was wrong', () => {
  const { signal } = new AbortController()
  const subject = parseDigest(`sha256:${'ab'.repeat(32)}`)
  const questions = {
    resolve: (client: SeederClient, url: string) => client.resolve(url, question, 'seeder', signal),
    tags: (client: SeederClient, url: string) => client.tags(url, 'team/app', { tagsMax: 10 }, signal),
    referrers: (client: SeederClient, url: string) => client.referrers(url, 'team/app', subject, {}, signal),
  }
  const asked = Object.entries(questions)

  async function answering(answer: (response: ServerResponse) => void): Promise<string> {
    const server = createServer((_request, response) => answer(response))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    stack.defer(() => {
      server.closeAllConnections()
      server.close()
    })
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  it.each(asked)('%s: a status, whatever the body is', async (_what, ask) => {
    const url = await answering((response) => response.writeHead(503).end('<html>busy</html>'))
    await expect(
      ask(
        clientOf(() => true),
        url,
      ),
    ).rejects.toMatchObject({
      code: 'AGENT_SOURCE_UNAVAILABLE',
      message: expect.stringContaining('status 503'),
      isUnanswered: false,
    })
  })

  it.each(asked)('%s: content that is none', async (_what, ask) => {
    const url = await answering((response) => response.writeHead(200).end('<html>welcome</html>'))
    await expect(
      ask(
        clientOf(() => true),
        url,
      ),
    ).rejects.toMatchObject({
      code: 'AGENT_SOURCE_UNAVAILABLE',
      message: expect.not.stringMatching(/reached|in time|status/),
      isUnanswered: false,
    })
  })

  it.each(asked)('%s: nobody listens', async (_what, ask) => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    await new Promise((resolve) => server.close(resolve))
    await expect(
      ask(
        clientOf(() => true),
        `http://127.0.0.1:${port}`,
      ),
    ).rejects.toMatchObject({
      message: expect.stringContaining('connection refused'),
      isUnanswered: true,
    })
  })

  it.each(asked)('%s: an answer that is cut', async (_what, ask) => {
    const url = await answering((response) => {
      response.writeHead(200, { 'content-length': 100 }).write('{"tags":')
      setImmediate(() => response.destroy())
    })
    await expect(
      ask(
        clientOf(() => true),
        url,
      ),
    ).rejects.toMatchObject({
      message: expect.stringContaining('its answer was cut short'),
      isUnanswered: true,
    })
  })

  it('silence', async () => {
    const url = await answering(() => {})
    await expect(
      questions.tags(
        clientOf(() => true),
        url,
      ),
    ).rejects.toMatchObject({
      message: expect.stringContaining('it did not answer within 2000 ms'),
      isUnanswered: true,
    })
  })

  it('and a bug is told as what it is', async () => {
    const bug = new TypeError('unserved is not a function')
    const headers = { 'shoal-unserved-registry': 'quay.io' }
    const url = await answering((response) => response.writeHead(404, headers).end())
    const client = new SeederClient({
      mayDial: () => true,
      streamSecret: () => undefined,
      onUnserved: () => {
        throw bug
      },
    })
    stack.defer(() => client.stop())
    await expect(client.resolve(url, question, 'seeder')).rejects.toBe(bug)
  })
})

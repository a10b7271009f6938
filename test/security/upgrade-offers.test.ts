/**
 * Goal: clients that offer HTTP/2 on a plain connection (`curl --http2`, Java's HttpClient) are answered as if they had not, on
 * every route of both services (RFC 9110, 7.8: a server may ignore an upgrade); one path and one protocol are an upgrade.
 * Method: whole services, requests as these clients write them, several on one connection, with bodies and without; curl where
 * it is installed.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { programPaths } from '../support/components.ts'
import { buildImage } from '../support/images.ts'
import { randomLayer } from '../support/layers.ts'
import { type LocalService, startLocalAgent, startLocalSeeder } from '../support/local-services.ts'
import { runProcess } from '../support/process.ts'
import { pushImage } from '../support/push.ts'
import { openRaw, type RawAnswer, rawRequest } from '../support/raw-http.ts'

const layer = await randomLayer({ contentBytes: 100_000, seed: 'upgrade-offers' })
const image = buildImage({ layers: [layer] })
const H2C = {
  connection: 'Upgrade, HTTP2-Settings',
  upgrade: 'h2c',
  'http2-settings': 'AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA',
}
const WEBSOCKET = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
}

let stack: AsyncDisposableStack
let seeder: LocalService
let agent: LocalService
beforeEach(async () => {
  stack = new AsyncDisposableStack()
  seeder = stack.use(await startLocalSeeder())
  await pushImage(seeder.url, 'team/app', '1', image)
  agent = stack.use(await startLocalAgent(seeder.url, { forwardPushes: true }))
})
afterEach(() => stack.disposeAsync())

describe('an offer of HTTP/2', () => {
  it.each([
    ['GET', '/v2/'],
    ['GET', '/v2/team/app/manifests/1'],
    ['HEAD', '/v2/team/app/manifests/1'],
    ['GET', `/v2/team/app/blobs/${layer.digest}`],
    ['GET', '/v2/team/app/tags/list'],
    ['GET', '/healthz'],
    ['GET', '/readyz'],
    ['GET', '/metrics'],
    ['GET', '/api/v1/resolve?repository=team/app&reference=1'],
    ['GET', '/api/v1/status'],
    ['POST', '/api/v1/reachability'],
    ['POST', '/api/v1/publish'],
    ['GET', '/api/v1/announce-stream'],
    ['GET', '/announce?info_hash=x'],
    ['GET', '/scrape'],
    ['POST', '/v2/team/app/blobs/uploads/'],
    ['DELETE', '/v2/team/app/manifests/none'],
    ['GET', '/nowhere'],
  ])('changes nothing about %s %s', async (method, target) => {
    for (const { url } of [seeder, agent]) {
      const plain = await rawRequest(url, method, target)
      const offered = await rawRequest(url, method, target, {
        ...H2C,
        connection: `close, ${H2C.connection}`,
      })
      expect([offered.status, url]).toEqual([plain.status, url])
      expect(offered.status).toBeGreaterThanOrEqual(200)
      const typeOf = ({ headers }: RawAnswer) => /^content-type: (.*)$/im.exec(headers)?.[1]
      expect(typeOf(offered)).toBe(typeOf(plain))
    }
  })

  it('comes with bodies, whole or in parts, and with more requests after it on the connection', async () => {
    const headers = Object.entries(H2C).map(([name, value]) => `${name}: ${value}`)
    const write = (method: string, target: string, more: readonly string[] = []) =>
      `${[`${method} ${target} HTTP/1.1`, 'host: x', ...headers, ...more].join('\r\n')}\r\n\r\n`
    for (const { url } of [seeder, agent]) {
      const exchange = openRaw(url)
      stack.defer(() => void exchange.socket.destroy())
      const statuses = () => [...exchange.text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)
      const requests: readonly [string, readonly string[]][] = [
        ['202', [write('POST', '/v2/team/app/blobs/uploads/', ['content-length: 0'])]],
        ['400', [write('PUT', '/v2/team/app/manifests/2', ['content-length: 2']), '{}']],
        ['400', [`${write('PUT', '/v2/team/app/manifests/2', ['content-length: 2'])}{}`]],
        [
          '400',
          [
            write('PUT', '/v2/team/app/manifests/3', ['transfer-encoding: chunked']),
            '2\r\n{}\r\n',
            '0\r\n\r\n',
          ],
        ],
        ['200', [write('GET', '/v2/')]],
        ['200', [write('GET', '/healthz')]],
      ]
      for (const [n, [status, parts]] of requests.entries()) {
        for (const part of parts) {
          exchange.write(part)
          await new Promise((resolve) => setImmediate(resolve))
        }
        await expect.poll(statuses, { timeout: 10_000 }).toHaveLength(n + 1)
        expect(statuses().at(-1)).toBe(status)
      }
    }
  })

  it.skipIf(programPaths('curl').length === 0)('is made by curl, which gets what it asks for', async () => {
    for (const { url } of [seeder, agent]) {
      const ask = ['--http2', '--silent', '--show-error', '--write-out', '%{http_code} %{http_version}']
      const get = await runProcess('curl', [
        ...ask,
        '--output',
        '/dev/null',
        `${url}/v2/team/app/manifests/1`,
      ])
      expect(get.stdout).toBe('200 1.1')
      const post = await runProcess('curl', [
        ...ask,
        '--request',
        'POST',
        '--data',
        '',
        `${url}/v2/team/app/blobs/uploads/`,
      ])
      expect(post.stdout).toBe('202 1.1')
    }
  })
})

describe('an offer of another protocol', () => {
  it('is taken on the announce stream alone, and only of a WebSocket', async () => {
    const stream = openRaw(
      seeder.url,
      `GET /api/v1/announce-stream HTTP/1.1\r\nhost: x\r\n${Object.entries(WEBSOCKET)
        .map((pair) => `${pair.join(': ')}\r\n`)
        .join('')}\r\n`,
    )
    await expect.poll(() => stream.text).toMatch(/^HTTP\/1\.1 101 /)
    stream.socket.destroy()
    expect(
      (await rawRequest(seeder.url, 'GET', '/nowhere', { ...WEBSOCKET, connection: 'close, Upgrade' }))
        .status,
    ).toBe(404)
    expect(
      (await rawRequest(seeder.url, 'GET', '/v2/', { ...WEBSOCKET, connection: 'close, Upgrade' })).status,
    ).toBe(200)
    expect(
      (
        await rawRequest(agent.url, 'GET', '/api/v1/announce-stream', {
          ...WEBSOCKET,
          connection: 'close, Upgrade',
        })
      ).status,
    ).toBe(404)
  })
})

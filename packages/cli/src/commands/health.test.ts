/**
 * Goal: `shoal health` is what an orchestrator can run: 0 when the service is ready, else 1 and one line that says why, soon,
 * whatever is at that address.
 * Method: the built command against servers that answer well, badly, slowly and not at all.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { firstReady } from '../health/ready.ts'
import { startShoal } from '../testing/shoal-process.ts'

let folder: string
const servers: Server[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-health-'))
})
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
  await rm(folder, { recursive: true, force: true })
})

const health = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  startShoal(['health', ...args], env).ended

async function serve(listener: RequestListener, host = '127.0.0.1'): Promise<number> {
  const server = createServer(listener)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  return (server.address() as AddressInfo).port
}

const ready: RequestListener = (request, response) => {
  response.writeHead(request.url === '/readyz' ? 200 : 404)
  response.end('{"status":"ready"}')
}

async function unusedPort(): Promise<number> {
  const server = createTcpServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

describe('shoal health', () => {
  test('finds the service by its variable, also where that says every address', async () => {
    const port = await serve(ready)
    const good = { status: 0, out: `ready: 127.0.0.1:${port}\n`, err: '' }
    expect(await health(['agent'], { SHOAL_LISTEN: `127.0.0.1:${port}` })).toEqual(good)
    expect(await health([], { SHOAL_LISTEN: `0.0.0.0:${port}` })).toEqual(good)
  })

  test('finds the service by the file, named by flag or variable; the variable of the address wins', async () => {
    const port = await serve(ready)
    const file = join(folder, 'agent.yaml')
    await writeFile(file, `# of this node\nlisten: 127.0.0.1:${port}\ncache: /var/lib/shoal\n`)
    expect(await health(['--config', file])).toMatchObject({ status: 0 })
    expect(await health(['agent'], { SHOAL_CONFIG: file })).toMatchObject({ status: 0 })
    const elsewhere = `127.0.0.1:${await unusedPort()}`
    expect(await health(['agent'], { SHOAL_CONFIG: file, SHOAL_LISTEN: elsewhere })).toMatchObject({
      status: 1,
    })
  })

  test('says in one line why it is not ready: refused, another status', async () => {
    const port = await unusedPort()
    const refused = await health([], { SHOAL_LISTEN: `127.0.0.1:${port}` })
    expect(refused).toMatchObject({ status: 1, out: '' })
    expect(refused.err).toMatch(/^not ready: 127\.0\.0\.1:\d+: connect ECONNREFUSED .*\n$/)
    const starting = await serve((_request, response) => void response.writeHead(503).end())
    const { status, err } = await health(['seeder'], { SHOAL_LISTEN: `127.0.0.1:${starting}` })
    expect({ status, err }).toEqual({
      status: 1,
      err: `not ready: 127.0.0.1:${starting}: /readyz answered with 503\n`,
    })
  })

  test('does not wait for an answer’s end', async () => {
    const port = await serve((_request, response) => {
      response.writeHead(200)
      response.write('{')
    })
    expect(await health([], { SHOAL_LISTEN: `127.0.0.1:${port}` })).toMatchObject({ status: 0 })
  })

  test.each<[string, string, RegExp]>([
    ['a file that is not there', 'nowhere.yaml', /nowhere\.yaml cannot be used/],
    ['a file that is none', 'list.yaml', /is not a list of/],
    ['an address that is none', 'address.yaml', /listen in the configuration file is "here"/],
  ])('ends with 1 and one line on %s', async (_what, name, why) => {
    await writeFile(join(folder, 'list.yaml'), '- listen\n')
    await writeFile(join(folder, 'address.yaml'), 'listen: here\n')
    const { status, out, err } = await health(['--config', join(folder, name)])
    expect({ status, out }).toEqual({ status: 1, out: '' })
    expect(err).toMatch(why)
    expect(err.trimEnd()).not.toContain('\n')
  })

  test('ends with 2 on a service that is none, and is in the help', async () => {
    expect(await health(['registry'])).toMatchObject({ status: 2 })
    expect((await startShoal(['--help'], {}).ended).out).toMatch(/^ {2}health /m)
    expect((await health(['--help'])).out).toContain('Usage: shoal health')
  })
})

test('a health check loads next to nothing, since it runs twice a minute on every node', async () => {
  // Tells every module that Node loads from then on.
  const recorder = `import { registerHooks } from 'node:module'
    registerHooks({ load: (url, context, next) => (process._rawDebug('loads ' + url), next(url, context)) })`
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(recorder)}` }
  const loadedBy = async (...args: string[]) => {
    const { err } = await startShoal(args, env).ended
    return [...err.matchAll(/^loads (\S+)$/gm)].map(([, url]) => url!)
  }
  const heavy = /node_modules\/(typebox|fastify|undici|pino|yaml|webtorrent)\/|\/(seeder|agent|swarm)\/dist\//
  const loaded = await loadedBy('health', 'agent')
  expect(loaded.filter((url) => url.includes('/health/'))).not.toEqual([])
  expect(loaded.filter((url) => heavy.test(url))).toEqual([])
  expect((await loadedBy('--version')).filter((url) => heavy.test(url))).not.toEqual([])
})

describe('several addresses', () => {
  test('are asked at once, and one that is ready is enough', async () => {
    const good = `127.0.0.1:${await serve(ready)}`
    const silent = `127.0.0.1:${await serve(() => {})}`
    const refusing = `127.0.0.1:${await unusedPort()}`
    expect(await firstReady([silent, refusing, good])).toBe(good)
    expect(await firstReady([good, silent])).toBe(good)
  })

  test('that all fail are told with their reasons, silence within its bound', async () => {
    const silent = `127.0.0.1:${await serve(() => {})}`
    const refusing = `127.0.0.1:${await unusedPort()}`
    await expect(firstReady([silent, refusing], 50)).rejects.toThrow(
      `${silent}: no answer within 50 ms; ${refusing}: connect ECONNREFUSED ${refusing}`,
    )
  })
})

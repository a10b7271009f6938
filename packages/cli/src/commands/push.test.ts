/**
 * Goal: `shoal push` is a good command for scripts: one line on stdout, silence elsewhere, and a status that tells what
 * was typed wrong (2) from what the registry did (1).
 * Method: the built command against a registry in memory. Needs `tsc -b`, which `npm test` runs first.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type RegistryStub, startRegistryStub } from '@shoal/testing/registry-stub'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LayoutFixture, writeFolder } from '../../../images/src/testing/image-fixtures.ts'

const BIN = fileURLToPath(new URL('../../bin/shoal.js', import.meta.url))
let folder: string
let stub: RegistryStub
let host: string
let digest: string
let layout: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-push-command-'))
  stub = await startRegistryStub()
  host = stub.url.slice('http://'.length)
  const fixture = new LayoutFixture()
  const image = fixture.image(['one', 'two'])
  fixture.list(image)
  digest = image.digest
  layout = await writeFolder(join(folder, 'layout'), fixture.files())
})
afterAll(async () => {
  await stub[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

function shoal(...args: string[]) {
  const env = { PATH: process.env.PATH, DOCKER_CONFIG: folder }
  const child = spawn(process.execPath, [BIN, 'push', ...args], { env })
  const text = { out: '', err: '' }
  child.stdout.on('data', (chunk) => {
    text.out += chunk
  })
  child.stderr.on('data', (chunk) => {
    text.err += chunk
  })
  const ended = once(child, 'close').then(([status]) => ({ status: status as number, ...text }))
  return { child, ended }
}

describe('shoal push', () => {
  test('prints the reference with its digest and nothing else', async () => {
    const reference = `${host}/team/app:1`
    expect(await shoal(layout, reference).ended).toEqual({
      status: 0,
      out: `${reference}@${digest}\n`,
      err: '',
    })
  })

  test('prints what was sent with --json', async () => {
    const { status, out } = await shoal(layout, `${host}/team/json`, '--json').ended
    expect(status).toBe(0)
    expect(JSON.parse(out)).toMatchObject({
      reference: `${host}/team/json:latest@${digest}`,
      digest,
      manifests: [{ digest }],
    })
    expect(Object.keys(JSON.parse(out))).toEqual([
      'reference',
      'digest',
      'pushedBytes',
      'skippedBytes',
      'manifests',
    ])
  })

  test.each<[string, () => string[]]>([
    ['no reference', () => [layout]],
    ['a reference without a registry', () => [layout, 'team/app:1']],
    ['a platform that is none', () => [layout, `${host}/a`, '--platform', 'amd64']],
    ['a platform that is not there', () => [layout, `${host}/a`, '--platform', 'windows/amd64']],
    ['an image that is not there', () => [layout, `${host}/a`, '--image', 'other']],
    ['a path that is not there', () => [join(folder, 'none'), `${host}/a`]],
    ['a folder that is no archive', () => [folder, `${host}/a`]],
  ])('ends with 2 on %s', async (_what, args) => {
    const { status, out, err } = await shoal(...args()).ended
    expect({ status, out }).toEqual({ status: 2, out: '' })
    expect(err).toMatch(/^error: /)
  })

  test('ends with 1 when nobody answers', async () => {
    const { status, err } = await shoal(layout, '127.0.0.1:1/a').ended
    expect(status).toBe(1)
    expect(err).toBe('error: http://127.0.0.1:1 cannot be reached: connect ECONNREFUSED 127.0.0.1:1\n')
  })

  test('shows its credentials to the registry, and ends with 1 when they are refused', async () => {
    const seen: (string | undefined)[] = []
    await using refusing = await serve((request, response) => {
      seen.push(request.headers.authorization)
      response.writeHead(401).end()
    })
    const auths = { [refusing.host]: { auth: 'YTpi' } }
    await writeFile(join(folder, 'config.json'), JSON.stringify({ auths }))
    const { status, err } = await shoal(layout, `${refusing.host}/a`).ended
    expect(status).toBe(1)
    expect(err).toMatch(/^error: HEAD .* was answered with 401/)
    expect(new Set(seen)).toEqual(new Set(['Basic YTpi']))
  })

  test.each(['SIGINT', 'SIGTERM'] as const)('stops on %s while a registry is silent', async (signal) => {
    const asked = Promise.withResolvers<void>()
    await using silent = await serve(() => asked.resolve())
    const { child, ended } = shoal(layout, `${silent.host}/a`)
    await asked.promise
    child.kill(signal)
    expect(await ended).toEqual({ status: signal === 'SIGINT' ? 130 : 143, out: '', err: '' })
  })
})

async function serve(
  listener: Parameters<typeof createServer>[1],
): Promise<AsyncDisposable & { readonly host: string }> {
  const server: Server = createServer(listener as never)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

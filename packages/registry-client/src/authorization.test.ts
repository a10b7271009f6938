/**
 * Goal: challenges are answered once and for all who wait, and credentials go nowhere but where they belong.
 * Method: the stub registry with its token server, and second stubs on other ports and addresses that only write down
 * what arrives. No secret may be in any log line or error: checked after every test.
 */

import { selfSignedCertificate } from '@shoal/testing/self-signed-certificate'
import { answerJson, type StubServer, startStub } from '@shoal/testing/stub-server'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Credentials } from './credentials.ts'
import {
  UpstreamBusyError,
  UpstreamDeniedError,
  UpstreamInvalidError,
  UpstreamRealmRefusedError,
  UpstreamUnavailableError,
} from './errors.ts'
import { bytesOf, clientOf, type TestClient, type TestClientInit } from './testing/client-of.ts'
import { type StubRegistry, startStubRegistry } from './testing/stub-registry.ts'

const APP = 'team/app'
const SECRET = 's3cret-password'
const LOGIN = `robot:${SECRET}`
const { signal } = new AbortController()
let registry: StubRegistry
let stack: AsyncDisposableStack
let clients: TestClient[]
let errors: Error[]

beforeEach(async () => {
  stack = new AsyncDisposableStack()
  registry = stack.use(await startStubRegistry())
  registry.addManifest('v1')
  clients = []
  errors = []
})
afterEach(async () => {
  const told = [...clients.map(({ logText }) => logText()), ...errors.map(everythingIn)].join('\n')
  await stack.disposeAsync()
  for (const secret of [SECRET, btoa(LOGIN), 'token-', 'refresh-me']) expect(told).not.toContain(secret)
})

function everythingIn(error: Error): string {
  const own = JSON.stringify(Object.getOwnPropertyDescriptors(error))
  return `${error.stack}${own}${error.cause instanceof Error ? everythingIn(error.cause) : ''}`
}

function connect(init: TestClientInit = {}, stub: StubServer = registry): TestClient {
  const client = stack.use(clientOf(stub, init))
  clients.push(client)
  return client
}

async function failure(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(
    () => new Error('it did not fail'),
    (thrown: unknown) => thrown as Error,
  )
  errors.push(error)
  return error
}

const pull = ({ client }: TestClient, repository = APP) => client.manifest(repository, 'v1', { signal })

describe('a token', () => {
  beforeEach(() => {
    registry.auth.kind = 'bearer'
  })

  test('is asked for without credentials, for this repository and for pulling only', async () => {
    registry.auth.challenge = `Bearer realm="${registry.url}/token?keep=1",service="stub registry",scope="repository:other/secret:push,pull"`
    expect(await pull(connect())).toBeDefined()
    const [request] = registry.tokenRequests()
    expect(request!.headers.authorization).toBeUndefined()
    const query = new URL(request!.path, registry.url).searchParams
    expect(Object.fromEntries(query)).toEqual({
      keep: '1',
      service: 'stub registry',
      scope: 'repository:team/app:pull',
    })
  })

  test('is asked for with the login that is configured', async () => {
    registry.auth.login = LOGIN
    expect(await pull(connect({ login: LOGIN }))).toBeDefined()
  })

  test('is asked for by POST with an identity token', async () => {
    registry.auth.refreshToken = 'refresh-me'
    const credentials = new Credentials({ environment: {} })
    credentials.forHost = async () => ({ identityToken: 'refresh-me' })
    expect(await pull(connect({ credentials }))).toBeDefined()
    const [request] = registry.tokenRequests()
    expect(request!.method).toBe('POST')
    expect(request!.path).toBe('/token')
    expect(Object.fromEntries(new URLSearchParams(request!.body))).toEqual({
      grant_type: 'refresh_token',
      client_id: 'shoal',
      service: 'stub registry',
      scope: 'repository:team/app:pull',
      refresh_token: 'refresh-me',
    })
  })

  test('is shared by all who wait for it, and sent along from then on', async () => {
    const client = connect()
    await Promise.all(Array.from({ length: 8 }, () => pull(client)))
    expect(registry.tokenRequests()).toHaveLength(1)
    const askedBefore = registry.seen.length
    await pull(client)
    expect(registry.seen).toHaveLength(askedBefore + 1)
  })

  test('that one waiter no longer wants still comes to the others', async () => {
    const leave = new AbortController()
    const original = Promise.withResolvers<void>()
    registry.overrides.set('/token', async (_, response) => {
      leave.abort(new Error('left'))
      await original.promise
      registry.auth.tokens.add('token-late')
      answerJson(response, 200, { token: 'token-late' })
    })
    const client = connect()
    const left = client.client.manifest(APP, 'v1', { signal: leave.signal })
    const stays = pull(client)
    await expect(left).rejects.toThrow('left')
    original.resolve()
    expect(await stays).toBeDefined()
    expect(registry.tokenRequests().length).toBeLessThanOrEqual(2)
  })

  test.each([
    [undefined, 50_000],
    [300, 290_000],
    [4, 2_000],
  ])('of %s seconds is used for %i ms and then renewed', async (expiresIn, usableMs) => {
    if (expiresIn !== undefined) registry.auth.expiresIn = expiresIn
    const client = connect()
    await pull(client)
    client.clock.nowMs += usableMs - 1
    await pull(client)
    expect(registry.tokenRequests()).toHaveLength(1)
    client.clock.nowMs += 1
    await pull(client)
    expect(registry.tokenRequests()).toHaveLength(2)
  })

  test('is one per repository, and the oldest is forgotten', async () => {
    registry.content.set('/v2/team/two/manifests/v1', registry.content.get(`/v2/${APP}/manifests/v1`)!)
    const client = connect({ limits: { tokensMax: 1 } })
    for (const repository of [APP, 'team/two', APP]) await pull(client, repository)
    expect(registry.tokenRequests()).toHaveLength(3)
  })

  test('that was revoked is renewed once', async () => {
    const client = connect()
    await pull(client)
    registry.auth.tokens.clear()
    expect(await pull(client)).toBeDefined()
    expect(registry.tokenRequests()).toHaveLength(2)
  })

  test('that is refused while fresh is an error, not a loop', async () => {
    registry.overrides.set('/token', (_, response) => answerJson(response, 200, { token: 'token-bad' }))
    const client = connect()
    for (const attempts of [1, 2]) {
      expect(await failure(pull(client))).toBeInstanceOf(UpstreamDeniedError)
      expect(registry.tokenRequests()).toHaveLength(attempts)
    }
  })

  test.each([
    ['refuses', 401, {}, UpstreamDeniedError],
    ['is busy', 429, {}, UpstreamBusyError],
    ['fails', 500, {}, UpstreamUnavailableError],
    ['fails for a moment, three times', 503, {}, UpstreamUnavailableError],
    ['gives none', 200, { expires_in: 5 }, UpstreamInvalidError],
    ['gives one that is no header', 200, { token: 'token-a\r\nx: y' }, UpstreamInvalidError],
  ])('from a server that %s', async (_what, status, document, kind) => {
    registry.overrides.set('/token', (_, response) => answerJson(response, status, document))
    expect(await failure(pull(connect({ login: LOGIN })))).toBeInstanceOf(kind)
    expect(registry.tokenRequests()).toHaveLength(status === 503 ? 3 : 1)
  })

  test('from a busy server is not asked for before the time that it names', async () => {
    registry.overrides.set('/token', (_, response) => {
      response.writeHead(429, { 'retry-after': '30' }).end()
    })
    const client = connect()
    expect(await failure(pull(client))).toBeInstanceOf(UpstreamBusyError)
    expect(await failure(pull(client))).toMatchObject({ retryAtMs: client.clock.nowMs + 30_000 })
    expect(registry.tokenRequests()).toHaveLength(1)
  })

  test('server that has moved is found again', async () => {
    const client = connect()
    await pull(client)
    registry.overrides.set('/token', (_, response) => void response.writeHead(404).end())
    const moved = stack.use(
      await startStub((_, response) => {
        registry.auth.tokens.add('token-moved')
        answerJson(response, 200, { token: 'token-moved' })
      }),
    )
    registry.auth.challenge = `Bearer realm="${moved.url}/elsewhere"`
    client.clock.nowMs += 60_000
    expect(await failure(pull(client))).toBeInstanceOf(UpstreamDeniedError)
    expect(await pull(client)).toBeDefined()
  })

  test('from a server that sends megabytes, or text with a secret in it', async () => {
    registry.overrides.set('/token', (_, response) => void response.end(Buffer.alloc(100_000, 0x20)))
    expect((await failure(pull(connect()))).message).toContain('longer than the 65536 bytes')
    registry.overrides.set('/token', (_, response) => void response.end(`"token-x" ${SECRET}`))
    expect(await failure(pull(connect()))).toBeInstanceOf(UpstreamInvalidError)
  })

  test('from a server that redirects is not fetched elsewhere', async () => {
    const thief = stack.use(await startStub((_, response) => answerJson(response, 200, { token: 'x' })))
    registry.overrides.set(
      '/token',
      (_, response) => void response.writeHead(307, { location: thief.url }).end(),
    )
    expect(await failure(pull(connect({ login: LOGIN })))).toBeInstanceOf(UpstreamRealmRefusedError)
    expect(thief.seen).toEqual([])
  })
})

describe('Basic', () => {
  beforeEach(() => {
    registry.auth.kind = 'basic'
    registry.auth.login = LOGIN
  })

  test('is answered with the login, also when it is changed', async () => {
    const environment: Record<string, string> = {}
    const stem = `SHOAL_UPSTREAM_${registry.host.replace(/\W/g, '_')}`
    environment[`${stem}_USERNAME`] = 'robot'
    environment[`${stem}_PASSWORD`] = 'old'
    const client = connect({ credentials: new Credentials({ environment }) })
    expect(await failure(pull(client))).toBeInstanceOf(UpstreamDeniedError)
    environment[`${stem}_PASSWORD`] = SECRET
    expect(await pull(client)).toBeDefined()
    const askedBefore = registry.seen.length
    await pull(client)
    expect(registry.seen).toHaveLength(askedBefore + 1)
  })

  test('without a login, or with an identity token, is an error that says what to do', async () => {
    expect((await failure(pull(connect()))).message).toContain('configure a user and a password')
    const credentials = new Credentials({ environment: {} })
    credentials.forHost = async () => ({ identityToken: 'refresh-me' })
    expect(await failure(pull(connect({ credentials })))).toBeInstanceOf(UpstreamDeniedError)
  })

  test('is second to a token when there is a choice', async () => {
    registry.auth.kind = 'bearer'
    registry.auth.challenge = ['Basic realm="x"', `Bearer realm="${registry.url}/token"`]
    expect(await pull(connect({ login: LOGIN }))).toBeDefined()
    expect(registry.tokenRequests()).toHaveLength(1)
  })

  test('other schemes are not known', async () => {
    registry.auth.challenge = 'Negotiate, Digest realm="x"'
    expect(await failure(pull(connect({ login: LOGIN })))).toBeInstanceOf(UpstreamDeniedError)
  })
})

describe('a foreign realm (CVE-2026-33540)', () => {
  let thief: StubServer
  beforeEach(async () => {
    thief = stack.use(
      await startStub((_, response) => answerJson(response, 200, { token: 'token-thief' }), {
        address: '127.0.0.2',
      }),
    )
    registry.auth.kind = 'bearer'
    registry.auth.challenge = `Bearer realm="${thief.url}/token",service="x"`
    registry.auth.tokens.add('token-thief')
  })

  test('never gets credentials; the refusal is logged', async () => {
    const client = connect({ login: LOGIN })
    expect(await failure(pull(client))).toBeInstanceOf(UpstreamRealmRefusedError)
    expect(thief.seen).toEqual([])
    expect(client.logText()).toContain('realm-refused')
  })

  test('may be asked by whoever has none', async () => {
    expect(await pull(connect())).toBeDefined()
    expect(thief.seen[0]!.headers.authorization).toBeUndefined()
  })

  test('gets them over TLS when the operator has named it', async () => {
    const tls = selfSignedCertificate()
    const named = stack.use(
      await startStub(
        ({ headers }, response) => {
          answerJson(response, 200, { token: headers.authorization === undefined ? 'none' : 'token-thief' })
        },
        { address: '127.0.0.2', tls },
      ),
    )
    registry.auth.challenge = `Bearer realm="${named.url}/token"`
    const init = { tls: { ca: tls.cert }, trustedRealmHosts: ['127.0.0.2'] }
    expect(await pull(connect({ login: LOGIN, init }))).toBeDefined()
    expect(await failure(pull(connect({ login: LOGIN, init: { tls: { ca: tls.cert } } })))).toBeInstanceOf(
      UpstreamRealmRefusedError,
    )
    expect(named.seen).toHaveLength(1)
  })
})

test('over TLS: Basic, a token and a blob from a registry with its own authority', async () => {
  const tls = selfSignedCertificate()
  const secure = stack.use(await startStubRegistry({ tls }))
  const digest = secure.addBlob('layer')
  secure.auth.kind = 'bearer'
  secure.auth.login = LOGIN
  const client = connect({ login: LOGIN, init: { tls: { ca: tls.cert } } }, secure)
  const blob = await client.client.blob(APP, digest, { signal })
  expect((await bytesOf(blob!.body)).toString()).toBe('layer')
  // Without the authority nobody is talked to.
  const error = await failure(connect({ login: LOGIN }, secure).client.blob(APP, digest, { signal }))
  expect(error.message).toMatch(/SELF_SIGNED|UNABLE_TO_VERIFY/)
})

/** Goal: an AWS identity becomes a login, once until it expires. Method: the SDK against a stub of ECR's API, then a whole pull. */

import { answerJson, type StubHandler, type StubServer, startStub } from '@shoal/testing/stub-server'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Credentials } from './credentials.ts'
import { EcrLogins, ecrRegistryOf } from './ecr.ts'
import { UpstreamDeniedError, UpstreamInvalidError } from './errors.ts'
import { clientOf } from './testing/client-of.ts'
import { startStubRegistry } from './testing/stub-registry.ts'

const HOST = '123456789012.dkr.ecr.eu-west-1.amazonaws.com'
const REGISTRY = ecrRegistryOf(HOST)!
const PASSWORD = 's3cret-password'
const EXPIRES_AT = Date.parse('2026-03-01T12:00:00Z')
const { signal } = new AbortController()

let stack: AsyncDisposableStack
let api: StubServer
let answer: StubHandler
let clock: { nowMs: number }
let logins: EcrLogins
beforeEach(async () => {
  stack = new AsyncDisposableStack()
  answer = (_, response) => {
    const authorizationToken = Buffer.from(`AWS:${PASSWORD}`).toString('base64')
    answerJson(response, 200, { authorizationData: [{ authorizationToken, expiresAt: EXPIRES_AT / 1_000 }] })
  }
  api = stack.use(await startStub((request, response) => answer(request, response)))
  clock = { nowMs: Date.parse('2026-03-01T00:00:00Z') }
  logins = new EcrLogins(
    { nowMs: () => clock.nowMs },
    { endpoint: api.url, credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' } },
  )
})
afterEach(() => stack.disposeAsync())

test('is exchanged once for all, and again before it expires', async () => {
  const login = { username: 'AWS', password: PASSWORD }
  expect(await Promise.all([1, 2, 3].map(() => logins.login(HOST, REGISTRY)))).toEqual([login, login, login])
  expect(await logins.login(HOST, { ...REGISTRY, accountId: '210987654321' })).toEqual(login)
  expect(api.seen).toHaveLength(1)
  expect(api.seen[0]!.headers['x-amz-target']).toMatch(/GetAuthorizationToken$/)
  expect(api.seen[0]!.headers.authorization).toContain('/eu-west-1/ecr/')
  clock.nowMs = EXPIRES_AT - 5 * 60_000
  await logins.login(HOST, REGISTRY)
  expect(api.seen).toHaveLength(2)
})

test('a refusal says what to do, and nothing of the request', async () => {
  answer = (_, response) => answerJson(response, 400, { __type: 'AccessDeniedException', message: 'no' })
  const error = await logins.login(HOST, REGISTRY).catch((thrown: unknown) => thrown as Error)
  expect(error).toBeInstanceOf(UpstreamDeniedError)
  expect((error as Error).message).toMatch(/AccessDeniedException.*ecr:GetAuthorizationToken/)
  expect((error as Error).cause).toBeUndefined()
  answer = (_, response) => answerJson(response, 200, { authorizationData: [] })
  await expect(logins.login(HOST, REGISTRY)).rejects.toThrow(UpstreamInvalidError)
})

test('a pull with it answers the registry’s Basic', async () => {
  const registry = stack.use(await startStubRegistry())
  registry.addManifest('v1')
  registry.auth.kind = 'basic'
  registry.auth.login = `AWS:${PASSWORD}`
  const { client, logText } = stack.use(
    clientOf(registry, {
      credentials: new Credentials({ environment: {} }),
      parts: { ecr: logins },
      init: { address: { host: HOST, url: registry.url } },
    }),
  )
  expect(await client.manifest('team/app', 'v1', { signal })).toBeDefined()
  expect(logText()).not.toContain(PASSWORD)
})

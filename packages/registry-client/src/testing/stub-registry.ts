/**
 * A registry with a token server behind the same address, correct until a test says otherwise: everything it does can be
 * overridden by path.
 */
import type { ServerResponse } from 'node:http'
import type { Digest } from '@shoal/core'
import { MEDIA_TYPES, parseRange } from '@shoal/oci'
import { sha256 } from '@shoal/testing/content'
import type { SelfSignedCertificate } from '@shoal/testing/self-signed-certificate'
import {
  answerJson,
  type SeenRequest,
  type StubHandler,
  type StubServer,
  startStub,
} from '@shoal/testing/stub-server'

export interface StubRegistry extends StubServer {
  /** Asked before anything else; by the path without its query. */
  readonly overrides: Map<string, StubHandler>
  readonly content: Map<string, { readonly bytes: Buffer; readonly mediaType: string }>
  /** Adds a blob or a manifest to `team/app`. */
  addBlob(content: string | Buffer): Digest
  addManifest(tag: string, extra?: object): { readonly digest: Digest; readonly bytes: Buffer }
  /** Requests to the token server. */
  readonly tokenRequests: () => readonly SeenRequest[]
  /** Settings that a test may change at any time. */
  readonly auth: StubAuth
}

export interface StubAuth {
  kind: 'none' | 'basic' | 'bearer'
  /** `user:password` that Basic and the token server accept; undefined accepts anybody. */
  login?: string
  refreshToken?: string
  expiresIn?: number
  /** The whole header instead of the right one. */
  challenge?: string | readonly string[]
  /** Tokens that are accepted; the token server adds those that it gives. */
  readonly tokens: Set<string>
}

export async function startStubRegistry(
  init: { readonly address?: string; readonly tls?: SelfSignedCertificate } = {},
): Promise<StubRegistry> {
  const overrides = new Map<string, StubHandler>()
  const content: StubRegistry['content'] = new Map()
  const auth: StubAuth = { kind: 'none', tokens: new Set() }
  const stub = await startStub(async (request, response) => {
    const path = request.path.split('?', 1)[0]!
    const override = overrides.get(path)
    if (override !== undefined) return override(request, response)
    if (path === '/token') return giveToken(request, response, auth)
    if (!isLetIn(request, auth)) {
      const challenge = auth.challenge ?? usualChallenge(auth, stub.url)
      response.writeHead(401, { 'www-authenticate': challenge as string | string[] }).end()
      return
    }
    serve(request, response, content.get(path))
  }, init)
  const add = (path: string, bytes: Buffer, mediaType: string) => {
    content.set(`/v2/team/app/${path}`, { bytes, mediaType })
    return sha256(bytes)
  }
  return {
    ...stub,
    overrides,
    content,
    auth,
    addBlob(text) {
      const bytes = Buffer.from(text)
      return add(`blobs/${sha256(bytes)}`, bytes, 'application/octet-stream')
    },
    addManifest(tag, extra = {}) {
      const config = { mediaType: MEDIA_TYPES.ociConfig, digest: sha256('{}'), size: 2 }
      const document = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [], ...extra }
      const bytes = Buffer.from(JSON.stringify(document))
      add(`manifests/${tag}`, bytes, MEDIA_TYPES.ociManifest)
      return { digest: add(`manifests/${sha256(bytes)}`, bytes, MEDIA_TYPES.ociManifest), bytes }
    },
    tokenRequests: () => stub.seen.filter(({ path }) => path.startsWith('/token')),
  }
}

function usualChallenge({ kind }: StubAuth, url: string): string {
  return kind === 'basic' ? 'Basic realm="stub"' : `Bearer realm="${url}/token",service="stub registry"`
}

function isLetIn({ headers }: SeenRequest, auth: StubAuth): boolean {
  const sent = headers.authorization ?? ''
  if (auth.kind === 'basic') return sent === basicHeader(auth.login ?? '')
  return auth.kind === 'none' || auth.tokens.has(sent.replace(/^Bearer /, ''))
}

function giveToken(request: SeenRequest, response: ServerResponse, auth: StubAuth): void {
  const form = new URLSearchParams(request.body)
  const isKnown =
    request.method === 'POST'
      ? form.get('refresh_token') === auth.refreshToken && form.get('grant_type') === 'refresh_token'
      : auth.login === undefined || request.headers.authorization === basicHeader(auth.login)
  if (!isKnown) {
    answerJson(response, 401, { errors: [] })
    return
  }
  const token = `token-${auth.tokens.size + 1}`
  auth.tokens.add(token)
  const lifetime = auth.expiresIn === undefined ? {} : { expires_in: auth.expiresIn }
  answerJson(
    response,
    200,
    request.method === 'POST' ? { access_token: token, ...lifetime } : { token, ...lifetime },
  )
}

function serve(
  { method, headers }: SeenRequest,
  response: ServerResponse,
  found: { readonly bytes: Buffer; readonly mediaType: string } | undefined,
): void {
  if (found === undefined) {
    answerJson(response, 404, { errors: [{ code: 'NAME_UNKNOWN' }] })
    return
  }
  const { bytes, mediaType } = found
  const digest = sha256(bytes)
  if (headers['if-none-match'] === `"${digest}"`) {
    response.writeHead(304).end()
    return
  }
  const asked = parseRange(headers.range, bytes.length)
  const common = { 'content-type': mediaType, 'docker-content-digest': digest }
  if (asked.kind === 'unsatisfiable') {
    response.writeHead(416).end()
  } else if (asked.kind === 'ranges') {
    const [{ start, end }] = asked.ranges
    response.writeHead(206, {
      ...common,
      'content-length': end - start,
      'content-range': `bytes ${start}-${end - 1}/${bytes.length}`,
    })
    response.end(bytes.subarray(start, end))
  } else {
    response.writeHead(200, { ...common, 'content-length': bytes.length })
    response.end(method === 'HEAD' ? undefined : bytes)
  }
}

function basicHeader(login: string): string {
  return `Basic ${Buffer.from(login).toString('base64')}`
}

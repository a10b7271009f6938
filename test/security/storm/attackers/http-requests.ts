/**
 * Requests to every route that there is, most of them almost right, in pieces, pipelined, and cut off at any moment of the
 * request or of its answer. Whatever changes something goes to the stranger's own repositories: who overwrites an honest tag
 * is no fault of the service's while it has no accounts.
 */
import { createHash } from 'node:crypto'
import type { Prng } from '@shoal/core'
import type { Attacker } from '../attacker.ts'
import { deliver, dial, leave } from '../connection.ts'
import { damaged, oneOf, randomBytes, randomHex } from '../random-messages.ts'
import { freshBlob, type Listener, type World } from '../world.ts'

export const httpRequests: Attacker = {
  name: 'http-requests',
  atOnce: 16,
  async act(world, prng, note, signal) {
    const listener = oneOf(world.listeners, prng)
    const requests = Array.from({ length: prng.below(4) === 0 ? 1 + prng.below(12) : 1 }, () =>
      randomRequest(world, listener, prng),
    )
    note(`${listener.name}: ${requests.map(({ line }) => line).join(' | ')}`)
    const socket = await dial(listener.address, prng, signal)
    if (socket === undefined) return
    const bytes = Buffer.concat(requests.map((request) => request.bytes))
    await deliver(socket, prng.below(12) === 0 ? damaged(bytes, prng) : bytes, prng, signal)
    await leave(socket, prng, signal)
  },
}

export interface RandomRequest {
  /** For the record. */
  readonly line: string
  readonly bytes: Uint8Array
}

const METHODS = [
  'GET',
  'GET',
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'TRACE',
  'CONNECT',
  'XYZ',
]
const CHANGING = ['POST', 'PUT', 'PATCH', 'DELETE']
const OWN = 'stranger/app'

function randomRequest(world: World, listener: Listener, prng: Prng): RandomRequest {
  const method = oneOf(METHODS, prng)
  const target = targetOf(world, listener, CHANGING.includes(method), prng)
  const body = CHANGING.includes(method) ? bodyOf(prng) : new Uint8Array(0)
  const headers = [`Host: ${oneOf(['x', '', 'a b', '[::1', 'docker.io', '127.0.0.1:1'], prng)}`]
  for (let extra = prng.below(4); extra > 0; extra--) headers.push(headerOf(world, prng))
  let sent: Uint8Array = body
  if (body.length > 0) {
    const framing = prng.below(5)
    if (framing === 0) {
      headers.push('Transfer-Encoding: chunked')
      sent = chunked(body, prng)
    } else if (framing === 1) {
      // A length that is not the body's.
      headers.push(`Content-Length: ${oneOf([body.length + 1_000, 2 ** 40, '-1', '1e3', '0x10'], prng)}`)
    } else headers.push(`Content-Length: ${body.length}`)
  }
  const version = oneOf(['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/3.9'], prng)
  const head = `${method} ${target} ${version}\r\n${headers.join('\r\n')}\r\n\r\n`
  return { line: `${method} ${target.slice(0, 120)}`, bytes: Buffer.concat([Buffer.from(head), sent]) }
}

function targetOf(world: World, listener: Listener, isChange: boolean, prng: Prng): string {
  if (listener.kind === 'peer-port') return `/api/v1/resolve?${questionOf(world, prng)}`
  const targets = [registryTarget, registryTarget, registryTarget]
  if (listener.kind === 'seeder') targets.push(seederTarget, seederTarget, seederTarget)
  else targets.push(agentTarget)
  if (prng.below(15) === 0) return oddTarget(prng)
  return oneOf(targets, prng)(world, isChange, prng)
}

function registryTarget(world: World, isChange: boolean, prng: Prng): string {
  const blob = freshBlob(world, prng)
  const repository = isChange
    ? OWN
    : oneOf([blob.repository, blob.repository, OWN, 'docker.io/library/x1', 'no/such'], prng)
  const digest = oneOf(
    [blob.digest, blob.manifest, `sha256:${randomHex(64, prng)}`, 'sha256:', 'md5:0'],
    prng,
  )
  const name = prng.below(20) === 0 ? encodeURIComponent(repository) : repository
  const ns =
    prng.below(10) === 0 ? `?ns=${oneOf(['docker.io', 'localhost', '169.254.169.254', '%zz'], prng)}` : ''
  return `/v2/${oneOf(
    [
      '',
      `${name}/manifests/${oneOf([blob.tag, blob.manifest, digest, 'x'.repeat(200), '..'], prng)}${ns}`,
      `${name}/blobs/${digest}${ns}`,
      `${name}/blobs/uploads/`,
      `${name}/blobs/uploads/?mount=${digest}&from=${blob.repository}`,
      `${name}/blobs/uploads/?digest=${digest}`,
      `${name}/blobs/uploads/${randomHex(8, prng)}-${randomHex(4, prng)}-4000-8000-${randomHex(12, prng)}?digest=${digest}`,
      `${name}/tags/list?n=${oneOf(['1', '-1', '1e99', '999999999', ''], prng)}&last=${oneOf(['a', '%00', 'é'], prng)}`,
      `${name}/referrers/${digest}?artifactType=${oneOf(['a/b', '', '%ff'], prng)}&n=1`,
      '_catalog',
    ],
    prng,
  )}`
}

function seederTarget(world: World, _isChange: boolean, prng: Prng): string {
  const blob = freshBlob(world, prng)
  const percent = (hex: string) => hex.replace(/../g, '%$&')
  const infoHash = oneOf([blob.infoHash, blob.infoHash, randomHex(40, prng), randomHex(10, prng)], prng)
  return oneOf(
    [
      `/api/v1/resolve?${questionOf(world, prng)}`,
      `/api/v1/events?format=${oneOf(['harbor', 'quay', 'distribution', 'x'], prng)}&secret=${oneOf(world.secrets, prng)}`,
      '/api/v1/publish',
      `/api/v1/gc?dryRun=${oneOf(['true', 'false', '1'], prng)}`,
      `/api/v1/torrents/${oneOf([blob.digest, `${blob.digest}.torrent`, '.torrent', '%2e%2e'], prng)}`,
      `/announce?info_hash=${percent(infoHash)}&peer_id=${percent(oneOf([...world.peerIds, randomHex(40, prng)], prng))}` +
        `&port=${oneOf([6881, 0, -1, 70_000, 'x', 1], prng)}&uploaded=0&downloaded=0&left=${oneOf([0, 1, 'x'], prng)}` +
        `&compact=${oneOf([0, 1], prng)}&numwant=${oneOf([50, -1, 1e9], prng)}&event=${oneOf(['started', 'stopped', 'x'], prng)}` +
        `${oneOf(['', '&ip=localhost', '&ip=::1', '&ip=1.2.3.4'], prng)}`,
      `/scrape?info_hash=${percent(infoHash)}&info_hash=${percent(randomHex(40, prng))}`,
      '/scrape',
      '/metrics',
      '/api/v1/announce-stream',
    ],
    prng,
  )
}

function agentTarget(_world: World, _isChange: boolean, prng: Prng): string {
  return oneOf(['/api/v1/status', '/api/v1/reachability', '/metrics', '/healthz', '/readyz'], prng)
}

function oddTarget(prng: Prng): string {
  return oneOf(
    [
      '*',
      '/%zz',
      '/v2/%zz/manifests/x',
      '//',
      'http://169.254.169.254/latest',
      `/${'a'.repeat(20_000)}`,
      '/v2/../../etc/passwd',
      '/%00',
      '/docker.io/v2/library/x1/manifests/1',
      '/?__proto__=1&constructor=2',
    ],
    prng,
  )
}

function questionOf(world: World, prng: Prng): string {
  const blob = freshBlob(world, prng)
  const question = new URLSearchParams({
    repository: oneOf([blob.repository, 'docker.io/library/x2', '../x', ''], prng),
  })
  if (prng.below(2) === 0)
    question.set('blob', oneOf([blob.digest, `sha256:${randomHex(64, prng)}`, 'x'], prng))
  else question.set('reference', oneOf([blob.tag, blob.manifest, 'no-such', ''], prng))
  if (prng.below(3) === 0) question.set('platform', oneOf(['linux/amd64', 'x'.repeat(100), '/'], prng))
  if (prng.below(2) === 0) question.set('peerId', oneOf([...world.peerIds, randomHex(40, prng), 'x'], prng))
  if (prng.below(4) === 0) question.set('wait', oneOf(['true', 'false', '2'], prng))
  return question.toString()
}

function headerOf(world: World, prng: Prng): string {
  return oneOf(
    [
      `Range: bytes=${prng.below(1_000)}-${prng.below(100_000)}`,
      `Range: bytes=${oneOf(['-5', '5-', '9-2', '0-0,5-9,1-', '999999999999999999-', Array(400).fill('0-1').join(',')], prng)}`,
      `Content-Range: ${oneOf(['0-9', '0-18446744073709551615', '5-2', 'bytes 0-9/10'], prng)}`,
      `Content-Type: ${oneOf(['application/octet-stream', 'application/vnd.oci.image.manifest.v1+json', 'text/html', 'application/json'], prng)}`,
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      'Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__',
      'Expect: 100-continue',
      'Connection: close',
      'Accept: application/vnd.oci.image.index.v1+json, */*',
      `Authorization: Bearer ${oneOf([...world.secrets, 'x', ''], prng)}`,
      `X-${'y'.repeat(prng.below(9_000))}: 1`,
      'If-None-Match: "x"',
      'Transfer-Encoding: gzip, chunked',
      'X-GitHub-Event: registry_package',
      'Content-Length: 5',
    ],
    prng,
  )
}

function bodyOf(prng: Prng): Uint8Array {
  switch (prng.below(6)) {
    case 0:
      return randomBytes(1 + prng.below(3_000), prng)
    case 1:
      return Buffer.alloc(1 + prng.below(300_000), 'x')
    case 2:
      return Buffer.from(manifestText(prng))
    case 3:
      return Buffer.from('['.repeat(5_000))
    case 4:
      return Buffer.from(
        '{"__proto__":{"a":1},"events":[{"action":"push","target":{"repository":"library/x1","tag":"1"}}]}',
      )
    default:
      return Buffer.from(
        JSON.stringify({
          references: ['docker.io/library/x3:1'],
          wait: prng.below(2) === 0,
          warm: 'all',
          type: 'PUSH_ARTIFACT',
          event_data: { resources: [{ tag: '1' }], repository: { repo_full_name: 'library/x1' } },
        }),
      )
  }
}

/** A manifest of the stranger's own, or nearly one. */
function manifestText(prng: Prng): string {
  const digest = `sha256:${createHash('sha256').update('{}').digest('hex')}`
  const descriptor = {
    mediaType: 'application/vnd.oci.empty.v1+json',
    digest,
    size: oneOf([2, -1, 2 ** 53], prng),
  }
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: oneOf(
      ['application/vnd.oci.image.manifest.v1+json', 'application/vnd.oci.image.index.v1+json', 7],
      prng,
    ),
    config: descriptor,
    layers: [descriptor],
    ...(prng.below(2) === 0 && { subject: { ...descriptor, digest: `sha256:${randomHex(64, prng)}` } }),
    annotations: { a: 'x'.repeat(prng.below(5_000)) },
  })
}

function chunked(body: Uint8Array, prng: Prng): Uint8Array {
  const size = oneOf(
    [body.length.toString(16), 'fffffffffffff', '-1', 'zz', `${body.length.toString(16)};x=y`],
    prng,
  )
  const end = oneOf(['\r\n0\r\n\r\n', '\r\n0\r\nA: b\r\n\r\n', '\r\n', ''], prng)
  return Buffer.concat([Buffer.from(`${size}\r\n`), body, Buffer.from(end)])
}

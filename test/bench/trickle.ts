/**
 * A layer from a registry that trickles, pulled by all agents at once: when each client has its header and its first byte, how
 * often the registry is read, and how long after its last byte the last client has the layer. A connection that is not read
 * gets no more.
 *
 * The registry is one in this process that gives every connection its share of a rate. With `--ranges`, clients read the layer in
 * parallel ranges, as containerd's parallel fetch does; it is read in order otherwise.
 */
import { createHash } from 'node:crypto'
import { createServer, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import { createPrng } from '../../packages/core/src/prng.ts'
import { startCluster } from '../support/cluster.ts'
import { bytesArgument, countArgument, printJson, printTable } from './command-line.ts'

interface Options {
  readonly agents: number
  readonly bytes: number
  readonly seconds: number
  readonly ranges: number
  readonly json?: true
}

const NAME = 'slow.test/bench/app'
const STEP_MS = 50

const options = new Command('bench:trickle')
  .description('What clients see of a layer whose registry trickles.')
  .option('--agents <count>', 'agents, each with one client', countArgument, 8)
  .option('--bytes <size>', 'size of the layer', bytesArgument, 64e6)
  .option('--seconds <count>', 'how long the registry takes for it', countArgument, 60)
  .option('--ranges <count>', 'ranges that a client reads at once', countArgument, 1)
  .option('--json', 'print one line of JSON instead of a table')
  .parse()
  .opts<Options>()

const layer = randomBytes(options.bytes)
const registry = await trickle(options.seconds)
const cluster = await startCluster({
  agents: options.agents,
  seederArgs: ['--upstreams', `slow.test=${registry.url}`],
})
const pulls = await Promise.all(cluster.agents.map(({ url }) => pull(url)))
await cluster[Symbol.asyncDispose]()
registry.close()

const report = {
  ...options,
  headerMs: spreadOf(pulls.map(({ headerMs }) => headerMs)),
  firstByteMs: spreadOf(pulls.map(({ firstByteMs }) => firstByteMs)),
  upstreamRead: registry.sentBytes() / layer.length,
  lastClientAfterMs: Math.round(longest(pulls.map(({ endedAtMs }) => endedAtMs)) - registry.endedAtMs()),
  right: pulls.filter(({ isRight }) => isRight).length,
}
if (options.json) printJson(report)
else
  printTable([
    ['', 'p50', 'max'],
    ['header, ms', ...report.headerMs],
    ['first byte, ms', ...report.firstByteMs],
    ['upstream read, layers', report.upstreamRead.toFixed(3), ''],
    ['last client after its last byte, ms', String(report.lastClientAfterMs), ''],
    ['clients with the right bytes', `${report.right} of ${options.agents}`, ''],
  ])

function randomBytes(length: number): Buffer {
  const prng = createPrng(1)
  const words = Uint32Array.from({ length: Math.ceil(length / 4) }, () => prng.below(2 ** 32))
  return Buffer.from(words.buffer).subarray(0, length)
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

function longest(values: readonly number[]): number {
  return Math.max(...values)
}

function spreadOf(values: readonly number[]): [p50: string, max: string] {
  const sorted = values.toSorted((a, b) => a - b)
  return [sorted[Math.floor(sorted.length / 2)]!.toFixed(0), sorted.at(-1)!.toFixed(0)]
}

/** A registry with one image, whose layer takes so long. */
async function trickle(seconds: number) {
  const config = Buffer.from('{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}')
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: digestOf(config),
        size: config.length,
      },
      layers: [
        {
          mediaType: 'application/vnd.oci.image.layer.v1.tar',
          digest: digestOf(layer),
          size: layer.length,
        },
      ],
    }),
  )
  const bytesPerMs = layer.length / (seconds * 1000)
  let sentBytes = 0
  let endedAtMs = 0
  let connections = 0
  const trickled = async function* (bytes: Buffer) {
    connections++
    try {
      let lastMs = performance.now()
      for (let at = 0; at < bytes.length; ) {
        await sleep(STEP_MS)
        const nowMs = performance.now()
        // By the clock: on a busy machine a step takes longer than it should.
        const part = bytes.subarray(at, at + Math.ceil(((nowMs - lastMs) * bytesPerMs) / connections))
        lastMs = nowMs
        at += part.length
        sentBytes += part.length
        yield part
      }
      endedAtMs = performance.now()
    } finally {
      connections--
    }
  }
  const server = createServer((request: IncomingMessage, response) => {
    const path = request.url ?? ''
    if (path.includes('/manifests/')) {
      const type = 'application/vnd.oci.image.manifest.v1+json'
      response.writeHead(200, {
        'content-type': type,
        'content-length': manifest.length,
        'docker-content-digest': digestOf(manifest),
      })
      response.end(request.method === 'HEAD' ? undefined : manifest)
    } else if (path.endsWith(digestOf(config))) {
      response.writeHead(200, { 'content-length': config.length }).end(config)
    } else if (path.endsWith(digestOf(layer))) {
      const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
      const start = Number(from ?? 0)
      const end = to ? Number(to) + 1 : layer.length
      response.writeHead(from === undefined ? 200 : 206, {
        'content-length': end - start,
        ...(from !== undefined && { 'content-range': `bytes ${start}-${end - 1}/${layer.length}` }),
      })
      if (request.method === 'HEAD') response.end()
      else void pipeline(trickled(layer.subarray(start, end)), response).catch(() => {})
    } else response.writeHead(path === '/v2/' ? 200 : 404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sentBytes: () => sentBytes,
    endedAtMs: () => endedAtMs,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}

async function pull(agentUrl: string) {
  const answer = await fetch(`${agentUrl}/v2/${NAME}/manifests/1`, {
    headers: { accept: 'application/vnd.oci.image.manifest.v1+json' },
  })
  if (answer.status !== 200) throw new Error(`the manifest was answered with ${answer.status}`)
  const url = `${agentUrl}/v2/${NAME}/blobs/${digestOf(layer)}`
  const size = Math.ceil(layer.length / options.ranges)
  const bytes = Buffer.alloc(layer.length)
  const parts = await Promise.all(
    Array.from({ length: options.ranges }, (_, n) =>
      read(url, n * size, Math.min(layer.length, (n + 1) * size), bytes),
    ),
  )
  return {
    headerMs: longest(parts.map(({ headerMs }) => headerMs)),
    firstByteMs: longest(parts.map(({ firstByteMs }) => firstByteMs)),
    endedAtMs: performance.now(),
    isRight: bytes.equals(layer),
  }
}

function read(
  url: string,
  start: number,
  end: number,
  into: Buffer,
): Promise<{ headerMs: number; firstByteMs: number }> {
  const startMs = performance.now()
  const headers = start === 0 && end === layer.length ? {} : { range: `bytes=${start}-${end - 1}` }
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, headers }, (response) => {
      const headerMs = performance.now() - startMs
      let firstByteMs = Number.POSITIVE_INFINITY
      let at = start
      response.on('data', (chunk: Buffer) => {
        if (at === start) firstByteMs = performance.now() - startMs
        chunk.copy(into, at)
        at += chunk.length
      })
      response.on('error', reject)
      response.on('end', () => resolve({ headerMs, firstByteMs }))
    })
    request.on('error', reject)
  })
}

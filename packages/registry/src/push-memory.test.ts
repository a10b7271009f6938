/**
 * Goal: a layer of any length passes through bounded memory, in both directions, and others are served meanwhile.
 * Method: 512 MiB of unknown length over a real socket, from a process of its own, into a store that keeps nothing;
 * this process's resident memory is sampled, and the base endpoint asked again and again. The number is 150 MB for
 * a layer of 5 GB: what grows with the length would show long before.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { MapObjectStore } from '@shoal/testing/map-object-store'
import { expect, test } from 'vitest'
import { type RegistryServer, startRegistry } from './testing/registry-server.ts'

const MIB = 1024 * 1024
const CHUNK = 65_536
const LAYER_MIB = 512
const GROWTH_MIB_MAX = 150

/** Forgets content, remembers the small objects. */
class ForgetfulObjectStore extends MapObjectStore {
  override async createWriter() {
    const checkpoint = async () => ({ bytes: 0, token: '' })
    const nothing = async () => {}
    return { write: nothing, complete: nothing, checkpoint, release: nothing, abort: nothing }
  }
}

const CLIENT = `
const http = require('node:http')
const [port, digest, chunks] = process.argv.slice(1)
const send = (method, path, write) => new Promise((resolve, reject) => {
  const request = http.request({ host: '127.0.0.1', port, method, path }, (answer) => {
    answer.resume().on('end', () => resolve(answer))
  })
  request.on('error', reject)
  write ? write(request) : request.end()
})
const begun = await send('POST', '/v2/app/blobs/uploads/')
const location = begun.headers.location
const chunk = Buffer.alloc(${CHUNK}, 7)
await send('PATCH', location, async (request) => {
  for (let i = 0; i < chunks; i++) if (!request.write(chunk)) await new Promise((go) => request.once('drain', go))
  request.end()
})
const finished = await send('PUT', location + '?digest=' + digest)
console.log(finished.statusCode)
`

test('a push of half a gigabyte', { timeout: 120_000 }, async () => {
  const registry = await startRegistry({ parts: { objects: new ForgetfulObjectStore() } })
  const digest = digestOfPattern()
  const rssMib = () => process.memoryUsage.rss() / MIB
  const before = rssMib()
  let most = before
  const sampling = setInterval(() => {
    most = Math.max(most, rssMib())
  }, 10)
  const client = runClient(registry, digest)
  let slowestMs = 0
  let isDone = false
  void client.finally(() => {
    isDone = true
  })
  while (!isDone) {
    const startedAt = performance.now()
    expect((await fetch(`${registry.url}/v2/`)).status).toBe(200)
    slowestMs = Math.max(slowestMs, performance.now() - startedAt)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  clearInterval(sampling)
  expect(await client).toBe('201')
  await registry.close()
  expect(most - before).toBeLessThan(GROWTH_MIB_MAX)
  // Generous, for machines that do much else; a push that is hashed in one go would take seconds.
  expect(slowestMs).toBeLessThan(1_000)
})

function digestOfPattern(): string {
  const hash = createHash('sha256')
  const chunk = Buffer.alloc(CHUNK, 7)
  for (let bytes = 0; bytes < LAYER_MIB * MIB; bytes += CHUNK) hash.update(chunk)
  return `sha256:${hash.digest('hex')}`
}

function runClient({ port }: RegistryServer, digest: string): Promise<string> {
  const args = ['--input-type=commonjs', '-e', `(async () => {${CLIENT}})()`]
  const child = spawn(process.execPath, [...args, String(port), digest, String((LAYER_MIB * MIB) / CHUNK)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.on('data', (bytes) => {
    output += bytes
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', () => resolve(output.trim()))
  })
}

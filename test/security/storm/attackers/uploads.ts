/** Uploads into a repository of the stranger's own: begun, gone on with in wrong places, slowly, at once from two sides, left. */
import { createHash } from 'node:crypto'
import { request } from 'node:http'
import type { Prng } from '@shoal/core'
import { type Attacker, pause } from '../attacker.ts'
import { dial, leave } from '../connection.ts'
import { oneOf, randomBytes } from '../random-messages.ts'
import { type Address, listenersOf, strangerAddress } from '../world.ts'

export const uploads: Attacker = {
  name: 'uploads',
  atOnce: 4,
  async act(world, prng, note, signal) {
    const listener = oneOf(listenersOf(world, 'seeder', 'agent'), prng)
    const location = await begin(listener.address, prng, signal)
    if (location === undefined) return
    for (let step = 1 + prng.below(3); step > 0 && !signal.aborted; step--) {
      const body = randomBytes(1 + prng.below(4_000), prng)
      const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`
      const method = oneOf(['PATCH', 'PATCH', 'PUT', 'GET', 'DELETE'], prng)
      const query = method === 'PUT' ? `?digest=${oneOf([digest, `sha256:${'0'.repeat(64)}`], prng)}` : ''
      const claimed = oneOf([body.length, body.length, body.length + 5, 10 ** 12], prng)
      const range = prng.below(3) === 0 ? `Content-Range: ${prng.below(10)}-${prng.below(9_000)}\r\n` : ''
      note(`${listener.name}: ${method} ${location}${query} ${claimed} bytes, ${body.length} sent`)
      const socket = await dial(listener.address, prng, signal)
      if (socket === undefined) return
      socket.write(
        `${method} ${location}${query} HTTP/1.1\r\nHost: x\r\n${range}Content-Length: ${claimed}\r\n\r\n`,
      )
      const at = prng.below(body.length)
      socket.write(body.subarray(0, at))
      await pause(prng.below(400), signal)
      if (prng.below(3) > 0 && !socket.destroyed) socket.write(body.subarray(at))
      await leave(socket, prng, signal)
    }
  },
}

/** @returns where the upload goes on */
function begin(address: Address, prng: Prng, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    const post = request({
      ...address,
      method: 'POST',
      path: '/v2/stranger/app/blobs/uploads/',
      localAddress: strangerAddress(prng),
      agent: false,
      signal,
      timeout: 3_000,
    })
    post.on('response', (answer) => {
      answer.resume()
      resolve(answer.statusCode === 202 ? answer.headers.location : undefined)
    })
    post.on('timeout', () => post.destroy())
    post.on('error', () => resolve(undefined))
    post.on('close', () => resolve(undefined))
    post.end()
  })
}

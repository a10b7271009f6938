/** What honest clients and agents want of a seeder while somebody floods it. */
import { createHash, randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { decodeResolution, encodeHandshake, HANDSHAKE_BYTES, RESOLVE_PATH } from '@shoal/wire'
import { memoryBlob } from '../../support/layers.ts'
import { pushBlob } from '../../support/push.ts'
import type { FloodTarget } from './row.ts'

const SHAKE_MS_MAX = 3_000
const BLOB_BYTES = 10_000

/** Pushes a small blob. */
export async function pushes({ url }: FloodTarget): Promise<boolean> {
  return pushBlob(url, 'honest/app', memoryBlob(randomBytes(BLOB_BYTES))).then(
    () => true,
    () => false,
  )
}

/** Shakes hands in the layer's swarm. */
export async function shakesHands(target: FloodTarget): Promise<boolean> {
  const { url, repository, layer, peerHost, peerPort } = target
  const peerId = randomBytes(20).toString('hex')
  const query = new URLSearchParams({ repository, blob: layer })
  const answer = await fetch(`${url}${RESOLVE_PATH}?${query}`)
  const { info } = decodeResolution(new Uint8Array(await answer.arrayBuffer())).blobs[0]!
  const infoHash = createHash('sha1').update(info).digest('hex')
  return new Promise((resolve) => {
    const socket = connect({ host: peerHost, port: peerPort })
    const timer = setTimeout(() => socket.destroy(), SHAKE_MS_MAX)
    let heard = 0
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      heard += chunk.length
      if (heard >= HANDSHAKE_BYTES) socket.destroy()
    })
    socket.once('close', () => {
      clearTimeout(timer)
      resolve(heard >= HANDSHAKE_BYTES)
    })
    socket.write(encodeHandshake({ infoHash, peerId, hasFast: true, hasExtensions: true }))
  })
}

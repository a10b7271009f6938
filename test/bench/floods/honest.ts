/** What honest clients and agents want of a seeder while somebody floods it. */
import { createHash, randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { decodeResolution, encodeHandshake, HANDSHAKE_BYTES, RESOLVE_PATH } from '@shoal/wire'
import { memoryBlob } from '../../support/layers.ts'
import { pushBlob } from '../../support/push.ts'
import type { FloodTarget } from './row.ts'

const SHAKE_MS_MAX = 3_000
const BLOB_BYTES = 10_000
const SEEDING_BEGINS_MS = 200

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
  // A seeder is in a swarm when somebody else is.
  const percent = (hex: string) => hex.replace(/../g, '%$&')
  const announce = `info_hash=${percent(infoHash)}&peer_id=${percent(peerId)}&port=6881&uploaded=0&downloaded=0&left=1&compact=1`
  await (await fetch(`${url}/announce?${announce}`)).arrayBuffer()
  await sleep(SEEDING_BEGINS_MS)
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

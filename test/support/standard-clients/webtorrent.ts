/** webtorrent from npm, in this process. */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import WebTorrent from 'webtorrent'
import { freePort } from '../free-port.ts'
import type { StandardClient } from './standard-client.ts'

export const webtorrent: StandardClient = async ({ torrentPath, folder }) => {
  const port = await freePort()
  const client = new WebTorrent({
    dht: false,
    lsd: false,
    utPex: false,
    utp: false,
    natUpnp: false,
    natPmp: false,
    secure: 0,
    torrentPort: { host: '127.0.0.1', port },
  })
  const torrent = client.add(new Uint8Array(await readFile(torrentPath)), { path: folder })
  const whole = once(torrent, 'done').then(() => {})
  whole.catch(() => {})
  await once(torrent, 'ready')
  return {
    port,
    whole,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => client.destroy(() => resolve())),
  }
}

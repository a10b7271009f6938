/** webtorrent in a process of its own: `webtorrent-download.ts <address> <save path> <torrent file>`. */
import { readFile } from 'node:fs/promises'
import WebTorrent from 'webtorrent'

const [host, path = '', torrentPath = ''] = process.argv.slice(2)
const off = { dht: false, lsd: false, utPex: false, utp: false, natUpnp: false, natPmp: false, secure: 0 }
const client = new WebTorrent({ ...off, torrentPort: { host, port: 6900 } })
client.on('error', (error) => {
  throw error
})
const torrent = client.add(await readFile(torrentPath), { path })
torrent.on('warning', (warning) => console.log(`${warning}`))
torrent.on('done', () => console.log('complete'))

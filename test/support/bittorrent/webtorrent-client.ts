/** webtorrent, as any program would use it: in this process, told of its peer with `addPeer`. */
import { once } from 'node:events'
import WebTorrent from 'webtorrent'
import {
  type BitTorrentClient,
  type ClientTask,
  type Download,
  HOST,
  START_TIMEOUT_MS,
  torrentOf,
} from './client.ts'

export const webtorrentClient: BitTorrentClient = {
  name: 'webtorrent',
  components: [],
  transferTimeoutMs: 20_000,
  dialsLoopback: true,
  async download(task, peer) {
    const started = await start(task)
    started.addPeer(`${peer.host}:${peer.port}`)
    return started
  },
  async seed(task) {
    const started = await start(task)
    await started.finished(START_TIMEOUT_MS)
    return started
  },
}

async function start(task: ClientTask): Promise<Download & { addPeer(peer: string): void }> {
  const client = new WebTorrent({
    dht: false,
    lsd: false,
    utPex: false,
    utp: false,
    natUpnp: false,
    natPmp: false,
    tracker: false,
    secure: 0,
    torrentPort: { host: HOST, port: 0 },
  })
  await using undo = new AsyncDisposableStack()
  undo.defer(() => new Promise<void>((resolve) => client.destroy(() => resolve())))
  const failed = once(client, 'error').then(([error]) => Promise.reject(error))
  failed.catch(() => {})
  await Promise.race([once(client, 'listening'), failed])
  const torrent = client.add(torrentOf(task), { path: task.folder })
  const done = once(torrent, 'done')
  await Promise.race([once(torrent, 'ready'), failed])
  const stop = undo.move()
  return {
    address: { host: HOST, port: client.torrentPort },
    addPeer: (peer) => void torrent.addPeer(peer),
    finished: async (timeoutMs) => {
      const timeout = Promise.withResolvers<never>()
      const late = new Error(`webtorrent was not done within ${timeoutMs} ms`)
      const timer = setTimeout(() => timeout.reject(late), timeoutMs)
      await Promise.race([done, failed, timeout.promise]).finally(() => clearTimeout(timer))
    },
    [Symbol.asyncDispose]: () => stop.disposeAsync(),
  }
}

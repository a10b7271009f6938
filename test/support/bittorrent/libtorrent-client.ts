/** libtorrent of Debian, by its Python binding: what qBittorrent and Deluge are made of. */
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { libtorrentPython } from '../components.ts'
import { startProcess } from '../process.ts'
import {
  type BitTorrentClient,
  blobName,
  type ClientTask,
  type Download,
  HOST,
  type PeerEndpoint,
  START_TIMEOUT_MS,
  torrentOf,
} from './client.ts'

const PROGRAM = fileURLToPath(new URL('libtorrent_client.py', import.meta.url))

export const libtorrentClient: BitTorrentClient = {
  name: 'libtorrent',
  components: ['libtorrent'],
  transferTimeoutMs: 20_000,
  dialsLoopback: true,
  download: (task, peer) => start(task, peer),
  async seed(task) {
    const started = await start(task)
    await started.finished(START_TIMEOUT_MS)
    return started
  },
}

async function start(task: ClientTask, peer?: PeerEndpoint): Promise<Download> {
  const torrentPath = `${task.folder}/${blobName(task)}.torrent`
  await writeFile(torrentPath, torrentOf(task))
  const words = [PROGRAM, task.folder, torrentPath, ...(peer ? [peer.host, `${peer.port}`] : [])]
  const program = startProcess(libtorrentPython()!, words, { stopTimeoutMs: 2_000 })
  try {
    const line = await program.waitForLine((said) => said.startsWith('listening '), START_TIMEOUT_MS)
    return {
      address: { host: HOST, port: Number(line.split(' ')[1]) },
      finished: async (timeoutMs) => {
        await program.waitForLine((said) => said === 'complete', timeoutMs)
      },
      [Symbol.asyncDispose]: async () => {
        // It keeps nothing; its way of ending by SIGTERM is no matter here.
        await program.kill9()
      },
    }
  } catch (error) {
    await program.kill9()
    throw error
  }
}

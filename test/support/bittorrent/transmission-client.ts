/**
 * transmission-daemon, driven by its RPC (X-Transmission-Session-Id and JSON, as transmission-remote does it).
 *
 * Neither its RPC nor a magnet link tells it of a peer, and it takes no address in 127.0.0.0/8 or ::1 from a tracker: to it,
 * those are no peers, and no setting changes that. Connections that come from there it accepts.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { programPaths } from '../components.ts'
import { freePort } from '../free-port.ts'
import { type RunningProcess, startProcess } from '../process.ts'
import { untilReady } from '../readiness.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import {
  type BitTorrentClient,
  type ClientTask,
  type Download,
  HOST,
  START_TIMEOUT_MS,
  torrentOf,
} from './client.ts'

/** `status` of a torrent whose file was checked: incomplete and fetched, or complete and served. */
const DOWNLOADING = 4
const SEEDING = 6

export const transmissionClient: BitTorrentClient = {
  name: 'transmission',
  components: ['transmission'],
  // It looks whom to ask and whom to serve every ten seconds, and sends what was asked for every half second.
  transferTimeoutMs: 60_000,
  dialsLoopback: false,
  download: (task) => start(task, DOWNLOADING),
  seed: (task) => start(task, SEEDING),
}

/** Resolves when the torrent has the status `ready`: while it checks its file, it serves and fetches nothing. */
async function start(task: ClientTask, ready: number): Promise<Download> {
  await using undo = new AsyncDisposableStack()
  const folder = undo.use(await temporaryFolder('transmission'))
  const [rpcPort, peerPort] = [await freePort(), await freePort()]
  const settings = settingsOf(rpcPort, peerPort, task.folder)
  await writeFile(join(folder.path, 'settings.json'), JSON.stringify(settings))
  const daemon = startProcess(
    programPaths('transmission-daemon')[0]!,
    ['--foreground', '--config-dir', folder.path],
    { env: { HOME: folder.path, http_proxy: undefined, all_proxy: undefined } },
  )
  // What it would keep of its state goes with the folder.
  undo.defer(async () => {
    await daemon.kill9()
  })
  const rpc = new Rpc(`http://${HOST}:${rpcPort}/transmission/rpc`)
  await untilReady(daemon, 'transmission-daemon', START_TIMEOUT_MS, () => rpc.answers())
  await rpc.call('torrent-add', { metainfo: torrentOf(task).toString('base64') })
  await untilStatus(daemon, rpc, ready, START_TIMEOUT_MS)
  const stop = undo.move()
  return {
    address: { host: HOST, port: peerPort },
    finished: (timeoutMs) => untilStatus(daemon, rpc, SEEDING, timeoutMs),
    [Symbol.asyncDispose]: () => stop.disposeAsync(),
  }
}

async function untilStatus(
  daemon: RunningProcess,
  rpc: Rpc,
  wanted: number,
  timeoutMs: number,
): Promise<void> {
  await untilReady(daemon, 'transmission-daemon', timeoutMs, async () => {
    const { torrents } = await rpc.call<TorrentList>('torrent-get', { fields: ['status'] })
    return torrents[0]?.status === wanted
  })
}

interface TorrentList {
  readonly torrents: readonly { readonly status: number }[]
}

class Rpc {
  readonly #url: string
  #session = ''

  constructor(url: string) {
    this.#url = url
  }

  async answers(): Promise<boolean> {
    await this.call('session-get', {})
    return true
  }

  async call<Answer>(method: string, parameters: object): Promise<Answer> {
    let response = await this.#post(method, parameters)
    if (response.status === 409) {
      // Its guard against forged requests: it names the session that it wants to hear.
      this.#session = response.headers.get('x-transmission-session-id') ?? ''
      await response.body?.cancel()
      response = await this.#post(method, parameters)
    }
    const answer = (await response.json()) as { result: string; arguments: Answer }
    if (answer.result !== 'success') throw new Error(`transmission refuses ${method}: ${answer.result}`)
    return answer.arguments
  }

  #post(method: string, parameters: object): Promise<Response> {
    return fetch(this.#url, {
      method: 'POST',
      headers: { 'x-transmission-session-id': this.#session },
      body: JSON.stringify({ method, arguments: parameters }),
      signal: AbortSignal.timeout(5_000),
    })
  }
}

function settingsOf(rpcPort: number, peerPort: number, downloadFolder: string) {
  return {
    'rpc-bind-address': HOST,
    'rpc-port': rpcPort,
    'rpc-whitelist-enabled': false,
    'rpc-host-whitelist-enabled': false,
    'bind-address-ipv4': HOST,
    'bind-address-ipv6': '::1',
    'peer-port': peerPort,
    'port-forwarding-enabled': false,
    'dht-enabled': false,
    'lpd-enabled': false,
    'pex-enabled': false,
    'utp-enabled': false,
    // Prefers the clear.
    encryption: 0,
    'download-dir': downloadFolder,
    'incomplete-dir-enabled': false,
    'rename-partial-files': false,
    preallocation: 0,
  }
}

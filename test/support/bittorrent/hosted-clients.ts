/**
 * BitTorrent clients as their users have them, handed a `.torrent` with a tracker in it, each on a host of its own. UPnP,
 * NAT-PMP, DHT, local discovery and peer exchange are off, whatever their defaults; the tracker is all that they know.
 */
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { NamespacedHost } from '../../../packages/fanout/src/live/namespaces.ts'
import { type ComponentName, libtorrentPython, programPaths } from '../components.ts'
import { type RunningProcess, runProcess, startProcess } from '../process.ts'
import { START_TIMEOUT_MS } from './client.ts'

export interface HostedTask {
  readonly host: NamespacedHost
  readonly torrentPath: string
  /** Empty, for this client alone. */
  readonly folder: string
}

export interface HostedClient {
  readonly name: string
  readonly components: readonly ComponentName[]
  /** Fetches into `folder/files`. Resolves when it was told of the torrent. */
  download(task: HostedTask): Promise<RunningProcess>
}

const PORT = 6900

/** Without a terminal it runs as a daemon; what it is told of stands in its configuration. */
const rtorrent: HostedClient = {
  name: 'rtorrent',
  components: ['rtorrent'],
  async download({ host, torrentPath, folder }) {
    const configuration = await written(folder, 'rtorrent.rc', [
      'system.daemon.set = true',
      `network.bind_address.set = ${host.address}`,
      `network.port_range.set = ${PORT}-${PORT}`,
      'dht.mode.set = disable',
      'protocol.pex.set = no',
      'trackers.use_udp.set = no',
      'protocol.encryption.set = none',
      `directory.default.set = ${join(folder, 'files')}`,
      `load.start = ${torrentPath}`,
    ])
    return start(host, folder, ['rtorrent', '-n', '-o', `import=${configuration}`])
  },
}

/** Its UPnP is on by default, and speaks multicast. */
const qbittorrent: HostedClient = {
  name: 'qbittorrent',
  components: ['qbittorrent'],
  async download({ host, torrentPath, folder }) {
    await mkdir(join(folder, 'qBittorrent/config'), { recursive: true })
    await written(folder, 'qBittorrent/config/qBittorrent.conf', [
      '[LegalNotice]',
      'Accepted=true',
      '[BitTorrent]',
      'Session\\DHTEnabled=false',
      'Session\\LSDEnabled=false',
      'Session\\PeXEnabled=false',
      `Session\\Port=${PORT}`,
      'Session\\Interface=eth0',
      'Session\\BTProtocol=TCP',
      'Session\\Encryption=2',
      '[Network]',
      'PortForwardingEnabled=false',
      '[Preferences]',
      'WebUI\\UseUPnP=false',
    ])
    const words = [`--profile=${folder}`, `--save-path=${join(folder, 'files')}`, torrentPath]
    return start(host, folder, ['qbittorrent-nox', ...words])
  },
}

/** The daemon, told by its console, as on a server. */
const deluge: HostedClient = {
  name: 'deluge',
  components: ['deluge'],
  async download({ host, torrentPath, folder }) {
    const core = {
      dht: false,
      lsd: false,
      upnp: false,
      natpmp: false,
      utpex: false,
      enc_in_policy: 2,
      enc_out_policy: 2,
      random_port: false,
      listen_ports: [PORT, PORT],
      listen_interface: host.address,
      daemon_port: 58_846,
      new_release_check: false,
      send_info: false,
      download_location: join(folder, 'files'),
    }
    await written(folder, 'core.conf', [`{"file": 1, "format": 1}${JSON.stringify(core)}`])
    await written(folder, 'auth', ['localclient:secret:10'])
    const daemon = start(host, folder, ['deluged', '-d', '-c', folder, '-L', 'info'])
    try {
      // It says nothing when it listens.
      const listens = `until (: < /dev/tcp/127.0.0.1/${core.daemon_port}) 2>/dev/null; do sleep 0.1; done`
      await run(host, folder, ['timeout', `${START_TIMEOUT_MS / 1_000}`, 'bash', '-c', listens])
      const commands = `connect 127.0.0.1:${core.daemon_port} localclient secret; add ${torrentPath}`
      await run(host, folder, ['deluge-console', '-c', folder, commands])
    } catch (error) {
      await daemon.kill9()
      throw error
    }
    return daemon
  },
}

const transmission: HostedClient = {
  name: 'transmission',
  components: ['transmission'],
  async download({ host, torrentPath, folder }) {
    const settings = {
      'rpc-enabled': false,
      'bind-address-ipv4': host.address,
      'peer-port': PORT,
      'port-forwarding-enabled': false,
      'dht-enabled': false,
      'lpd-enabled': false,
      'pex-enabled': false,
      'utp-enabled': false,
      encryption: 0,
      'download-dir': join(folder, 'files'),
      'rename-partial-files': false,
      preallocation: 0,
      'watch-dir-enabled': true,
      'watch-dir': join(folder, 'watch'),
    }
    await written(folder, 'settings.json', [JSON.stringify(settings)])
    await mkdir(join(folder, 'watch'))
    await runProcess('cp', [torrentPath, join(folder, 'watch')])
    const program = programPaths('transmission-daemon')[0]!
    return start(host, folder, [program, '--foreground', '--config-dir', folder])
  },
}

const aria2: HostedClient = {
  name: 'aria2',
  components: ['aria2'],
  async download({ host, torrentPath, folder }) {
    const quiet = [
      '--no-conf=true',
      '--enable-dht=false',
      '--bt-enable-lpd=false',
      '--enable-peer-exchange=false',
    ]
    const where = [`--listen-port=${PORT}`, `--dir=${join(folder, 'files')}`, '--seed-ratio=0.0']
    const shown = ['--show-console-readout=false', '--summary-interval=0', '--file-allocation=none']
    return start(host, folder, ['aria2c', ...quiet, ...where, ...shown, torrentPath])
  },
}

/** Asks for a scrape as well, before it has begun: `scraped` and the number of seeds are on a line of its output. */
const libtorrent: HostedClient = {
  name: 'libtorrent',
  components: ['libtorrent'],
  async download({ host, torrentPath, folder }) {
    const program = fileURLToPath(new URL('libtorrent_client.py', import.meta.url))
    const listen = `--listen=${host.address}:${PORT}`
    return start(host, folder, [libtorrentPython()!, program, listen, join(folder, 'files'), torrentPath])
  },
}

const webtorrent: HostedClient = {
  name: 'webtorrent',
  components: [],
  async download({ host, torrentPath, folder }) {
    const program = fileURLToPath(new URL('webtorrent-download.ts', import.meta.url))
    return start(host, folder, [process.execPath, program, host.address, join(folder, 'files'), torrentPath])
  },
}

export const hostedClients: readonly HostedClient[] = [
  rtorrent,
  deluge,
  qbittorrent,
  transmission,
  aria2,
  libtorrent,
  webtorrent,
]

/** The one file that a client has put down; undefined until it has one. */
export async function fetchedFile(folder: string): Promise<string | undefined> {
  // (aria2 keeps its own notes beside it, under the name and `.aria2`.)
  const [name] = (await readdir(join(folder, 'files'))).filter((file) => /^sha256-[0-9a-f]{64}$/.test(file))
  return name && join(folder, 'files', name)
}

async function written(folder: string, name: string, lines: readonly string[]): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, `${lines.join('\n')}\n`)
  return path
}

const surroundings = (folder: string) => ({
  env: { HOME: folder, TERM: 'dumb', http_proxy: undefined, all_proxy: undefined, no_proxy: undefined },
})

function start({ prefix }: NamespacedHost, folder: string, words: readonly string[]): RunningProcess {
  return startProcess(prefix[0]!, [...prefix.slice(1), ...words], surroundings(folder))
}

async function run({ prefix }: NamespacedHost, folder: string, words: readonly string[]): Promise<void> {
  await runProcess(prefix[0]!, [...prefix.slice(1), ...words], surroundings(folder))
}

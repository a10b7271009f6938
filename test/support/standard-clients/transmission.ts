/** transmission-daemon, spoken to over its RPC. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../free-port.ts'
import { startProcess } from '../process.ts'
import { answers, untilReady } from '../readiness.ts'
import { READY_TIMEOUT_MS, type StandardClient } from './standard-client.ts'

const LOOK_MS = 50

export const transmission: StandardClient = async ({ torrentPath, folder, home }) => {
  const [port, rpcPort] = [await freePort(), await freePort()]
  const configuration = join(home, 'transmission')
  await mkdir(configuration, { recursive: true })
  await writeFile(join(configuration, 'settings.json'), JSON.stringify(settings(folder, port, rpcPort)))
  const daemon = startProcess('transmission-daemon', ['--foreground', '--config-dir', configuration])
  const url = `http://127.0.0.1:${rpcPort}/transmission/rpc`
  await untilReady(daemon, 'transmission-daemon', READY_TIMEOUT_MS, () => answers(url, [200, 409]))
  const ask = rpc(url)
  await ask('torrent-add', { metainfo: (await readFile(torrentPath)).toString('base64') })
  // What is on disk is looked at before peers are spoken to.
  await untilReady(daemon, 'transmission-daemon', READY_TIMEOUT_MS, async () => {
    const { status } = await torrentOf(ask)
    return status === DOWNLOADING || status === SEEDING
  })
  const stop = new AbortController()
  const whole = (async () => {
    while ((await torrentOf(ask)).percentDone < 1) await delay(LOOK_MS, undefined, { signal: stop.signal })
  })()
  whole.catch(() => {})
  return {
    port,
    whole,
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await daemon.kill9()
    },
  }
}

/** tr_torrent_activity of its RPC specification. */
const DOWNLOADING = 4
const SEEDING = 6

type Ask = (method: string, args: object) => Promise<{ torrents?: { status: number; percentDone: number }[] }>

async function torrentOf(ask: Ask): Promise<{ status: number; percentDone: number }> {
  const { torrents } = await ask('torrent-get', { fields: ['status', 'percentDone'] })
  const [torrent] = torrents ?? []
  if (torrent === undefined) throw new Error('transmission has no torrent')
  return torrent
}

function rpc(url: string): Ask {
  let session = ''
  const ask: Ask = async (method, args) => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'x-transmission-session-id': session },
      body: JSON.stringify({ method, arguments: args }),
    })
    if (response.status === 409) {
      session = response.headers.get('x-transmission-session-id') ?? ''
      await response.body?.cancel()
      return ask(method, args)
    }
    const answer = (await response.json()) as { result: string; arguments: Awaited<ReturnType<Ask>> }
    if (answer.result !== 'success') throw new Error(`transmission: ${method}: ${answer.result}`)
    return answer.arguments
  }
  return ask
}

function settings(folder: string, port: number, rpcPort: number): object {
  return {
    'bind-address-ipv4': '127.0.0.1',
    'dht-enabled': false,
    'download-dir': folder,
    encryption: 0,
    'incomplete-dir-enabled': false,
    'lpd-enabled': false,
    'peer-port': port,
    'peer-port-random-on-start': false,
    'pex-enabled': false,
    'port-forwarding-enabled': false,
    'rename-partial-files': false,
    'rpc-bind-address': '127.0.0.1',
    'rpc-port': rpcPort,
    'rpc-authentication-required': false,
    'rpc-whitelist-enabled': false,
    'utp-enabled': false,
  }
}

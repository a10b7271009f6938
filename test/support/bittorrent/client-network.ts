/**
 * A seeder and BitTorrent clients of others, each on a host of its own that nobody else sees: a network namespace in which a
 * client may ask for a gateway, a router or its neighbours as it likes.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeNamespaces, type NamespacedHost } from '../../../packages/fanout/src/live/namespaces.ts'
import { Cleanup } from '../../../packages/fanout/src/processes/cleanup.ts'
import { writeLayout } from '../image-folders.ts'
import { buildImage } from '../images.ts'
import type { Layer } from '../layers.ts'
import { jsonEvent, runProcess, startProcess } from '../process.ts'
import { BIN, SHOAL_NODE_FLAGS } from '../shoal.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { START_TIMEOUT_MS } from './client.ts'

export type { NamespacedHost }

export interface ClientNetwork extends AsyncDisposable {
  /** The folder of everything that is written. */
  readonly folder: string
  hostOf(client: string): NamespacedHost
  /** The `.torrent` of a layer, as the seeder gives it. */
  torrentPath(layer: Layer): string
}

const LINK_BYTES_PER_SECOND = 100_000_000

/** The seeder has the layers, and nobody has pulled one. */
export async function startClientNetwork(
  clients: readonly string[],
  layers: readonly Layer[],
): Promise<ClientNetwork> {
  await using undo = new AsyncDisposableStack()
  const folder = undo.use(await temporaryFolder('clients'))
  const cleanup = new Cleanup()
  undo.defer(async () => {
    await cleanup.run()
  })
  const { hosts } = await makeNamespaces({
    names: ['seeder', ...clients],
    linkBytesPerSecond: LINK_BYTES_PER_SECOND,
    cleanup,
    onFailed: () => {},
    signal: AbortSignal.timeout(START_TIMEOUT_MS),
  })
  const [seederHost, ...clientHosts] = hosts as [NamespacedHost, ...NamespacedHost[]]
  const url = `http://${seederHost.address}:7000`
  const places = ['--data', join(folder.path, 'data'), '--origin', join(folder.path, 'origin')]
  const addresses = ['--listen', `${seederHost.address}:7000`, '--peer-listen', `${seederHost.address}:7001`]
  const words = [process.execPath, ...SHOAL_NODE_FLAGS, BIN, 'seeder', ...places, ...addresses]
  const seeder = undo.use(startProcess(seederHost.prefix[0]!, [...seederHost.prefix.slice(1), ...words]))
  const layout = join(folder.path, 'layout')
  const { manifest, config } = buildImage({ layers })
  const written = writeLayout(layout, { tags: { '1': manifest }, blobs: [config, ...layers] })
  await Promise.all([written, seeder.waitForLine(jsonEvent('ready'), START_TIMEOUT_MS)])
  await run(seederHost, [process.execPath, BIN, 'push', layout, `${url}/team/app:1`])
  const torrents = layers.map(({ digest }) => `${url}/api/v1/torrents/${digest}.torrent`)
  const program = join(folder.path, 'fetch.mjs')
  await writeFile(program, FETCH)
  await run(seederHost, [process.execPath, program, folder.path, ...torrents])
  const stop = undo.move()
  return {
    folder: folder.path,
    hostOf: (client) => clientHosts[clients.indexOf(client)]!,
    torrentPath: (layer) => join(folder.path, `${layers.indexOf(layer)}.torrent`),
    [Symbol.asyncDispose]: () => stop.disposeAsync(),
  }
}

/** The test itself is on none of the hosts. */
const FETCH = `
import { writeFile } from 'node:fs/promises'
const [folder, ...urls] = process.argv.slice(2)
for (const [n, url] of urls.entries()) {
  const answer = await fetch(url)
  if (!answer.ok) throw new Error(url + ' was answered with ' + answer.status)
  await writeFile(folder + '/' + n + '.torrent', await answer.bytes())
}`

async function run({ prefix }: NamespacedHost, words: readonly string[]): Promise<void> {
  await runProcess(prefix[0]!, [...prefix.slice(1), ...words])
}

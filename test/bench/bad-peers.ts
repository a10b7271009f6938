/**
 * What bad company costs: a blob from two good peers, and from the same two beside one that has a tenth of their speed and
 * one that accepts, says that it has everything, and never sends a block. The engine alone, everything on loopback; good
 * peers are held to a rate, so that the machine is not what is measured. In turn; the ratio is the median of the rounds'.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createPrng, decodeInfo, type PeerAddress } from '@shoal/core'
import { FilePieceStore, infoHashOf } from '@shoal/storage'
import { createEngine, type SwarmEngine } from '@shoal/swarm'
import { encodeHandshake, encodePeerMessage } from '@shoal/wire'
import { Command } from 'commander'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { makeBenchBlob, removeFolder } from './bench-blob.ts'
import { bytesArgument, countArgument, printJson, say } from './command-line.ts'
import { median, rounded } from './statistics.ts'

interface Options {
  readonly bytes: number
  readonly runs: number
  readonly rate: number
  readonly json?: true
}

const options = new Command('bad-peers')
  .description('One slow and one silent peer among four.')
  .option('--bytes <size>', 'size of the blob', bytesArgument, 256 * 2 ** 20)
  .option('--runs <count>', 'rounds', countArgument, 5)
  .option('--rate <size>', 'bytes per second of a good peer', bytesArgument, 50_000_000)
  .option('--json', 'print one line of JSON')
  .parse()
  .opts<Options>()

const { bytes, runs, rate } = options
await using folder = await temporaryFolder('bench')
const blob = await makeBenchBlob(folder.path, bytes)
const metainfo = decodeInfo(await readFile(blob.infoPath))
const infoHash = infoHashOf(metainfo)
const store = new FilePieceStore({ folder: blob.storeFolder })
await store.start()
const pieces = await store.open(metainfo)

const good: number[] = []
const bad: number[] = []
for (let round = 1; round <= runs; round++) {
  good.push(await fetchFrom([rate, rate]))
  bad.push(await fetchFrom([rate, rate, rate / 10, 'silent']))
  say(`round ${round} of ${runs}: ${good.at(-1)?.toFixed(2)} s, in bad company ${bad.at(-1)?.toFixed(2)} s`)
}
await store.stop()
const ratio = rounded(median(bad.map((seconds, round) => seconds / good[round]!)))
const result = { bytes, runs, seconds: { good: rounded(median(good)), bad: rounded(median(bad)) }, ratio }
if (options.json) printJson(result)
else console.log(`in bad company ÷ without: ${ratio}`)

/** @returns seconds until every piece is on disk */
async function fetchFrom(sources: readonly (number | 'silent')[]): Promise<number> {
  const undo: (() => Promise<unknown>)[] = []
  try {
    const peers: PeerAddress[] = []
    for (const source of sources) {
      const peer = source === 'silent' ? await silentPeer() : await seedingPeer(source)
      undo.push(peer.stop)
      peers.push(peer.address)
    }
    const target = join(folder.path, 'target')
    undo.push(() => removeFolder(target))
    const into = new FilePieceStore({ folder: target })
    await into.start()
    undo.push(() => into.stop())
    const engine = await startEngine(Number.POSITIVE_INFINITY)
    undo.push(() => engine.stop())
    const received = await into.open(metainfo)
    const swarm = await engine.join({ metainfo, infoHash, pieces: received })
    const startMs = performance.now()
    swarm.download()
    swarm.connect(peers)
    while (!received.have.isFull) await once(swarm, 'piece')
    return (performance.now() - startMs) / 1000
  } finally {
    for (const step of undo.reverse()) await step()
  }
}

async function startEngine(uploadBytesPerSecond: number): Promise<SwarmEngine> {
  const engine = await createEngine('native', {
    host: '127.0.0.1',
    port: 0,
    peerId: randomBytes(20).toString('hex'),
    prng: createPrng(1),
    limits: { uploadBytesPerSecond },
  })
  await engine.start()
  return engine
}

async function seedingPeer(uploadBytesPerSecond: number) {
  const engine = await startEngine(uploadBytesPerSecond)
  await engine.join({ metainfo, infoHash, pieces })
  const address: PeerAddress = { peerId: engine.peerId, ...engine.address, role: 'agent' }
  return { address, stop: () => engine.stop() }
}

async function silentPeer() {
  const peerId = randomBytes(20).toString('hex')
  const greeting = [
    encodeHandshake({ infoHash, peerId, hasFast: true, hasExtensions: false }),
    encodePeerMessage({ kind: 'have-all' }),
    encodePeerMessage({ kind: 'unchoke' }),
  ]
  const server = createServer((socket) => {
    socket.on('error', () => {}).resume()
    socket.write(Buffer.concat(greeting))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const address: PeerAddress = { peerId, host: '127.0.0.1', port, role: 'agent' }
  return { address, stop: async () => void server.close() }
}

/** One of Shoal's engines in this process, with a blob on disk: what an agent is without its registry. */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createPrng, type Metainfo, type PeerId, pieceCount } from '@shoal/core'
import { FilePieceStore, infoHashOf, readBytes } from '@shoal/storage'
import { createEngine, type EngineName } from '@shoal/swarm'
import { temporaryFolder } from '../temporary-folder.ts'
import { HOST, type PeerEndpoint } from './client.ts'

export interface ShoalNode extends AsyncDisposable {
  readonly address: PeerEndpoint
  /** Payload bytes so far, and the pieces that were not what they should be. */
  readonly traffic: { received: number; sent: number; readonly mismatches: number[] }
  dial(peer: PeerEndpoint): void
  /** Rejects when pieces are still missing after `timeoutMs`; then says how many. */
  fetched(timeoutMs: number): Promise<void>
  /** SHA-256 of what is on disk, once the store took it for complete. */
  digest(): Promise<string>
}

/** @param bytes what is on disk from the beginning; without it, the engine downloads */
export async function startShoalNode(
  engineName: EngineName,
  metainfo: Metainfo,
  bytes?: Uint8Array,
): Promise<ShoalNode> {
  await using undo = new AsyncDisposableStack()
  const folder = undo.use(await temporaryFolder('interop'))
  const store = new FilePieceStore({ folder: folder.path })
  await store.start()
  undo.defer(() => store.stop())
  const pieces = await store.open(metainfo)
  if (bytes !== undefined) {
    for (let index = 0; index < pieceCount(metainfo); index++) {
      const start = index * metainfo.pieceLength
      await pieces.writePiece(index, [bytes.subarray(start, start + metainfo.pieceLength)])
    }
    await pieces.complete()
  }
  const engine = await createEngine(engineName, {
    host: HOST,
    port: 0,
    peerId: randomBytes(20).toString('hex'),
    prng: createPrng(1),
  })
  await engine.start()
  undo.defer(() => engine.stop())
  const swarm = await engine.join({ metainfo, infoHash: infoHashOf(metainfo), pieces })
  const traffic = { received: 0, sent: 0, mismatches: [] as number[] }
  swarm.on('received', (count) => {
    traffic.received += count
  })
  swarm.on('sent', (count) => {
    traffic.sent += count
  })
  swarm.on('mismatch', (index) => traffic.mismatches.push(index))
  if (bytes === undefined) swarm.download()
  const stop = undo.move()
  return {
    address: engine.address,
    traffic,
    // A tracker would say the peer's id. Here nobody knows it, and an engine takes whoever answers.
    dial: ({ host, port }) => swarm.connect([{ peerId: strangerId(port), host, port, role: 'agent' }]),
    fetched: async (timeoutMs) => {
      const signal = AbortSignal.timeout(timeoutMs)
      while (!pieces.have.isFull) {
        await once(swarm, 'piece', { signal }).catch((cause) => {
          const missing = pieceCount(metainfo) - pieces.have.setCount
          const told = `${swarm.peersConnected} peers, ${JSON.stringify(traffic)}`
          throw new Error(`${missing} pieces are missing after ${timeoutMs} ms (${told})`, { cause })
        })
      }
    },
    digest: async () => {
      await pieces.complete()
      const whole = await readBytes(pieces, 0, metainfo.length)
      return `sha256:${createHash('sha256').update(whole).digest('hex')}`
    },
    [Symbol.asyncDispose]: () => stop.disposeAsync(),
  }
}

function strangerId(port: number): PeerId {
  return createHash('sha1').update(`${port}`).digest('hex')
}

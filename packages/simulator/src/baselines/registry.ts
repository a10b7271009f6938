/**
 * Every node pulls every layer straight from the registry, some layers at a time, in order: what clusters do without any of
 * these systems. When the registry dies, clients go on at the origin. Pure.
 */
import type { Pipe } from '../network.ts'
import { imageBytes } from '../scenario.ts'
import type { Simulate } from '../simulation.ts'
import { type Member, Stage } from './stage.ts'

/** The grain at which what has arrived is counted. */
const CHUNK_BYTES = 1024 * 1024
/** A broken download is taken up elsewhere after so long. */
const RETRY_MS = 1_000

interface Client extends Member {
  pipe: Pipe<never, number> | undefined
  /** Of each layer, what has been asked for and what has arrived. */
  readonly asked: number[]
  arrivedBytes: number
  reading: Set<number>
}

export const simulateRegistry: Simulate = (scenario, strategy, onProgress) => {
  const stage = new Stage<Client>(scenario, strategy)
  const { queue, network, measure } = stage
  const wanted = imageBytes(scenario)

  const connect = (client: Client): void => {
    const source = stage.isSeederDead ? stage.origin : stage.seeder
    const from = stage.isSeederDead ? 'origin' : 'seeder'
    client.reading = new Set()
    client.pipe = network.pipe<never, number>(source, client.host, {
      onMessage: () => {},
      onBlockSent: () => {},
      onBlockArrived: (bytes) => {
        client.arrivedBytes += bytes
        measure.received(from, bytes)
        if (from === 'origin') measure.originBytes += bytes
        if (client.arrivedBytes === wanted) stage.finished(client)
        else ask(client)
      },
    })
    if (from === 'origin') measure.originRequests += scenario.layers.length
    for (let i = 0; i < scenario.layersAtATime * 2; i++) ask(client)
  }
  /** The next chunk of one of the layers that are read now, in turn. */
  const ask = (client: Client): void => {
    const open = scenario.layers
      .map((bytes, layer) => ({ layer, left: bytes - client.asked[layer]! }))
      .filter(({ left }) => left > 0)
      .slice(0, scenario.layersAtATime)
    const next = open.reduce<(typeof open)[number] | undefined>(
      (least, one) =>
        least === undefined || client.asked[one.layer]! < client.asked[least.layer]! ? one : least,
      undefined,
    )
    if (next === undefined) return
    const bytes = Math.min(CHUNK_BYTES, next.left)
    client.asked[next.layer]! += bytes
    client.pipe!.sendBlock(bytes, bytes)
  }

  return stage.run(
    {
      create: (plan, host) => ({
        plan,
        host,
        startedAtMs: undefined,
        isDone: false,
        pipe: undefined,
        asked: scenario.layers.map(() => 0),
        arrivedBytes: 0,
        reading: new Set(),
      }),
      // A question for the manifest, one for the layers.
      start: (client) =>
        queue.at(queue.nowMs + 4 * scenario.latencyMs, { run: () => !client.host.isDead && connect(client) }),
      died: (client) => client.pipe?.close(),
      seederDied: () => {
        for (const client of stage.members) {
          if (client.pipe === undefined || client.isDone) continue
          client.pipe.close()
          queue.at(queue.nowMs + RETRY_MS, {
            run: () => {
              if (client.host.isDead) return
              // What had not arrived is asked for again.
              let lost = client.asked.reduce((sum, bytes) => sum + bytes, 0) - client.arrivedBytes
              for (let layer = client.asked.length - 1; layer >= 0 && lost > 0; layer--) {
                const back = Math.min(lost, client.asked[layer]!)
                client.asked[layer]! -= back
                lost -= back
              }
              connect(client)
            },
          })
        }
      },
    },
    onProgress,
  )
}

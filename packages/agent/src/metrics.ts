/** What an agent counts, for Prometheus. Labels come from small closed sets; peers and digests belong in logs. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { ByteSource } from './download.ts'

const SOURCES: readonly ByteSource[] = ['peer', 'seeder', 'origin', 'upstream']

/** What is looked at when somebody asks. */
export interface AgentGauges {
  readonly blobs: () => number
  readonly downloads: () => number
  readonly usedBytes: () => number
  readonly isConnected: () => boolean
  readonly isSeederThere: () => boolean
  readonly isDiskFull: () => boolean
}

export function createMetrics() {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const received = new Counter({
    name: 'shoal_agent_received_bytes_total',
    help: 'Bytes of blobs that came to this node, by where they came from.',
    labelNames: ['source'],
    registers,
  })
  // A series that appears only with its first byte has no rate before it.
  for (const source of SOURCES) received.inc({ source }, 0)
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value())
      },
    })
  /** Has what the agent is in shown as well. */
  const show = (state: AgentGauges) => {
    gauge('shoal_agent_blobs', 'Blobs in the cache, whole or in part.', state.blobs)
    gauge('shoal_agent_downloads', 'Blobs that are being fetched.', state.downloads)
    gauge('shoal_agent_cache_bytes', 'Bytes that the blobs in the cache take.', state.usedBytes)
    gauge('shoal_agent_announce_stream_up', 'Whether the announce stream to the seeder is open.', () =>
      state.isConnected() ? 1 : 0,
    )
    gauge('shoal_agent_seeder_up', 'Whether the seeder answers.', () => (state.isSeederThere() ? 1 : 0))
    gauge('shoal_agent_cache_disk_full', 'Whether the disk of the cache takes nothing more.', () =>
      state.isDiskFull() ? 1 : 0,
    )
  }
  const unserved = new Counter({
    name: 'shoal_agent_unserved_registry_requests_total',
    help: 'Manifests of registries that the seeder does not serve: these clients go round Shoal. At most 16 are told apart.',
    labelNames: ['registry'],
    registers,
  })
  return {
    registry,
    show,
    unserved: (host: string) => unserved.inc({ registry: host }),
    received: (source: ByteSource, bytes: number) => received.inc({ source }, bytes),
    sent: new Counter({
      name: 'shoal_agent_sent_bytes_total',
      help: 'Bytes of blobs that this node sent to peers.',
      registers,
    }),
    served: new Counter({
      name: 'shoal_agent_served_bytes_total',
      help: 'Bytes of blobs that clients on this node were given.',
      registers,
    }),
    mismatches: new Counter({
      name: 'shoal_agent_piece_mismatches_total',
      help: 'Pieces from peers that failed verification.',
      registers,
    }),
    damaged: new Counter({
      name: 'shoal_agent_damaged_pieces_total',
      help: 'Pieces in the cache that the disk had spoilt; they were fetched again.',
      registers,
    }),
    unobtainable: new Counter({
      name: 'shoal_agent_unobtainable_total',
      help: 'Requests for what may exist, answered 404 because nobody who could be reached had all of it.',
      registers,
    }),
    uncaughtErrors: new Counter({
      name: 'shoal_agent_uncaught_errors_total',
      help: 'Errors that nobody handled: bugs, each in the log.',
      registers,
    }),
  }
}

export type AgentMetrics = ReturnType<typeof createMetrics>

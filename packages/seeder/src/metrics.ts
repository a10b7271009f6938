/** What a seeder counts, for Prometheus. Labels come from small closed sets; peers and digests belong in logs. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'

/** What is looked at when somebody asks. */
export interface SeederState {
  readonly agents: () => number
  readonly swarms: () => number
  readonly uploads: () => number
  readonly arrivals: () => number
  readonly isOriginUp: () => boolean
}

export function createMetrics() {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const counter = (name: string, help: string) => new Counter({ name, help, registers })
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value())
      },
    })
  /** Has what the seeder is in shown as well. */
  const show = (state: SeederState) => {
    gauge('shoal_seeder_agents', 'Agents whose announce stream is open.', state.agents)
    gauge('shoal_seeder_swarms', 'Swarms with a member.', state.swarms)
    gauge('shoal_seeder_uploads', 'Uploads under way.', state.uploads)
    gauge('shoal_seeder_arrivals', 'Blobs on their way from other registries.', state.arrivals)
    gauge('shoal_seeder_origin_up', '1 while the origin is there and can be read.', () =>
      state.isOriginUp() ? 1 : 0,
    )
  }
  return {
    registry,
    show,
    originRequests: new Counter({
      name: 'shoal_seeder_origin_requests_total',
      help: 'Requests to the origin, by what they did.',
      labelNames: ['operation'],
      registers,
    }),
    originReadBytes: counter('shoal_seeder_origin_read_bytes_total', 'Bytes read from the origin.'),
    originWrittenBytes: counter('shoal_seeder_origin_written_bytes_total', 'Bytes written to the origin.'),
    sentBytes: counter('shoal_seeder_sent_bytes_total', 'Bytes of blobs sent to peers.'),
    servedBytes: counter(
      'shoal_seeder_served_bytes_total',
      'Bytes of blobs given to clients of the registry.',
    ),
    upstreamReceivedBytes: counter(
      'shoal_seeder_upstream_received_bytes_total',
      'Bytes of blobs received from other registries.',
    ),
    upstreamFailures: new Counter({
      name: 'shoal_seeder_upstream_failures_total',
      help: 'Manifests that other registries did not give, by why: clients that ask for them go round Shoal.',
      labelNames: ['code'],
      registers,
    }),
    events: new Counter({
      name: 'shoal_seeder_push_events_total',
      help: 'Pushes that registries told of, by format and by what became of them.',
      labelNames: ['format', 'outcome'],
      registers,
    }),
    garbageBytes: counter('shoal_seeder_garbage_removed_bytes_total', 'Bytes of blobs that nothing needed.'),
    unknownSwarms: counter(
      'shoal_seeder_unknown_swarms_total',
      'Look-ups of info hashes that agents announce and that the origin does not have.',
    ),
    copyFailures: counter(
      'shoal_seeder_copy_failures_total',
      'Times that the copy in `data` could not be used, and pieces came from the origin instead.',
    ),
    damagedBlobs: counter(
      'shoal_seeder_damaged_blobs_total',
      'Blobs whose content in the origin was found to be missing, cut or changed.',
    ),
    uncaughtErrors: counter(
      'shoal_seeder_uncaught_errors_total',
      'Errors that nobody handled: bugs, each in the log.',
    ),
    pushedBlobs: counter('shoal_seeder_pushed_blobs_total', 'Blobs that a push ended with.'),
  }
}

export type SeederMetrics = ReturnType<typeof createMetrics>

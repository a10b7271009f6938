/**
 * What can be set on a seeder. The one place of every default: flags, `SHOAL_*` variables, the YAML file, `--help` and
 * the documentation are derived from this schema.
 */
import { ENGINE_NAMES, swarmLimitSettings } from '@shoal/swarm'
import Type, { type Static } from 'typebox'

export const SeederSettings = Type.Object(
  {
    listen: Type.String({
      default: '127.0.0.1:7000',
      format: 'host-port',
      description: 'Address of the registry API, the tracker, health and metrics.',
    }),
    peerListen: Type.String({
      default: '127.0.0.1:7001',
      format: 'host-port',
      description: 'Address where agents and other BitTorrent peers connect.',
    }),
    data: Type.String({
      default: './shoal-seeder',
      minLength: 1,
      description:
        'Folder for the seeder’s copy of the pieces that it has read from the origin. Can be lost.',
    }),
    dataMaxBytes: Type.Integer({
      default: 64 * 1024 ** 3,
      minimum: 1024 ** 2,
      description:
        'Bytes that this copy may hold; blobs that nobody fetches make room, the least recently used first.',
    }),
    origin: Type.String({
      default: './shoal-origin',
      format: 'origin',
      description:
        'Where images are kept: a folder, or s3://bucket/prefix?endpoint=…&region=…&forcePathStyle=true.',
    }),
    engine: Type.Enum([...ENGINE_NAMES], {
      default: 'native',
      description: 'What moves pieces between peers: Shoal’s own engine, or webtorrent for comparison.',
    }),
    ...swarmLimitSettings,
    logLevel: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'], {
      default: 'info',
      description: 'The least severe log lines that are written.',
    }),
  },
  { additionalProperties: false },
)

export type SeederSettings = Static<typeof SeederSettings>

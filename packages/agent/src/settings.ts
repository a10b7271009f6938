/**
 * What can be set on an agent. The one place of every default: flags, `SHOAL_*` variables, the YAML file, `--help` and
 * the documentation are derived from this schema.
 */
import { DEFAULT_LISTEN } from '@shoal/core'
import { engineSetting, swarmLimitSettings } from '@shoal/swarm'
import Type, { type Static } from 'typebox'

export const AgentSettings = Type.Object(
  {
    listen: Type.String({
      default: DEFAULT_LISTEN.agent,
      format: 'host-port',
      description: 'Address of the registry that clients on this node pull from, health and metrics.',
    }),
    peerListen: Type.String({
      default: '127.0.0.1:6001',
      format: 'host-port',
      description: 'Address where other agents connect; the address that they are told.',
    }),
    seeder: Type.String({
      default: `http://${DEFAULT_LISTEN.seeder}`,
      format: 'http-url',
      description: 'URL of the seeder.',
    }),
    cache: Type.String({
      default: './shoal-cache',
      minLength: 1,
      description: 'Folder where layers are kept; found again after a restart.',
    }),
    cacheMaxBytes: Type.Integer({
      default: 64 * 1024 ** 3,
      minimum: 1024 ** 2,
      description: 'Bytes that the cache may hold; the least recently used layers make room.',
    }),
    zone: Type.String({
      default: '',
      description: 'Failure domain or network zone of this node; neighbours are chosen in it first.',
    }),
    zoneFile: Type.String({
      default: '',
      description: 'File whose first line is the zone, read at the start; not looked at where `zone` is set.',
    }),
    name: Type.String({
      default: '',
      description: 'Name of this node in logs and views; the host’s name where empty.',
    }),
    tagTtlMs: Type.Integer({
      default: 5_000,
      minimum: 0,
      maximum: 86_400_000,
      description: 'Milliseconds for which a tag is believed without asking the seeder again.',
    }),
    forwardPushes: Type.Boolean({
      default: false,
      description: 'Whether pushes to this node’s registry go to the seeder; refused otherwise.',
    }),
    engine: engineSetting,
    ...swarmLimitSettings,
    logLevel: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'], {
      default: 'info',
      description: 'The least severe log lines that are written.',
    }),
  },
  { additionalProperties: false },
)

export type AgentSettings = Static<typeof AgentSettings>

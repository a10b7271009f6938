/**
 * What can be set on a seeder. The one place of every default: flags, `SHOAL_*` variables, the YAML file, `--help` and
 * the documentation are derived from this schema.
 */
import { DEFAULT_LISTEN } from '@shoal/core'
import { engineSetting, swarmLimitSettings } from '@shoal/swarm'
import Type, { type Static } from 'typebox'

export const SeederSettings = Type.Object(
  {
    listen: Type.String({
      default: DEFAULT_LISTEN.seeder,
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
    hosts: Type.String({
      default: '',
      format: 'host-list',
      description:
        'Names by which clients know this seeder beside the address where it listens, separated by commas: what they ask a mirror of these for is what was pushed here.',
    }),
    upstreams: Type.String({
      default: '',
      format: 'upstream-list',
      description:
        'Registries that may be mirrored, separated by commas: docker.io, or registry.corp:5000=http://10.0.0.5:5000.',
    }),
    defaultUpstream: Type.String({
      default: '',
      format: 'host-list',
      description:
        'The one of them where names without a host are looked for when nobody pushed them here; none where empty.',
    }),
    upstreamTagTtlMs: Type.Integer({
      default: 60_000,
      minimum: 0,
      maximum: 86_400_000,
      description: 'Milliseconds for which a mirrored tag is believed without asking its registry again.',
    }),
    dockerConfig: Type.String({
      default: '',
      description: 'File with credentials for these registries, as `docker login` writes it.',
    }),
    pullSecrets: Type.String({
      default: '',
      description: 'Files of Kubernetes pull secrets with credentials, separated by commas.',
    }),
    realmHosts: Type.String({
      default: '',
      format: 'realm-hosts',
      description:
        'Token servers on other domains to which a registry’s credentials may be taken: nvcr.io=authn.nvidia.com, separated by commas.',
    }),
    watch: Type.String({
      default: '',
      format: 'watch-list',
      description:
        'Mirrored tags that are asked for again and again in case nobody tells of a push: docker.io/library/nginx:1.*, separated by commas.',
    }),
    watchIntervalMs: Type.Integer({
      default: 300_000,
      minimum: 1_000,
      maximum: 86_400_000,
      description: 'Milliseconds between two questions for a watched repository.',
    }),
    warmPushes: Type.String({
      default: '',
      description:
        'Which nodes fetch what is pushed while it is being pushed: team/*:zone=eu-*; prod/api:all. None where empty.',
    }),
    apiTokenFile: Type.String({
      default: '',
      description:
        'File with the token that control requests carry (publish, gc); they are refused where empty.',
    }),
    eventSecretsFile: Type.String({
      default: '',
      description:
        'File with the secrets that registries prove themselves with when they tell of a push, one a line; refused where empty.',
    }),
    allowDelete: Type.Boolean({
      default: true,
      description: 'Whether clients may delete tags, manifests and blobs.',
    }),
    gcIntervalMs: Type.Integer({
      default: 6 * 60 * 60 * 1000,
      minimum: 0,
      maximum: 2_147_483_647,
      description: 'Milliseconds between two collections of garbage; never by itself where 0.',
    }),
    gcGraceMs: Type.Integer({
      default: 24 * 60 * 60 * 1000,
      minimum: 60_000,
      description:
        'Milliseconds for which blobs stay that no manifest names: longer than the longest push takes.',
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

export type SeederSettings = Static<typeof SeederSettings>

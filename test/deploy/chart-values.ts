/** Values of the chart that people may have, good ones and bad ones. */
import type { Values } from '../support/helm/chart-renderer.ts'

export const IMAGE = { image: { repository: 'registry.example.com/shoal' } }

export interface GoodValues {
  readonly title: string
  readonly values: Values
  /** Secrets that have to exist. */
  readonly secrets?: readonly string[]
}

const s3 = { bucket: 'images' }

export const GOOD_VALUES: readonly GoodValues[] = [
  { title: 'nothing but the image', values: IMAGE },
  {
    title: 'everything on a disk, with names, sizes and an image by digest',
    values: {
      image: {
        repository: 'registry.example.com:5000/team/shoal',
        digest: `sha256:${'ab'.repeat(32)}`,
        pullPolicy: 'Always',
      },
      imagePullSecrets: [{ name: 'pull-shoal' }],
      fullnameOverride: 'shoal',
      seeder: {
        persistence: { size: '2Ti', storageClass: 'fast' },
        dataMaxBytes: 137438953472,
        hosts: ['registry.corp', 'localhost:5000'],
        service: { type: 'LoadBalancer', port: 80, peerPort: 7999, annotations: { internal: 'true' } },
        podLabels: { team: 'infra' },
        podAnnotations: { 'prometheus.io/scrape': 'true' },
        priorityClassName: 'important',
        nodeSelector: { disk: 'large' },
        tolerations: [{ key: 'storage', operator: 'Exists', effect: 'NoSchedule' }],
        affinity: {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: {
              nodeSelectorTerms: [{ matchExpressions: [{ key: 'rack', operator: 'In', values: ['7'] }] }],
            },
          },
        },
        terminationGracePeriodSeconds: 60,
      },
      agent: { cache: { hostPath: '/data/shoal', maxBytes: '1.5TiB' }, maxUnavailable: 3 },
    },
    secrets: ['pull-shoal'],
  },
  {
    title: 'three seeders on S3, with a secret',
    values: {
      ...IMAGE,
      seeder: {
        replicas: 3,
        origin: {
          type: 's3',
          s3: {
            ...s3,
            prefix: 'shoal/a',
            endpoint: 'http://minio.storage:9000',
            region: 'us-east-1',
            forcePathStyle: true,
            existingSecret: 's3-login',
            accessKeyIdKey: 'key',
          },
        },
        persistence: { size: '80Gi' },
        podDisruptionBudget: { maxUnavailable: '50%' },
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: 'topology.kubernetes.io/zone',
            whenUnsatisfiable: 'ScheduleAnyway',
            labelSelector: { matchLabels: { 'app.kubernetes.io/component': 'seeder' } },
          },
        ],
      },
    },
    secrets: ['s3-login'],
  },
  {
    title: 'S3 by web identity, with the copy on the node’s disk',
    values: {
      ...IMAGE,
      seeder: {
        origin: { type: 's3', s3: { ...s3, region: 'eu-central-1' } },
        persistence: { enabled: false },
        serviceAccount: {
          annotations: { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::123456789012:role/shoal' },
        },
      },
    },
  },
  {
    title: 'secrets of all kinds, mirrored registries and settings',
    values: {
      ...IMAGE,
      proxy: { existingSecret: 'proxy' },
      seeder: {
        apiToken: { existingSecret: 'shoal-api' },
        eventSecrets: { existingSecret: 'shoal-events', key: 'webhooks.txt' },
        dockerConfig: { existingSecret: 'shoal-docker' },
        pullSecrets: ['quay', 'ghcr.login'],
        settings: {
          upstreams: 'docker.io,quay.io,registry.corp:5000=http://10.0.0.5:5000',
          defaultUpstream: 'docker.io',
          warmPushes: 'team/*:zone=eu-*; prod/api:all',
          gcIntervalMs: 21600000,
          bufferBytes: '64MiB',
          uploadBytesPerSecond: 1250000000,
          allowDelete: false,
          logLevel: 'debug',
        },
      },
      agent: { settings: { tagTtlMs: 0, forwardPushes: true, uploadSlots: 8 } },
    },
    secrets: ['ghcr.login', 'proxy', 'quay', 'shoal-api', 'shoal-docker', 'shoal-events'],
  },
  {
    title: 'an ingress with TLS',
    values: {
      ...IMAGE,
      seeder: {
        ingress: {
          enabled: true,
          className: 'nginx',
          host: 'registry.example.com',
          annotations: { 'nginx.ingress.kubernetes.io/proxy-body-size': '0' },
          tls: { secretName: 'registry-tls' },
        },
      },
    },
    secrets: ['registry-tls'],
  },
  {
    title: 'an ingress without TLS',
    values: { ...IMAGE, seeder: { ingress: { enabled: true, host: 'registry.example.com' } } },
  },
  {
    title: 'agents in the pod network, with network policies',
    values: {
      ...IMAGE,
      agent: { network: 'hostPort', port: 5055, peerPort: 6066 },
      networkPolicy: {
        enabled: true,
        clients: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'ci' } } }],
      },
    },
  },
  {
    title: 'agents in the node’s network, with network policies',
    values: { ...IMAGE, networkPolicy: { enabled: true, nodeCidrs: ['10.0.0.0/16', 'fd00::/64'] } },
  },
  { title: 'no network policies', values: { ...IMAGE, networkPolicy: { enabled: false, nodeCidrs: [] } } },
  { title: 'one zone for all', values: { ...IMAGE, agent: { zone: { value: 'hall 7' } } } },
  { title: 'no zones', values: { ...IMAGE, agent: { zone: { nodeLabel: '' } } } },
  { title: 'CRI-O', values: { ...IMAGE, clientConfig: { runtime: 'crio', registries: ['docker.io'] } } },
  { title: 'podman', values: { ...IMAGE, clientConfig: { runtime: 'podman' } } },
  { title: 'Docker', values: { ...IMAGE, clientConfig: { runtime: 'docker', registries: ['docker.io'] } } },
  { title: 'nodes left alone', values: { ...IMAGE, clientConfig: { runtime: 'none' } } },
  {
    title: 'all registries, SELinux, and time for an uninstall',
    values: {
      ...IMAGE,
      clientConfig: {
        registries: ['*'],
        uninstallTimeoutSeconds: 600,
      },
      agent: { seLinuxOptions: { type: 'spc_t' }, priorityClassName: '', tolerations: [] },
    },
  },
  {
    title: 'pods with IPv6 addresses',
    values: { ...IMAGE, listenAddress: '[::]', agent: { network: 'hostPort' } },
  },
]

/** Title, values, and what the refusal has to say: the value's name first of all. */
export const BAD_VALUES: readonly (readonly [string, Values, RegExp])[] = [
  ['no image', {}, /image\.repository is required/],
  ['an image with its tag', { image: { repository: 'shoal@sha256:ab' } }, /image.repository/],
  ['a tag that is none', { image: { ...IMAGE.image, tag: 'a b' } }, /image.tag/],
  ['a digest that is none', { image: { ...IMAGE.image, digest: 'ab' } }, /image.digest/],
  ['a key that is not there', { ...IMAGE, seeders: {} }, /seeders/],
  [
    'a key that is not there, deeper',
    { ...IMAGE, agent: { cache: { maxbytes: 1 } } },
    /agent.cache.*maxbytes/s,
  ],
  ['no replicas', { ...IMAGE, seeder: { replicas: 0 } }, /seeder.replicas/],
  ['replicas in words', { ...IMAGE, seeder: { replicas: 'three' } }, /seeder.replicas/],
  [
    'three seeders on one folder',
    { ...IMAGE, seeder: { replicas: 3 } },
    /seeder\.replicas is 3, and seeder\.origin\.type is filesystem/,
  ],
  ['another origin', { ...IMAGE, seeder: { origin: { type: 'gcs' } } }, /seeder.origin.type/],
  [
    'S3 without a bucket',
    { ...IMAGE, seeder: { origin: { type: 's3' } } },
    /seeder\.origin\.s3\.bucket is required/,
  ],
  [
    'a bucket that is none',
    { ...IMAGE, seeder: { origin: { type: 's3', s3: { bucket: 'A' } } } },
    /seeder.origin.s3.bucket/,
  ],
  [
    'a bucket without S3',
    { ...IMAGE, seeder: { origin: { s3 } } },
    /seeder\.origin\.s3\.bucket is set, and seeder\.origin\.type is filesystem/,
  ],
  [
    'an endpoint without a scheme',
    { ...IMAGE, seeder: { origin: { type: 's3', s3: { ...s3, endpoint: 'minio:9000' } } } },
    /seeder.origin.s3.endpoint/,
  ],
  [
    'images on an emptyDir',
    { ...IMAGE, seeder: { persistence: { enabled: false } } },
    /seeder\.persistence\.enabled is false/,
  ],
  ['a size that is none', { ...IMAGE, seeder: { persistence: { size: 'big' } } }, /seeder.persistence.size/],
  ['bytes that are none', { ...IMAGE, agent: { cache: { maxBytes: '64 apples' } } }, /agent.cache.maxBytes/],
  ['a cache too small', { ...IMAGE, agent: { cache: { maxBytes: 1000 } } }, /agent.cache.maxBytes/],
  [
    'a cache not from the root on',
    { ...IMAGE, agent: { cache: { hostPath: 'cache' } } },
    /agent.cache.hostPath/,
  ],
  ['the node’s whole disk', { ...IMAGE, agent: { cache: { hostPath: '/' } } }, /agent.cache.hostPath/],
  [
    'an ingress without a host',
    { ...IMAGE, seeder: { ingress: { enabled: true } } },
    /seeder\.ingress\.host is required/,
  ],
  ['a host with a port', { ...IMAGE, seeder: { ingress: { host: 'a:80' } } }, /seeder.ingress.host/],
  [
    'too little time to stop',
    { ...IMAGE, seeder: { terminationGracePeriodSeconds: 10 } },
    /seeder.terminationGracePeriodSeconds/,
  ],
  ['another network', { ...IMAGE, agent: { network: 'bridge' } }, /agent.network/],
  ['a port that is none', { ...IMAGE, agent: { port: 70000 } }, /agent.port/],
  [
    'one port for both of an agent',
    { ...IMAGE, agent: { port: 6001 } },
    /agent\.port and agent\.peerPort are the same/,
  ],
  [
    'one port for both of a seeder',
    { ...IMAGE, seeder: { service: { peerPort: 7000 } } },
    /seeder\.service\.port and seeder\.service\.peerPort are the same/,
  ],
  ['nothing unavailable', { ...IMAGE, agent: { maxUnavailable: 0 } }, /agent.maxUnavailable/],
  ['another runtime', { ...IMAGE, clientConfig: { runtime: 'rkt' } }, /clientConfig.runtime/],
  [
    'registries in one text',
    { ...IMAGE, clientConfig: { registries: 'docker.io,quay.io' } },
    /clientConfig.registries/,
  ],
  [
    'two registries in one',
    { ...IMAGE, clientConfig: { registries: ['docker.io,quay.io'] } },
    /clientConfig.registries.0/,
  ],
  [
    'a policy without the nodes',
    { ...IMAGE, networkPolicy: { nodeCidrs: [] } },
    /networkPolicy\.nodeCidrs is required/,
  ],
  [
    'a network that is none',
    { ...IMAGE, networkPolicy: { nodeCidrs: ['10.0.0.1'] } },
    /networkPolicy.nodeCidrs.0/,
  ],
  ['clients that are everybody', { ...IMAGE, networkPolicy: { clients: [{}] } }, /networkPolicy.clients.0/],
  [
    'a setting that is not there',
    { ...IMAGE, seeder: { settings: { upstream: 'docker.io' } } },
    /seeder.settings.*upstream/s,
  ],
  [
    'a setting of the other service',
    { ...IMAGE, agent: { settings: { upstreams: 'docker.io' } } },
    /agent.settings.*upstreams/s,
  ],
  [
    'a setting of the wrong type',
    { ...IMAGE, seeder: { settings: { upstreams: ['docker.io'] } } },
    /seeder.settings.upstreams/,
  ],
  [
    'a setting beyond its limits',
    { ...IMAGE, agent: { settings: { uploadSlots: 0 } } },
    /agent.settings.uploadSlots/,
  ],
  [
    'a word that is no choice',
    { ...IMAGE, agent: { settings: { logLevel: 'loud' } } },
    /agent.settings.logLevel/,
  ],
  [
    'a setting that the chart makes',
    { ...IMAGE, seeder: { settings: { listen: '0.0.0.0:80' } } },
    /seeder\.settings\.listen is made by the chart: set seeder\.service\.port/,
  ],
  [
    'another one',
    { ...IMAGE, seeder: { settings: { origin: 's3://b' } } },
    /seeder\.settings\.origin is made by the chart: set seeder\.origin/,
  ],
  [
    'and one of the agent',
    { ...IMAGE, agent: { settings: { zone: 'a' } } },
    /agent\.settings\.zone is made by the chart: set agent\.zone\.value/,
  ],
]

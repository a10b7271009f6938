/**
 * What Marathon takes for an app, as far as Shoal's files use it and what lies next to it; anything else is refused.
 * Written after Marathon 1.9's own description of its API (docs/rest-api/public/api/v2/types: app, appContainer, network,
 * healthCheck, constraint), whose bounds are kept. Marathon itself checks more, such as ports that two apps want.
 */
import Type from 'typebox'

const closed = { additionalProperties: false } as const
const Port = Type.Integer({ minimum: 0, maximum: 65_535 })
const Seconds = Type.Integer({ minimum: 0 })
const Share = Type.Number({ minimum: 0, maximum: 1 })
const PathId = Type.String({
  pattern: '^/?([a-z0-9]([a-z0-9-]*[a-z0-9])?)(/[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$',
})
/** As for DNS names, since it becomes one. */
const PortName = Type.String({ pattern: '^[a-z0-9-]{1,32}$' })

const HealthCheck = Type.Object(
  {
    protocol: Type.Enum(['HTTP', 'HTTPS', 'TCP', 'COMMAND', 'MESOS_TCP', 'MESOS_HTTP', 'MESOS_HTTPS']),
    path: Type.Optional(Type.String({ pattern: '^/' })),
    port: Type.Optional(Port),
    portIndex: Type.Optional(Port),
    command: Type.Optional(Type.Object({ value: Type.String({ minLength: 1 }) }, closed)),
    gracePeriodSeconds: Type.Optional(Seconds),
    intervalSeconds: Type.Optional(Seconds),
    timeoutSeconds: Type.Optional(Seconds),
    delaySeconds: Type.Optional(Seconds),
    maxConsecutiveFailures: Type.Optional(Seconds),
    ipProtocol: Type.Optional(Type.Enum(['IPv4', 'IPv6'])),
    ignoreHttp1xx: Type.Optional(Type.Boolean()),
  },
  closed,
)

const Container = Type.Object(
  {
    type: Type.Enum(['DOCKER', 'MESOS']),
    docker: Type.Object(
      {
        image: Type.String({ minLength: 1 }),
        forcePullImage: Type.Optional(Type.Boolean()),
        privileged: Type.Optional(Type.Boolean()),
        parameters: Type.Optional(
          Type.Array(Type.Object({ key: Type.String({ minLength: 1 }), value: Type.String() }, closed)),
        ),
      },
      closed,
    ),
    volumes: Type.Optional(
      Type.Array(
        Type.Object(
          {
            containerPath: Type.String({ minLength: 1 }),
            hostPath: Type.String({ minLength: 1 }),
            mode: Type.Enum(['RO', 'RW']),
          },
          closed,
        ),
      ),
    ),
  },
  closed,
)

export const MarathonApp = Type.Object(
  {
    id: PathId,
    args: Type.Array(Type.String(), { minItems: 1 }),
    acceptedResourceRoles: Type.Optional(Type.Array(Type.String(), { uniqueItems: true })),
    backoffFactor: Type.Optional(Type.Number({ minimum: 1 })),
    backoffSeconds: Type.Optional(Seconds),
    maxLaunchDelaySeconds: Type.Optional(Seconds),
    constraints: Type.Array(
      Type.Union([
        Type.Tuple([Type.String(), Type.Enum(['UNIQUE', 'GROUP_BY'])]),
        Type.Tuple([
          Type.String(),
          Type.Enum(['CLUSTER', 'GROUP_BY', 'LIKE', 'UNLIKE', 'MAX_PER', 'IS']),
          Type.String(),
        ]),
      ]),
      { uniqueItems: true },
    ),
    container: Container,
    cpus: Type.Number({ minimum: 0.001 }),
    mem: Type.Number({ minimum: 0 }),
    disk: Type.Optional(Type.Number({ minimum: 0 })),
    dependencies: Type.Optional(Type.Array(PathId, { uniqueItems: true })),
    env: Type.Record(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' }), Type.String()),
    healthChecks: Type.Array(HealthCheck, { uniqueItems: true }),
    instances: Type.Integer({ minimum: 0 }),
    labels: Type.Optional(Type.Record(Type.String(), Type.String())),
    networks: Type.Array(
      Type.Object(
        {
          mode: Type.Enum(['container', 'container/bridge', 'host']),
          name: Type.Optional(Type.String({ minLength: 1 })),
        },
        closed,
      ),
    ),
    portDefinitions: Type.Array(
      Type.Object(
        {
          port: Port,
          name: Type.Optional(PortName),
          protocol: Type.Optional(Type.Enum(['tcp', 'udp', 'udp,tcp'])),
          labels: Type.Optional(Type.Record(Type.String(), Type.String())),
        },
        closed,
      ),
    ),
    requirePorts: Type.Optional(Type.Boolean()),
    taskKillGracePeriodSeconds: Type.Optional(Seconds),
    upgradeStrategy: Type.Optional(
      Type.Object({ maximumOverCapacity: Share, minimumHealthCapacity: Share }, closed),
    ),
    user: Type.Optional(Type.String()),
  },
  closed,
)

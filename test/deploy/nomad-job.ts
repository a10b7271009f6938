/**
 * What Nomad takes for a job in JSON, as far as Shoal's files use it and what lies next to it; anything else is refused.
 * Written after Nomad's pages on JSON jobs, the job specification (job, group, network, service, check, task, resources,
 * update, restart, constraint), and the configuration that its Docker driver declares. Times are nanoseconds.
 */
import Type from 'typebox'

const closed = { additionalProperties: false } as const
const Text = Type.String({ minLength: 1 })
const Count = Type.Integer({ minimum: 0 })
/** At least a millisecond: whoever means seconds writes a number that is too small. */
const Nanoseconds = Type.Integer({ minimum: 1_000_000 })
const PortNumber = Type.Integer({ minimum: 1, maximum: 65_535 })

const Constraint = Type.Object(
  {
    LTarget: Text,
    RTarget: Type.String(),
    Operand: Type.Enum([
      ...['=', '==', '!=', '<', '<=', '>', '>=', 'regexp', 'version', 'semver', 'set_contains'],
      ...['set_contains_any', 'distinct_hosts', 'distinct_property', 'is_set', 'is_not_set'],
    ]),
  },
  closed,
)

const Mount = Type.Union([
  Type.Object(
    {
      type: Type.Enum(['volume', 'bind']),
      source: Text,
      target: Text,
      readonly: Type.Optional(Type.Boolean()),
    },
    closed,
  ),
  // Without a source, or the driver refuses it.
  Type.Object(
    {
      type: Type.Literal('tmpfs'),
      target: Text,
      tmpfs_options: Type.Optional(
        Type.Object({ size: Type.Optional(Count), mode: Type.Optional(Count) }, closed),
      ),
    },
    closed,
  ),
])

const DockerConfig = Type.Object(
  {
    image: Text,
    image_pull_timeout: Type.Optional(Text),
    force_pull: Type.Optional(Type.Boolean()),
    command: Type.Optional(Text),
    args: Type.Optional(Type.Array(Type.String())),
    entrypoint: Type.Optional(Type.Array(Type.String())),
    network_mode: Type.Optional(Text),
    ports: Type.Optional(Type.Array(Text)),
    mount: Type.Optional(Type.Array(Mount)),
    volumes: Type.Optional(Type.Array(Text)),
    readonly_rootfs: Type.Optional(Type.Boolean()),
    privileged: Type.Optional(Type.Boolean()),
    init: Type.Optional(Type.Boolean()),
    cap_add: Type.Optional(Type.Array(Text)),
    cap_drop: Type.Optional(Type.Array(Text)),
    security_opt: Type.Optional(Type.Array(Text)),
    pids_limit: Type.Optional(Count),
    healthchecks: Type.Optional(Type.Object({ disable: Type.Boolean() }, closed)),
  },
  closed,
)

const Check = Type.Object(
  {
    Name: Type.Optional(Text),
    Type: Type.Enum(['http', 'tcp']),
    Path: Type.Optional(Type.String({ pattern: '^/' })),
    Method: Type.Optional(Text),
    PortLabel: Type.Optional(Text),
    Interval: Nanoseconds,
    Timeout: Nanoseconds,
  },
  closed,
)

const Service = Type.Object(
  {
    Name: Text,
    Provider: Type.Enum(['nomad', 'consul']),
    PortLabel: Text,
    Tags: Type.Optional(Type.Array(Text)),
    Checks: Type.Optional(Type.Array(Check)),
  },
  closed,
)

const Task = Type.Object(
  {
    Name: Text,
    Driver: Type.Literal('docker'),
    User: Type.Optional(Text),
    Config: DockerConfig,
    Env: Type.Optional(Type.Record(Type.String(), Type.String())),
    Resources: Type.Object({ CPU: Count, MemoryMB: Count, MemoryMaxMB: Type.Optional(Count) }, closed),
    KillTimeout: Type.Optional(Nanoseconds),
    KillSignal: Type.Optional(Type.Enum(['SIGTERM', 'SIGINT'])),
  },
  closed,
)

const Update = Type.Object(
  {
    MaxParallel: Type.Optional(Count),
    Stagger: Type.Optional(Nanoseconds),
    HealthCheck: Type.Optional(Type.Enum(['checks', 'task_states', 'manual'])),
    MinHealthyTime: Type.Optional(Nanoseconds),
    HealthyDeadline: Type.Optional(Nanoseconds),
    ProgressDeadline: Type.Optional(Nanoseconds),
    AutoRevert: Type.Optional(Type.Boolean()),
    Canary: Type.Optional(Count),
  },
  closed,
)

const ReservedPort = Type.Object(
  { Label: Text, Value: PortNumber, To: Type.Optional(PortNumber), HostNetwork: Type.Optional(Text) },
  closed,
)

const TaskGroup = Type.Object(
  {
    Name: Text,
    Count: Type.Optional(Count),
    Constraints: Type.Optional(Type.Array(Constraint)),
    Networks: Type.Array(
      Type.Object(
        { Mode: Type.Enum(['host', 'bridge', 'none']), ReservedPorts: Type.Array(ReservedPort) },
        closed,
      ),
    ),
    RestartPolicy: Type.Optional(
      Type.Object(
        { Attempts: Count, Interval: Nanoseconds, Delay: Nanoseconds, Mode: Type.Enum(['delay', 'fail']) },
        closed,
      ),
    ),
    Services: Type.Optional(Type.Array(Service)),
    Tasks: Type.Array(Task, { minItems: 1 }),
  },
  closed,
)

export const NomadJob = Type.Object(
  {
    Job: Type.Object(
      {
        ID: Text,
        Name: Text,
        Type: Type.Enum(['service', 'system']),
        Priority: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
        Region: Type.Optional(Text),
        Namespace: Type.Optional(Text),
        Datacenters: Type.Array(Text, { minItems: 1 }),
        NodePool: Type.Optional(Text),
        Constraints: Type.Optional(Type.Array(Constraint)),
        Update: Type.Optional(Update),
        TaskGroups: Type.Array(TaskGroup, { minItems: 1 }),
      },
      closed,
    ),
  },
  closed,
)

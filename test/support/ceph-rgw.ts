/**
 * A private one-node Ceph with its S3 gateway: one monitor, one object daemon that keeps everything in memory, one
 * radosgw. Access keys and cephx are on, so that signatures are really checked. Ready in about a second with about
 * 150 MB, for which reason every test file starts its own.
 *
 * There is no manager daemon: pools with a fixed number of placement groups need none, and it would pull in a web stack.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { freePort } from './free-port.ts'
import { type RunningProcess, runProcess, startProcess } from './process.ts'
import { answers, untilReady } from './readiness.ts'
import { type TemporaryFolder, temporaryFolder } from './temporary-folder.ts'

export interface CephRgw extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`; address buckets by path. */
  readonly endpoint: string
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  createBucket(name: string): Promise<void>
  /** A client with the settings that RGW wants; the caller destroys it. */
  s3Client(): S3Client
  /** The variables from which the SDK's default chain takes the credentials. */
  readonly environment: Readonly<Record<'AWS_ACCESS_KEY_ID' | 'AWS_SECRET_ACCESS_KEY' | 'AWS_REGION', string>>
  stop(): Promise<void>
}

const COMMAND_TIMEOUT_MS = 60_000
const READY_TIMEOUT_MS = 90_000
/** What the store claims to hold; memory is taken as objects arrive. */
const CAPACITY_BYTES = 16 * 1024 ** 3

/** @throws ProcessEndedError or ProcessTimeoutError, after cleaning up, when one of the daemons does not come up */
export async function startCephRgw(): Promise<CephRgw> {
  const folder = await temporaryFolder('ceph')
  const daemons: RunningProcess[] = []
  const stop = async () => {
    // Nothing here outlives the test, so nothing needs an orderly end: radosgw alone would take five seconds for it.
    await Promise.all(daemons.map((daemon) => daemon.kill9()))
    await folder.remove()
  }
  try {
    const [monitorPort, gatewayPort] = [await freePort(), await freePort()]
    const cluster = await layOut(folder, { monitorPort, gatewayPort })
    await startMonitor(cluster, daemons)
    await startObjectDaemon(cluster, daemons)
    await startGateway(cluster, daemons, gatewayPort)
    const user = await createUser(cluster)
    return gateway(`http://127.0.0.1:${gatewayPort}`, user, stop)
  } catch (error) {
    await stop()
    throw error
  }
}

interface Cluster {
  readonly fsid: string
  readonly monitorAddress: string
  /** Runs one of Ceph's tools against this cluster's configuration. */
  readonly run: (tool: string, ...args: string[]) => Promise<string>
  readonly start: (daemon: string, ...args: string[]) => RunningProcess
  readonly path: (name: string) => string
}

async function layOut(
  folder: TemporaryFolder,
  ports: { monitorPort: number; gatewayPort: number },
): Promise<Cluster> {
  const path = (name: string) => join(folder.path, name)
  const fsid = randomUUID()
  const monitorAddress = `[v2:127.0.0.1:${ports.monitorPort}/0]`
  await Promise.all(['mon', 'osd', 'run'].map((name) => mkdir(path(name))))
  const settings = configuration({ path, fsid, monitorAddress, gatewayPort: ports.gatewayPort })
  await writeFile(path('ceph.conf'), settings)
  // Whatever the machine's own cluster says through variables is not for this one.
  const env = { CEPH_CONF: undefined, CEPH_ARGS: undefined, CEPH_KEYRING: undefined }
  return {
    fsid,
    monitorAddress,
    path,
    run: async (tool, ...args) => {
      const options = { env, cwd: folder.path, timeoutMs: COMMAND_TIMEOUT_MS }
      return (await runProcess(tool, ['-c', path('ceph.conf'), ...args], options)).stdout
    },
    start: (daemon, ...args) =>
      startProcess(daemon, ['-c', path('ceph.conf'), '-f', ...args], { env, cwd: folder.path }),
  }
}

async function startMonitor(cluster: Cluster, daemons: RunningProcess[]): Promise<void> {
  const { run, path, fsid, monitorAddress } = cluster
  const keyring = path('keyring')
  const keys: [name: string, ...capabilities: [daemon: string, grant: string][]][] = [
    ['mon.', ['mon', 'allow *']],
    ['client.admin', ['mon', 'allow *'], ['osd', 'allow *']],
    ['osd.0', ['mon', 'allow profile osd'], ['osd', 'allow *']],
  ]
  await run('ceph-authtool', '--create-keyring', keyring)
  for (const [name, ...capabilities] of keys) {
    await run(
      'ceph-authtool',
      keyring,
      '--gen-key',
      '-n',
      name,
      ...capabilities.flatMap((cap) => ['--cap', ...cap]),
    )
  }
  await run('monmaptool', '--create', '--addv', 'a', monitorAddress, '--fsid', fsid, path('monmap'))
  await run('ceph-mon', '--mkfs', '-i', 'a', '--monmap', path('monmap'), '--keyring', keyring)
  daemons.push(cluster.start('ceph-mon', '-i', 'a'))
}

async function startObjectDaemon(cluster: Cluster, daemons: RunningProcess[]): Promise<void> {
  const uuid = randomUUID()
  // The first command to the monitor; it waits until there is a quorum of one.
  await cluster.run('ceph', 'osd', 'new', uuid)
  await cluster.run('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', uuid)
  daemons.push(cluster.start('ceph-osd', '-i', '0'))
}

async function startGateway(cluster: Cluster, daemons: RunningProcess[], port: number): Promise<void> {
  // It makes its pools before it listens, and so waits for the object daemon.
  const radosgw = cluster.start('radosgw', '-n', 'client.admin')
  daemons.push(radosgw)
  await untilReady(radosgw, 'radosgw', READY_TIMEOUT_MS, () => answers(`http://127.0.0.1:${port}/`, [200]))
}

interface User {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

async function createUser(cluster: Cluster): Promise<User> {
  const accessKeyId = randomBytes(10).toString('hex').toUpperCase()
  const secretAccessKey = randomBytes(20).toString('hex')
  const keys = ['--access-key', accessKeyId, '--secret-key', secretAccessKey]
  await cluster.run('radosgw-admin', 'user', 'create', '--uid', 'shoal', '--display-name', 'Shoal', ...keys)
  return { accessKeyId, secretAccessKey }
}

function gateway(endpoint: string, user: User, stop: () => Promise<void>): CephRgw {
  const region = 'us-east-1'
  const s3Client = () =>
    new S3Client({
      endpoint,
      region,
      credentials: user,
      forcePathStyle: true,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
    })
  return {
    endpoint,
    region,
    ...user,
    environment: {
      AWS_ACCESS_KEY_ID: user.accessKeyId,
      AWS_SECRET_ACCESS_KEY: user.secretAccessKey,
      AWS_REGION: region,
    },
    s3Client,
    createBucket: async (name) => {
      const client = s3Client()
      try {
        await client.send(new CreateBucketCommand({ Bucket: name }))
      } finally {
        client.destroy()
      }
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

interface ConfigurationParts {
  readonly path: (name: string) => string
  readonly fsid: string
  readonly monitorAddress: string
  readonly gatewayPort: number
}

function configuration({ path, fsid, monitorAddress, gatewayPort }: ConfigurationParts): string {
  return `[global]
fsid = ${fsid}
mon_host = ${monitorAddress}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr1 = false
ms_bind_ipv6 = false
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = false
keyring = ${path('keyring')}
run_dir = ${path('run')}
admin_socket =
pid_file =
crash_dir = ${path('run')}
log_file = /dev/null
log_to_stderr = false
err_to_stderr = true
mon_cluster_log_file = /dev/null

# One copy of everything on one daemon.
mon_data = ${path('mon')}
mon_allow_pool_size_one = true
mon_data_avail_crit = 0
mon_data_avail_warn = 0
mon_max_pg_per_osd = 2000
osd_data = ${path('osd')}
osd_objectstore = memstore
memstore_device_bytes = ${CAPACITY_BYTES}
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0

# The monitor gathers changes for a second before it agrees on them, and a cluster that starts makes a dozen.
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
mon_tick_interval = 1
osd_heartbeat_interval = 1
osd_numa_auto_affinity = false

rgw_frontends = beast endpoint=127.0.0.1:${gatewayPort}
rgw_thread_pool_size = 64
rgw_run_sync_thread = false
# Deleted objects give their memory back within seconds instead of two hours.
rgw_gc_obj_min_wait = 5
rgw_gc_processor_period = 10
`
}

/**
 * A network of namespaces that nobody else sees: an outer one with a router in it, one per host behind a link of its own,
 * both ways shaped. All of it hangs on one process, the anchor, with a mount namespace of its own: the kernel takes
 * everything down when the last process in it has ended, however that came about. Needs root, iproute2 and util-linux.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { orAborted } from '@shoal/service'
import type { Cleanup } from '../processes/cleanup.ts'
import { NamespacesUnavailableError } from './errors.ts'

export interface Namespaces {
  readonly hosts: readonly NamespacedHost[]
}

export interface NamespacedHost {
  readonly name: string
  readonly address: string
  /** What a command must begin with to run on this host. */
  readonly prefix: readonly string[]
}

export interface NamespacesInit {
  readonly names: readonly string[]
  readonly linkBytesPerSecond: number
  readonly cleanup: Cleanup
  readonly onFailed: (error: Error) => void
  readonly signal: AbortSignal
}

/** Addresses are 10.231.x.y; nothing outside routes there, because nothing outside is connected. */
const ROUTER_ADDRESS = '10.231.255.254'
/** What a switch's port holds while a sender is too fast. */
const QUEUE_MS = 50
/**
 * What a kernel holds of one connection that it has not sent. Left alone it takes megabytes: a few milliseconds of the links of
 * a cluster, but seconds of links as slow as these, for which nobody can take a block back.
 */
const UNSENT_BYTES_MAX = 16_384
const LAST_LINES_MAX = 12
const STOP_TIMEOUT_MS = 5_000
/**
 * `ip netns` keeps names below /var/run: hidden by a file system of its own, names of the machine stay apart from these.
 * Its input is its lifeline.
 */
const ANCHOR = `
run=$(readlink -f /var/run)
mount -t tmpfs -o size=1m tmpfs "$run"
mkdir "$run/netns"
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
ip addr add ${ROUTER_ADDRESS}/32 dev lo
echo anchored
exec cat`

/** @throws NamespacesUnavailableError */
export async function makeNamespaces(init: NamespacesInit): Promise<Namespaces> {
  const { signal } = init
  const pid = await orAborted(dropAnchor(init), signal)
  const inside = ['nsenter', `--target=${pid}`, '--mount', '--net', '--']
  const hosts = init.names.map((name, index) => ({
    name,
    address: addressOf(index),
    prefix: [...inside, 'ip', 'netns', 'exec', name],
  }))
  const script = hosts.flatMap((host, index) => hostScript(host, index, init.linkBytesPerSecond))
  await orAborted(runScript(inside, script.join('\n'), signal), signal)
  return { hosts }
}

/** @returns the anchor's process id */
function dropAnchor({ cleanup, onFailed }: NamespacesInit): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const unshare = ['--mount', '--net', '--propagation', 'private', '--', 'sh', '-ec', ANCHOR]
  const anchor = spawn('unshare', unshare, { stdio: 'pipe', detached: true })
  anchor.stdin.on('error', () => {})
  const exited = new Promise<void>((done) => anchor.once('close', () => done()))
  let isStopping = false
  cleanup.add({
    name: 'the network namespaces',
    end: async () => {
      isStopping = true
      anchor.stdin.end()
      const timer = setTimeout(() => anchor.kill('SIGKILL'), STOP_TIMEOUT_MS)
      if (anchor.pid !== undefined) await exited
      clearTimeout(timer)
    },
    endNow: () => anchor.kill('SIGKILL'),
  })
  const lastLines: string[] = []
  for (const stream of [anchor.stdout, anchor.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      if (line === 'anchored') return resolve(anchor.pid!)
      lastLines.push(line)
      if (lastLines.length > LAST_LINES_MAX) lastLines.shift()
    })
  }
  const end = (how: string) => {
    const error = new NamespacesUnavailableError([how, ...lastLines].join('; '))
    reject(error)
    if (!isStopping) onFailed(error)
  }
  anchor.once('error', (error) => end(error.message))
  anchor.once('close', (code, signalName) => end(`unshare ended with ${signalName ?? `status ${code}`}`))
  return promise
}

/**
 * A link between the host and the router, not a port of a bridge: behind a bridge each host keeps a neighbour entry for each
 * other, and all namespaces of a machine share one table of 1,024 (`gc_thresh3`), which is not ours to enlarge.
 */
function hostScript(
  { name, address }: NamespacedHost,
  index: number,
  linkBytesPerSecond: number,
): readonly string[] {
  const port = `v${index}`
  const shaping = `root tbf rate ${Math.floor(linkBytesPerSecond * 8)}bit burst ${burstBytes(linkBytesPerSecond)} latency ${QUEUE_MS}ms`
  return [
    `ip netns add ${name}`,
    `ip link add ${port} type veth peer name eth0 netns ${name}`,
    `ip link set ${port} up`,
    `ip route add ${address}/32 dev ${port}`,
    `tc qdisc add dev ${port} ${shaping}`,
    `ip netns exec ${name} sh -c 'echo ${UNSENT_BYTES_MAX} > /proc/sys/net/ipv4/tcp_notsent_lowat'`,
    `ip -n ${name} link set lo up`,
    `ip -n ${name} addr add ${address}/32 dev eth0`,
    `ip -n ${name} link set eth0 up`,
    `ip -n ${name} route add ${ROUTER_ADDRESS}/32 dev eth0`,
    `ip -n ${name} route add default via ${ROUTER_ADDRESS}`,
    `tc -n ${name} qdisc add dev eth0 ${shaping}`,
  ]
}

/**
 * What may leave at once after a silence. Two of the longest segments that the kernel hands over in one piece (64 KiB), else
 * it would have to cut up each; on fast links what 2 ms carry, else timers are too coarse to reach the rate.
 */
function burstBytes(linkBytesPerSecond: number): number {
  return Math.max(131_072, Math.ceil(linkBytesPerSecond * 0.002))
}

function addressOf(index: number): string {
  // .0 and .255 are left out only for those who read them.
  return `10.231.${Math.floor(index / 250)}.${(index % 250) + 1}`
}

function runScript(prefix: readonly string[], script: string, signal: AbortSignal): Promise<void> {
  const [program = 'sh', ...args] = [...prefix, 'sh', '-e']
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'pipe'], detached: true, signal })
    const lines: string[] = []
    createInterface({ input: child.stderr }).on('line', (line) => lines.push(line))
    child.stdin.on('error', () => {})
    child.stdin.end(script)
    child.once('error', reject)
    child.once('close', (code) => {
      if (code === 0) resolve()
      else reject(new NamespacesUnavailableError(lines.slice(-LAST_LINES_MAX).join('; ')))
    })
  })
}

/**
 * Goal: `shoal doctor` finds a healthy node healthy, and of a broken one says what is broken, what follows from it, and what
 * is well all the same, always within its time.
 * Method: the built command against a real seeder and three agents; one thing after the other is broken for real.
 */
import { once } from 'node:events'
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { Compile } from 'typebox/compile'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CHECK_NAMES, DoctorReport } from '../../packages/cli/src/doctor/report.ts'
import { type Cluster, type Node, startCluster } from '../support/cluster.ts'
import { describeWith } from '../support/describe-with.ts'
import { freePort } from '../support/free-port.ts'
import { startMisleadingTracker } from '../support/misleading-tracker.ts'
import { jsonEvent, runProcess, startProcess } from '../support/process.ts'
import { BIN, SHOAL_NODE_FLAGS, startShoal } from '../support/shoal.ts'
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts'

/** What the command promises. */
const TIME_MAX_MS = 15_000
const isReport = Compile(DoctorReport)

let folder: TemporaryFolder
let cluster: Cluster
let well: Node
beforeAll(async () => {
  folder = await temporaryFolder('doctor')
  const zoneFile = join(folder.path, 'zone')
  await writeFile(zoneFile, 'rack-7\n')
  cluster = await startCluster({ agents: 3, agentArgs: ['--zone-file', zoneFile] })
  well = cluster.agents[0]!
  const connected = jsonEvent('announce-stream-open')
  await Promise.all(cluster.agents.map((agent) => agent.process.waitForLine(connected, 10_000)))
})
afterAll(async () => {
  await cluster?.stop()
  await folder?.remove()
})

interface Examined {
  readonly status: number | null
  readonly report: DoctorReport
  /** By name: `ok`, `failure`, … */
  readonly outcomes: Readonly<Record<string, string>>
  message(name: string): string
  measured(name: string): Record<string, unknown>
}

async function run(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = startProcess(process.execPath, [...SHOAL_NODE_FLAGS, BIN, 'doctor', ...args], {
    cwd: folder.path,
    env: { NO_COLOR: undefined, FORCE_COLOR: undefined, ...env },
  })
  const { code } = await child.exited
  return { status: code, lines: child.lines }
}

async function examine(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Examined> {
  const { status, lines } = await run([...args, '--json'], env)
  const report: unknown = JSON.parse(lines.join('\n'))
  if (!isReport.Check(report)) throw new Error(`not a report: ${JSON.stringify(isReport.Errors(report))}`)
  expect(report.checks.map(({ name }) => name)).toEqual([...CHECK_NAMES])
  expect(report.durationMs).toBeLessThan(TIME_MAX_MS)
  for (const { outcome, advice } of report.checks)
    expect(advice !== undefined).toBe(outcome === 'warning' || outcome === 'failure')
  expect(status).toBe(report.outcome === 'failure' ? 1 : 0)
  const of = (name: string) => report.checks.find((check) => check.name === name)!
  return {
    status,
    report,
    outcomes: Object.fromEntries(report.checks.map(({ name, outcome }) => [name, outcome])),
    message: (name) => of(name).message,
    measured: (name) => of(name).measured,
  }
}

/** As the agent was started. */
const settingsOf = (node: Node, seeder = cluster.seeder.url): string[] => [
  '--listen',
  node.host,
  '--peer-listen',
  node.peerHost,
  '--seeder',
  seeder,
  '--cache',
  node.folder,
]

/** Where nothing but the disk of the machine that tests run on may be amiss, and a container's host is not seen. */
const ALL_WELL = {
  ...Object.fromEntries(CHECK_NAMES.map((name) => [name, 'ok'])),
  clients: expect.stringMatching(/^(ok|skipped)$/),
  cache: expect.stringMatching(/^(ok|warning)$/),
}

describe('a node that is well', () => {
  it('is found so, and pulls the image that nobody pushed from the seeder, then from others, then from itself', async () => {
    const first = await examine(settingsOf(well))
    expect(first.outcomes).toEqual(ALL_WELL)
    expect(first.message('peers')).toMatch(/^2 agents and the seeder reached both ways/)
    expect(first.measured('test-pull')).toMatchObject({ received: { peer: 0, seeder: expect.any(Number) } })
    expect(first.message('test-pull')).toMatch(/every digest right; .* from the seeder$/)

    const status = (await (await fetch(`${well.url}/api/v1/status`)).json()) as { zone: string }
    const others = first.measured('peers').peers as { role: string; zone: string }[]
    expect(status.zone).toBe('rack-7')
    expect(others.map(({ role, zone }) => `${role} ${zone}`).toSorted()).toEqual([
      'agent rack-7',
      'agent rack-7',
      'seeder ',
    ])

    const second = await examine(settingsOf(cluster.agents[1]!))
    expect(second.outcomes).toEqual(ALL_WELL)
    const { peer, seeder } = second.measured('test-pull').received as Record<string, number>
    expect(peer! + seeder!).toBeGreaterThan(65_536)

    const again = await examine(settingsOf(well))
    expect(again.message('test-pull')).toContain('in this node’s cache')
  })

  it('is told of in a line each, without colour where there is no terminal', async () => {
    const { status, lines } = await run(settingsOf(well))
    expect(status).toBe(0)
    expect(lines.filter((line) => line !== '').map((line) => line.split(/\s+/, 2)[1])).toEqual([
      ...CHECK_NAMES,
      'ok,',
    ])
    expect(lines.join('\n')).not.toContain('\u001b')
    const coloured = await run(settingsOf(well), { FORCE_COLOR: '1' })
    expect(coloured.lines.join('\n')).toContain('\u001b[32mok')
  })

  it('is asked by the same settings as the agent: a file, variables', async () => {
    await writeFile(join(folder.path, 'agent.yaml'), `listen: ${well.host}\npeerListen: ${well.peerHost}\n`)
    const { outcomes, message } = await examine([], {
      SHOAL_CONFIG: 'agent.yaml',
      SHOAL_SEEDER: cluster.seeder.url,
      SHOAL_CACHE: well.folder,
    })
    expect(outcomes).toEqual(ALL_WELL)
    expect(message('configuration')).toBe(
      '2 settings in agent.yaml; SHOAL_SEEDER, SHOAL_CACHE; defaults for the rest',
    )
  })

  it('is changed by nothing but the image', async () => {
    const repositories = await readdir(join(well.folder, 'images', 'repos'), { recursive: true })
    expect(repositories.filter((path) => /^[^/]+\/[^/]+$/.test(path))).toEqual(['shoal/doctor'])
  })
})

describe('settings', () => {
  it('other than the agent’s are warned of; what is checked is the agent', async () => {
    const found = await examine(['--listen', well.host])
    expect(found.outcomes).toEqual({ ...ALL_WELL, configuration: 'warning' })
    expect(found.message('configuration')).toContain(`seeder is ${cluster.seeder.url}`)
  })

  it('that are wrong are all told, and the other checks go on', async () => {
    await writeFile(join(folder.path, 'wrong.yaml'), 'zon: a\ncacheMaxBytes: tiny\n')
    const args = ['--config', 'wrong.yaml', '--listen', well.host, '--peer-listen', ':6001']
    const found = await examine(args)
    expect(found.status).toBe(1)
    expect(found.outcomes).toEqual({ ...ALL_WELL, configuration: 'failure' })
    for (const key of ['zon ', 'cacheMaxBytes ', 'peerListen '])
      expect(found.message('configuration')).toContain(key)
  })

  it('without which a check makes no sense', async () => {
    const found = await examine(['--listen', ':5001', '--seeder', cluster.seeder.url])
    expect(found.outcomes).toMatchObject({
      configuration: 'failure',
      'registry-port': 'skipped',
      seeder: 'ok',
      clock: 'ok',
      'test-pull': 'skipped',
    })
    expect(found.message('registry-port')).toBe('because `listen` cannot be used')
  })

  it('that are none are wrong usage', async () => {
    const wrong = [['--chache', 'x'], ['now'], ['--listen']]
    for (const { status, lines } of await Promise.all(wrong.map((args) => run(args)))) {
      expect(status, lines.join('\n')).toBe(2)
      expect(lines.at(-1)).toBe('See shoal doctor --help.')
    }
  })
})

describe.concurrent('the port of the registry', () => {
  it('has another program: what depends on the agent is skipped', async () => {
    await using stranger = await serverThat((socket) => socket.end('SSH-2.0-OpenSSH\r\n\r\n'))
    const found = await examine(['--listen', stranger.host, '--seeder', cluster.seeder.url])
    expect(found.outcomes).toMatchObject({
      'registry-port': 'failure',
      seeder: 'ok',
      tracker: 'skipped',
      peers: 'skipped',
      'test-pull': 'skipped',
    })
    expect(found.message('registry-port')).toContain('no agent of Shoal')
  })

  it('has a seeder', async () => {
    const found = await examine(['--listen', cluster.seeder.host])
    expect(found.message('registry-port')).toContain('a seeder listens')
  })

  it('and everything else answer nothing: it ends in time', async () => {
    await using hole = await serverThat(() => {})
    const found = await examine(['--listen', hole.host, '--seeder', `http://${hole.host}`])
    expect(found.outcomes).toMatchObject({ 'registry-port': 'failure', seeder: 'failure', clock: 'skipped' })
  })
})

describe.concurrent('the seeder', () => {
  it('has a name that does not resolve', async () => {
    const found = await examine([
      '--listen',
      `127.0.0.1:${await freePort()}`,
      '--seeder',
      'http://seeder.invalid:7000',
    ])
    expect(found.outcomes).toMatchObject({ seeder: 'failure', clock: 'skipped' })
    expect(found.message('seeder')).toContain('seeder.invalid does not resolve')
  })

  it.each([
    ['a minute', 60_000, 'warning'],
    ['an hour', 3_600_000, 'failure'],
  ])('has a clock that is %s off, and is of another version', async (_what, byMs, outcome) => {
    const server = createHttpServer((_request, response) =>
      response
        .setHeader('date', new Date(Date.now() - byMs).toUTCString())
        .end(JSON.stringify({ status: 'ready', service: 'seeder', version: '9.9.9' })),
    )
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const found = await examine(['--listen', `127.0.0.1:${await freePort()}`, '--seeder', url])
    server.closeAllConnections()
    server.close()
    expect(found.outcomes).toMatchObject({ seeder: 'warning', clock: outcome })
    expect(found.message('seeder')).toContain('9.9.9')
    expect(found.message('clock')).toContain('ahead of the seeder’s')
  })
})

describe('peers', () => {
  it('that hang are named, and nobody waits for them for long', async () => {
    const hanging = cluster.agents[2]!
    hanging.process.signal('SIGSTOP')
    try {
      const found = await examine(settingsOf(well))
      expect(found.outcomes).toEqual({ ...ALL_WELL, peers: 'warning' })
      expect(found.message('peers')).toContain(`at ${hanging.peerHost} (something is there, `)
      const peers = found.measured('peers').peers as { port: number; incoming?: object }[]
      const unheard = peers.filter(({ incoming }) => incoming === undefined).map(({ port }) => port)
      expect(unheard).toEqual([Number(hanging.peerHost.split(':')[1])])
    } finally {
      hanging.process.signal('SIGCONT')
    }
  })

  it('cannot reach a node whose port is closed to them, while it reaches all of them', async () => {
    const closedPort = await freePort()
    await using misleading = await startMisleadingTracker(cluster.seeder.url, closedPort)
    const [host, peerHost] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`]
    const cache = join(folder.path, 'closed')
    await using agent = await startShoal([
      'agent',
      ...['--listen', host, '--peer-listen', peerHost, '--cache', cache, '--seeder', misleading.url],
    ])
    await agent.waitForLine(jsonEvent('announce-stream-open'), 10_000)
    const found = await examine(['--listen', host, '--peer-listen', peerHost, '--seeder', misleading.url])
    expect(found.outcomes).toEqual({ ...ALL_WELL, peers: 'failure' })
    expect(found.message('peers')).toMatch(
      new RegExp(`^this node is not reached at 127\\.0\\.0\\.1:${closedPort} \\(.*nothing listens there`),
    )
    expect(found.message('peers')).not.toContain('does not reach')
  })
})

describeWith(['network-namespaces'], 'a resolver', () => {
  it('that never answers holds nothing up', async () => {
    await writeFile(join(folder.path, 'resolv.conf'), 'nameserver 10.9.9.9\n')
    // In namespaces of its own, with a name server that takes every question and says nothing.
    const script = `
      const socket = require('node:dgram').createSocket('udp4').bind(53, '10.9.9.9', () => {
        const doctor = require('node:child_process').spawn(process.execPath, process.argv.slice(1), { stdio: 'inherit' })
        doctor.once('exit', () => socket.close())
      })`
    const { stdout } = await runProcess('unshare', [
      ...['--net', '--mount', 'sh', '-c'],
      `ip link set lo up && ip address add 10.9.9.9/32 dev lo &&
      mount --bind ${folder.path}/resolv.conf /etc/resolv.conf && exec "$@"`,
      ...['sh', process.execPath, '-e', script, '--', BIN, 'doctor', '--json'],
      ...['--listen', '127.0.0.1:9', '--seeder', 'http://seeder.example:7000'],
    ])
    const report = JSON.parse(stdout) as DoctorReport
    expect(report.durationMs).toBeLessThan(TIME_MAX_MS)
    const found = report.checks.find(({ name }) => name === 'seeder')
    expect(found).toMatchObject({ outcome: 'failure', measured: { problem: 'TIMEOUT' } })
  })
})

describeWith(['network-namespaces'], 'the cache', () => {
  it('is on a disk that is full, then mounted read-only', async () => {
    const cache = join(folder.path, 'disk', 'cache')
    await mkdir(cache, { recursive: true })
    const [host, peerHost] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`]
    // In a mount namespace of its own, that ends with it.
    await using agent = startProcess('unshare', [
      '--mount',
      'sh',
      '-c',
      `mount -t tmpfs -o size=8m,nr_inodes=500 tmpfs ${cache} && exec "$@"`,
      'sh',
      ...[process.execPath, ...SHOAL_NODE_FLAGS, BIN, 'agent', '--listen', host, '--peer-listen', peerHost],
      ...['--cache', cache, '--seeder', cluster.seeder.url],
    ])
    await agent.waitForLine(jsonEvent('announce-stream-open'), 10_000)
    const args = ['--listen', host, '--peer-listen', peerHost, '--seeder', cluster.seeder.url]
    const full = await examine(args)
    expect(full.outcomes).toEqual({ ...ALL_WELL, cache: 'failure' })
    expect(full.message('cache')).toMatch(/the disk is full: .* 64 GiB; .*inodes are free; .*tmpfs/)

    // A second mount over the first, in which nothing is open.
    const mounting = `mount --bind ${cache} ${cache} && mount -o remount,ro,bind ${cache}`
    await runProcess('nsenter', ['--mount', `--target=${agent.pid}`, 'sh', '-c', mounting])
    const readOnly = await examine(args)
    expect(readOnly.outcomes.cache).toBe('failure')
    expect(readOnly.message('cache')).toContain('read-only')
    expect(readOnly.measured('cache')).toMatchObject({ writeProblem: 'EROFS', seenBy: 'agent' })
  })
})

describe.concurrent('the cache of an agent that does not run', () => {
  it.each<[string, (path: string) => Promise<unknown>, string, RegExp]>([
    ['is not there yet', async () => {}, 'warning', /does not exist yet/],
    ['is a file', (path) => writeFile(path, ''), 'failure', /not a folder/],
    ['leads in circles', (path) => symlink(path, path), 'failure', /ELOOP/],
  ])('%s', async (what, make, outcome, message) => {
    const cache = join(folder.path, what.replaceAll(' ', '-'))
    await make(cache)
    const found = await examine(['--listen', `127.0.0.1:${await freePort()}`, '--cache', cache])
    expect(found.outcomes.cache).toBe(outcome)
    expect(found.message('cache')).toMatch(message)
  })
})

describe('a service that is away', () => {
  it('the agent: what can be looked at without it is', async () => {
    const [, , gone] = cluster.agents
    await gone!.stop()
    const found = await examine(settingsOf(gone!))
    expect(found.status).toBe(1)
    expect(found.outcomes).toEqual({
      ...ALL_WELL,
      'registry-port': 'failure',
      'peer-port': 'skipped',
      tracker: 'skipped',
      peers: 'skipped',
      'test-pull': 'skipped',
    })
    expect(found.message('registry-port')).toContain('the agent is not running')
    expect(found.message('test-pull')).toBe('because the agent is not running')
  })

  it('the seeder: the agent serves what it has', async () => {
    await cluster.seeder.stop()
    await well.process.waitForLine(jsonEvent('announce-stream-closed'), 10_000)
    const found = await examine(settingsOf(well))
    expect(found.outcomes).toEqual({
      ...ALL_WELL,
      seeder: 'failure',
      // Just closed; it is a failure when it stays so.
      tracker: 'warning',
      peers: 'skipped',
      clock: 'skipped',
    })
    expect(found.message('seeder')).toContain('ECONNREFUSED')
    expect(found.message('test-pull')).toContain('in this node’s cache')
  })
})

async function serverThat(speaks: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    speaks(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

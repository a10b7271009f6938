/**
 * Goal: each check tells the good from the bad and the bad from what can be lived with, and whoever reads it knows what to do.
 * Method: what was seen is made up; each check is shown the good, the bad, and the moment where one becomes the other.
 */

import type { InspectedFile } from '@shoal/client-config'
import { formatHostPort } from '@shoal/core'
import type { AgentStatus, FolderReport, ReachabilityReport } from '@shoal/wire'
import { describe, expect, test } from 'vitest'
import type { Finding, Outcome } from '../check-result.ts'
import type { AgentSight } from '../look-at-agent.ts'
import type { SeederSight } from '../look-at-seeder.ts'
import { type CacheRoom, judgeCache } from './cache.ts'
import { judgeClients } from './clients.ts'
import { CLOCK_FAILURE_MS, CLOCK_WARNING_MS, judgeClock } from './clock.ts'
import { judgePeerPort } from './peer-port.ts'
import { judgePeers } from './peers.ts'
import { judgeProxies } from './proxies.ts'
import { bytesText, durationText } from './quantities.ts'
import { judgeRegistryPort } from './registry-port.ts'
import { judgeSeeder } from './seeder.ts'
import { judgeTracker } from './tracker.ts'

const GIB = 1024 ** 3
const MIB = 1024 ** 2

/** The outcome, and that there is advice where there should be. */
function outcomeOf({ outcome, advice, message }: Finding): Outcome {
  expect(message).not.toBe('')
  expect(advice !== undefined, message).toBe(outcome === 'warning' || outcome === 'failure')
  return outcome
}

const status: AgentStatus = {
  service: 'agent',
  version: '1.2.3',
  name: 'node-1',
  zone: 'a',
  listen: '127.0.0.1:5001',
  peerListen: '10.0.0.21:6001',
  seeder: 'http://seeder:7000',
  uptimeMs: 7_300_000,
  userId: 65_532,
  announceStream: { isOpen: true, forMs: 90_000 },
  cache: { folder: '/cache', usedBytes: 0, maxBytes: GIB },
}

describe('proxies', () => {
  const none = { noProxy: [], problems: [] }
  test('are told where they are set, and what cannot be used is a warning', () => {
    expect(judgeProxies(undefined)).toBeUndefined()
    expect(judgeProxies(none)).toBeUndefined()
    const used = judgeProxies({ ...none, http: 'http://p:1', https: 'http://p:1' })!
    expect(outcomeOf(used)).toBe('ok')
    expect(used.message).toMatch(/through http:\/\/p:1 unless NO_PROXY/)
    expect(outcomeOf(judgeProxies({ ...none, problems: ['HTTP_PROXY is no …'] })!)).toBe('warning')
  })
})

describe('registry-port', () => {
  const url = 'http://127.0.0.1:5001'
  const listen = { host: '127.0.0.1', port: 5001 }
  const answered: AgentSight = { kind: 'answered', url, status, tookMs: 3 }
  const judge = (sight: AgentSight, host = '127.0.0.1', isInPod = false) =>
    judgeRegistryPort(
      sight.kind === 'answered'
        ? { ...sight, status: { ...status, listen: formatHostPort({ ...listen, host }) } }
        : sight,
      listen,
      isInPod,
    )

  test('an agent on loopback is well', () => {
    expect(outcomeOf(judge(answered))).toBe('ok')
    expect(judge(answered).message).toBe('agent 1.2.3 (node-1) answers at 127.0.0.1:5001, up for 2 h')
  })

  test.each(['0.0.0.0', '::', '10.0.0.21'])(
    'beyond loopback, at %s, is warned of, except in a pod',
    (host) => {
      expect(outcomeOf(judge(answered, host))).toBe('warning')
      expect(outcomeOf(judge(answered, host, true))).toBe('ok')
    },
  )

  test.each<[string, AgentSight, RegExp]>([
    ['nothing', { kind: 'closed', url }, /not running/],
    ['a name that is none', { kind: 'unresolved', url, problem: 'ENOTFOUND' }, /does not resolve/],
    ['another program', { kind: 'stranger', url, problem: 'HTTP 404' }, /no agent of Shoal.*HTTP 404/],
    ['a seeder', { kind: 'other', url, service: 'seeder' }, /a seeder listens/],
    ['an older agent', { kind: 'other', url, service: 'older' }, /does not know the questions/],
    ['an agent that takes us for a stranger', { kind: 'refused', url }, /strangers/],
  ])('%s is a failure', (_what, sight, message) => {
    expect(outcomeOf(judge(sight))).toBe('failure')
    expect(judge(sight).message).toMatch(message)
  })
})

describe('peer-port', () => {
  const judge = (
    port: string,
    host: string,
    agent: Parameters<typeof judgePeerPort>[2]['agent'] = 'running',
    isSeederHere = false,
  ) => outcomeOf(judgePeerPort(port, { host, port: 6001 }, { agent, isSeederHere }))

  test('open at an address of this node is well', () => {
    expect(judge('open', '10.0.0.21')).toBe('ok')
    expect(judge('open', '0.0.0.0')).toBe('ok')
  })

  test('on loopback is well where the seeder is there too, and else where nobody finds it', () => {
    expect(judge('open', '127.0.0.1', 'running', true)).toBe('ok')
    expect(judge('open', '127.0.0.1', 'running', false)).toBe('warning')
  })

  test('closed while the agent runs is a failure; without the agent it is nothing to look at', () => {
    expect(judge('ECONNREFUSED', '10.0.0.21')).toBe('failure')
    expect(judge('TIMEOUT', '10.0.0.21')).toBe('failure')
    expect(judge('ECONNREFUSED', '10.0.0.21', 'stopped')).toBe('skipped')
  })

  test('of another program keeps an agent from starting', () => {
    expect(judge('open', '10.0.0.21', 'stopped')).toBe('failure')
    // It may be the agent's own, where something answers in its place.
    expect(judge('open', '10.0.0.21', 'unknown')).toBe('skipped')
  })
})

describe('seeder', () => {
  const url = 'http://seeder:7000'
  const answered = {
    kind: 'answered',
    url,
    address: '10.0.0.10',
    status: 200,
    isReady: true,
    service: 'seeder',
    version: '1.2.3',
    roundTripMs: 0.4,
    clock: undefined,
  } as const
  const judge = (sight: SeederSight) => judgeSeeder(sight, '1.2.3')

  test('ready and of this version is well', () => {
    expect(outcomeOf(judge(answered))).toBe('ok')
    expect(judge(answered).message).toContain('round trip 0.4 ms')
  })

  test.each<[string, SeederSight, Outcome, RegExp]>([
    ['of another version', { ...answered, version: '1.2.4' }, 'warning', /1\.2\.4.*1\.2\.3/],
    [
      'of a version that says none',
      { ...answered, service: undefined, version: undefined },
      'warning',
      /older/,
    ],
    ['an agent', { ...answered, service: 'agent' }, 'failure', /an agent answers/],
    ['not ready', { ...answered, isReady: false, status: 503 }, 'failure', /HTTP 503/],
    [
      'not ready, and it says why',
      { ...answered, isReady: false, status: 503, complaints: ['the origin is gone'] },
      'failure',
      /not ready: the origin is gone/,
    ],
    [
      'ready, and something is wrong',
      { ...answered, complaints: ['the disk is full'] },
      'warning',
      /the disk is full/,
    ],
    ['another server', { ...answered, isReady: false, service: undefined }, 'failure', /no seeder/],
    [
      'a name that is none',
      { kind: 'unresolved', url, host: 'seeder', problem: 'ENOTFOUND' },
      'failure',
      /name seeder does not resolve/,
    ],
    [
      'a resolver that hangs',
      { kind: 'unresolved', url, host: 'seeder', problem: 'TIMEOUT' },
      'failure',
      /TIMEOUT/,
    ],
    [
      'away',
      { kind: 'unreachable', url, address: '10.0.0.10', problem: 'ECONNREFUSED' },
      'failure',
      /10\.0\.0\.10: ECONNREFUSED/,
    ],
  ])('%s', (_what, sight, outcome, message) => {
    expect(outcomeOf(judge(sight))).toBe(outcome)
    expect(judge(sight).message).toMatch(message)
  })
})

test('seeder: one that only the agent does not reach is a failure, and one that nobody reaches is told once', () => {
  const url = 'http://seeder:7000'
  const problem = `the seeder at ${url} cannot be reached: it does not answer in time`
  const there: SeederSight = {
    kind: 'answered',
    url,
    address: '10.0.0.10',
    status: 200,
    service: 'seeder',
    isReady: true,
    version: '1.2.3',
    roundTripMs: 1,
    clock: undefined,
  }
  const found = judgeSeeder(there, '1.2.3', problem)
  expect(outcomeOf(found)).toBe('failure')
  expect(found.message).toContain(problem)
  const away: SeederSight = { kind: 'unreachable', url, address: '10.0.0.10', problem: 'TIMEOUT' }
  expect(judgeSeeder(away, '1.2.3', problem)).toEqual(judgeSeeder(away, '1.2.3'))
})

test('tracker: the stream is open, or it is not, or not yet', () => {
  const after = (isOpen: boolean, forMs: number) =>
    judgeTracker({ ...status, announceStream: { isOpen, forMs } })
  expect(outcomeOf(judgeTracker(status))).toBe('ok')
  expect(outcomeOf(after(true, 0))).toBe('ok')
  expect(outcomeOf(after(false, 9_999))).toBe('warning')
  expect(outcomeOf(after(false, 10_000))).toBe('failure')
  expect(after(false, 400_000).message).toContain('closed for 6 min')
})

describe('clock', () => {
  const THEIRS_MS = Date.UTC(2026, 4, 4)
  /** @param byMs how far ours is ahead when the question is sent; the answer takes 10 ms */
  const judge = (byMs: number) =>
    judgeClock({ theirsMs: THEIRS_MS, sentAtMs: THEIRS_MS + byMs, receivedAtMs: THEIRS_MS + byMs + 10 })

  test.each([-10, -5, 0, 999, 1_000])('within what can be told (%i ms): equal', (byMs) => {
    expect(judge(byMs).measured).toMatchObject({ differenceMs: 0, uncertaintyMs: 1_010 })
    expect(outcomeOf(judge(byMs))).toBe('ok')
  })

  // Ahead, theirs may really be a second later than it says.
  test.each<[number, Outcome]>([
    [CLOCK_WARNING_MS + 999, 'ok'],
    [CLOCK_WARNING_MS + 1_000, 'warning'],
    [-CLOCK_WARNING_MS - 9, 'ok'],
    [-CLOCK_WARNING_MS - 10, 'warning'],
    [CLOCK_FAILURE_MS + 999, 'warning'],
    [CLOCK_FAILURE_MS + 1_000, 'failure'],
    [-CLOCK_FAILURE_MS - 9, 'warning'],
    [-CLOCK_FAILURE_MS - 10, 'failure'],
  ])('%i ms: %s', (byMs, outcome) => {
    expect(outcomeOf(judge(byMs))).toBe(outcome)
  })

  test('says which is ahead', () => {
    expect(judge(61_000).message).toBe('60 s ahead of the seeder’s')
    expect(judge(-60_010).message).toBe('60 s behind the seeder’s')
  })
})

describe('cache', () => {
  const good: FolderReport = {
    folder: '/cache',
    fileSystem: 'ext4',
    ownerId: 65_532,
    mode: 0o755,
    totalBytes: 100 * GIB,
    freeBytes: 50 * GIB,
    totalInodes: 1_000_000,
    freeInodes: 900_000,
  }
  const judge = (
    more: Partial<FolderReport> = {},
    room: CacheRoom = { usedBytes: 10 * GIB, maxBytes: 60 * GIB },
    isAgent = true,
  ) => judgeCache({ ...good, ...more }, room, isAgent)

  test('with just the room that it may still take is well; a byte less is told', () => {
    expect(outcomeOf(judge())).toBe('ok')
    const less = judge({ freeBytes: 50 * GIB - 1 })
    expect(outcomeOf(less)).toBe('warning')
    expect(less.advice).toContain('`cacheMaxBytes` to 54GiB at most')
  })

  test('as large as it may be needs little more room, and on a full disk cannot even write a tag', () => {
    const grown = { usedBytes: 60 * GIB, maxBytes: 60 * GIB }
    expect(outcomeOf(judge({ freeBytes: MIB }, grown))).toBe('ok')
    expect(outcomeOf(judge({ freeBytes: MIB - 1 }, grown))).toBe('failure')
    expect(outcomeOf(judge({ freeBytes: 0 }, { usedBytes: 70 * GIB, maxBytes: 60 * GIB }))).toBe('failure')
  })

  test('with less room than a layer is full', () => {
    expect(outcomeOf(judge({ freeBytes: 64 * MIB }))).toBe('warning')
    expect(outcomeOf(judge({ freeBytes: 64 * MIB - 1 }))).toBe('failure')
    expect(judge({ freeBytes: 0 }, { usedBytes: 0, maxBytes: GIB }).advice).toBe('Make room on that disk.')
  })

  test.each<[string, Partial<FolderReport>, Outcome, RegExp]>([
    ['in memory', { fileSystem: 'tmpfs' }, 'warning', /memory/],
    ['in a container’s layer', { fileSystem: 'overlay' }, 'warning', /overlay/],
    ['read-only', { writeProblem: 'EROFS' }, 'failure', /read-only/],
    ['somebody else’s', { writeProblem: 'EACCES' }, 'failure', /user 65532, mode 755/],
    ['without inodes', { freeInodes: 0 }, 'failure', /inodes/],
    ['short of inodes', { freeInodes: 999 }, 'warning', /inodes/],
    ['with just enough inodes', { freeInodes: 1_000 }, 'ok', /free/],
    ['on a file system without a count of them', { totalInodes: 0, freeInodes: 0 }, 'ok', /free/],
    ['a file', { problem: 'ENOTDIR' }, 'failure', /not a folder/],
    ['gone', { problem: 'ENOENT' }, 'failure', /gone/],
    ['on a disk that hangs', { problem: 'TIMEOUT' }, 'failure', /does not answer/],
    ['behind a closed door', { problem: 'EACCES' }, 'failure', /cannot be looked at/],
  ])('%s', (_what, more, outcome, message) => {
    expect(outcomeOf(judge(more))).toBe(outcome)
    expect(judge(more).message).toMatch(message)
  })

  test('a disk that takes nothing, as the agent says, is a failure; one that spoils pieces is warned of', () => {
    const room = { usedBytes: 10 * GIB, maxBytes: 60 * GIB }
    const full = judge({}, { ...room, diskProblem: 'the cache’s disk cannot be written to (EDQUOT)' })
    expect(outcomeOf(full)).toBe('failure')
    expect(full.message).toMatch(/EDQUOT.*not kept/)
    const rotting = judge({}, { ...room, damagedPieces: 2 })
    expect(outcomeOf(rotting)).toBe('warning')
    expect(rotting.message).toContain('has spoilt 2 pieces')
    expect(outcomeOf(judge({}, { ...room, damagedPieces: 0 }))).toBe('ok')
  })

  test('tells all at once, the worst first in its outcome', () => {
    const found = judge({ fileSystem: 'tmpfs', freeBytes: 8 * MIB, writeProblem: 'EROFS' })
    expect(found.outcome).toBe('failure')
    expect(found.message).toMatch(/read-only.*; the disk is full.*; .*memory/)
    expect(found.advice).toMatch(/Mount it.*Make room.*Set `cache`/)
  })

  test('seen by somebody else than the agent proves less', () => {
    expect(outcomeOf(judge({ writeProblem: 'EACCES' }, undefined, false))).toBe('warning')
    expect(outcomeOf(judge({ problem: 'ENOENT' }, undefined, false))).toBe('warning')
    expect(outcomeOf(judge({ problem: 'ENOTDIR' }, undefined, false))).toBe('failure')
    expect(outcomeOf(judge({ writeProblem: 'EROFS' }, undefined, false))).toBe('failure')
  })
})

describe('peers', () => {
  type Peers = Extract<ReachabilityReport, { kind: 'tried' }>['peers']
  const good = { outcome: 'reached', ms: 1 } as const
  const bad = { outcome: 'silent', ms: 2_000 } as const
  const peer = (n: number, more: Partial<Peers[number]> = {}): Peers[number] => ({
    peerId: n.toString(16).padStart(40, '0'),
    role: 'agent',
    name: `node-${n}`,
    zone: 'a',
    host: `10.0.0.${n}`,
    port: 6001,
    outgoing: good,
    incoming: good,
    ...more,
  })
  const seeder = (more: Partial<Peers[number]> = {}) =>
    peer(99, { role: 'seeder', name: 'seeder', port: 7001, ...more })
  const judge = (...peers: Peers) =>
    judgePeers({ kind: 'tried', announced: { host: '10.0.0.1', port: 6001 }, peers })

  test.each<[string, Peers, Outcome, RegExp]>([
    [
      'all of them, both ways',
      [seeder(), peer(2), peer(3)],
      'ok',
      /2 agents and the seeder reached both ways/,
    ],
    ['the seeder alone is known', [seeder()], 'ok', /no other agent is connected/],
    [
      'the seeder has not tried, which it does not for everybody',
      [seeder({ incoming: undefined as never }), peer(2)],
      'ok',
      /1 agent reached both ways and the seeder one/,
    ],
    [
      'nor is anybody else there',
      [seeder({ incoming: undefined as never })],
      'ok',
      /the seeder is reached \(/,
    ],
    [
      'one is not reached',
      [seeder(), peer(2), peer(3, { outgoing: bad })],
      'warning',
      /does not reach node-3 at 10\.0\.0\.3:6001/,
    ],
    [
      'none is reached',
      [seeder(), peer(2, { outgoing: bad }), peer(3, { outgoing: bad })],
      'failure',
      /node-2.*node-3/,
    ],
    [
      'the seeder is not reached',
      [seeder({ outgoing: bad }), peer(2)],
      'failure',
      /seeder’s peer port 10\.0\.0\.99:7001/,
    ],
    [
      'one does not reach this node',
      [seeder(), peer(2, { incoming: bad }), peer(3)],
      'warning',
      /not reached at 10\.0\.0\.1:6001 \(node-2/,
    ],
    [
      'none reaches this node',
      [seeder({ incoming: bad }), peer(2, { incoming: bad })],
      'failure',
      /not reached at/,
    ],
    [
      'one does not, and why is not told',
      [seeder(), peer(2, { incoming: { outcome: 'unreached', ms: 0 } }), peer(3)],
      'warning',
      /node-2: why is not told/,
    ],
    [
      'the seeder alone does not',
      [seeder({ incoming: bad }), peer(2)],
      'warning',
      /the seeder does not reach this node/,
    ],
    [
      'the seeder does not, and nobody else is there',
      [seeder({ incoming: bad })],
      'warning',
      /the seeder does not reach/,
    ],
    [
      'one has not said',
      [seeder(), peer(2, { incoming: undefined as never })],
      'warning',
      /node-2 did not say/,
    ],
    [
      'who has not said does not count as one who failed',
      [seeder(), peer(2, { incoming: bad }), peer(3, { incoming: undefined as never })],
      'failure',
      /not reached/,
    ],
  ])('%s', (_what, peers, outcome, message) => {
    const found = judge(...peers)
    expect(outcomeOf(found)).toBe(outcome)
    expect(found.message).toMatch(message)
  })

  test.each([
    ['stream-closed', 'skipped'],
    ['unsupported', 'skipped'],
    ['busy', 'warning'],
    ['no-answer', 'warning'],
  ] as const)('%s', (reason, outcome) => {
    expect(outcomeOf(judgePeers({ kind: 'unavailable', reason }))).toBe(outcome)
  })
})

describe('clients', () => {
  const onHost = { isInContainer: false, isHostVisible: true }
  const client = (more: Partial<InspectedFile> = {}): InspectedFile => ({
    runtime: 'containerd',
    path: '/etc/containerd/certs.d/docker.io/hosts.toml',
    state: 'installed',
    detail: '',
    agent: '127.0.0.1:5001',
    ...more,
  })
  const judge = (clients: readonly InspectedFile[], host = '127.0.0.1', about = onHost) =>
    judgeClients(clients, { host, port: 5001 }, about)

  test('none is well on a host, and not to be told in a container that does not see it', () => {
    expect(outcomeOf(judge([]))).toBe('ok')
    expect(judge([]).message).toContain('install-client')
    expect(outcomeOf(judge([], '127.0.0.1', { isInContainer: true, isHostVisible: false }))).toBe('skipped')
    expect(outcomeOf(judge([], '127.0.0.1', { isInContainer: true, isHostVisible: true }))).toBe('ok')
  })

  test.each<[string, Partial<InspectedFile>, string, Outcome]>([
    ['installed for this agent', {}, '127.0.0.1', 'ok'],
    ['by another name of loopback', { agent: 'localhost:5001' }, '127.0.0.1', 'ok'],
    ['for an agent that listens everywhere', { agent: '10.0.0.21:5001' }, '0.0.0.0', 'ok'],
    ['for another port', { agent: '127.0.0.1:5002' }, '127.0.0.1', 'failure'],
    ['for another machine', { agent: '10.0.0.21:5001' }, '127.0.0.1', 'failure'],
    ['for what is no address', { agent: '' }, '127.0.0.1', 'failure'],
    ['edited', { state: 'edited' }, '127.0.0.1', 'warning'],
    ['gone', { state: 'missing' }, '127.0.0.1', 'warning'],
    ['not to be read', { state: 'unreadable', detail: 'EACCES' }, '127.0.0.1', 'warning'],
  ])('%s', (_what, more, host, outcome) => {
    expect(outcomeOf(judge([client(), client(more)].slice(more.agent === undefined ? 0 : 1), host))).toBe(
      outcome,
    )
  })

  test('that go round Shoal are told of, however they were set up', () => {
    const unserved = [
      { registry: 'registry.corp:7000', requests: 7, agoMs: 61_000 },
      { registry: 'other', requests: 1, agoMs: 0 },
    ]
    const round = (clients: InspectedFile[], isInContainer = false) =>
      judgeClients(
        clients,
        { host: '127.0.0.1', port: 5001 },
        { isInContainer, isHostVisible: false },
        unserved,
      )
    for (const found of [round([]), round([client()]), round([], true)]) {
      expect(outcomeOf(found)).toBe('warning')
      expect(found.message).toMatch(/^clients asked for images of registry\.corp:7000 7 times, last 61 s ago/)
      expect(found.advice).toContain('add that to the seeder’s `hosts`')
      expect(found.measured.unservedRegistries).toEqual(unserved)
    }
    expect(outcomeOf(round([client({ agent: '127.0.0.1:5002' })]))).toBe('failure')
  })

  test('one bad of several is what is told, and what to type', () => {
    const found = judge([
      client(),
      client({ runtime: 'docker', path: '/etc/docker/daemon.json', state: 'missing' }),
    ])
    expect(found.message).toMatch(/^docker: \/etc\/docker\/daemon\.json is gone/)
    expect(found.advice).toContain('shoal install-client --runtime docker --agent 127.0.0.1:5001')
  })
})

test('numbers as people read them', () => {
  expect([0, 119_000, 120_000, 7_200_000, 172_800_000].map(durationText)).toEqual([
    '0 s',
    '119 s',
    '2 min',
    '2 h',
    '2 days',
  ])
  expect([0, 1_023, 1_024, 10 * GIB, 999 * MIB].map(bytesText)).toEqual([
    '0 bytes',
    '1023 bytes',
    '1 KiB',
    '10 GiB',
    '999 MiB',
  ])
})

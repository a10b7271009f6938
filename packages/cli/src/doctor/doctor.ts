/**
 * `shoal doctor`: looks at this node and what it needs, and tells what it found. Changes nothing but what a pull of a tiny
 * image changes. Each check is bounded in time and judges by itself; one that makes no sense since another failed says so.
 */
import { resolve } from 'node:path'
import type { AgentSettings } from '@shoal/agent'
import { inspectClientConfig } from '@shoal/client-config'
import { assert, formatHostPort, type HostPort, isLoopback, parseHostPort } from '@shoal/core'
import type { HttpClient } from '@shoal/service'
import { type AgentStatus, decodeReachabilityReport, REACHABILITY_PATH } from '@shoal/wire'
import { type ExaminedSettings, examineSettings, type SettingsInit } from './agent-settings.ts'
import { folderStateApart } from './apart.ts'
import { ask, connectionsTo } from './ask.ts'
import { type Finding, failure, skipped, together, warning } from './check-result.ts'
import { judgeCache } from './checks/cache.ts'
import { judgeClients } from './checks/clients.ts'
import { judgeClock } from './checks/clock.ts'
import { judgePeerPort, tryPort } from './checks/peer-port.ts'
import { judgePeers } from './checks/peers.ts'
import { judgeProxies } from './checks/proxies.ts'
import { judgeRegistryPort } from './checks/registry-port.ts'
import { judgeSeeder } from './checks/seeder.ts'
import { testPull } from './checks/test-pull.ts'
import { judgeTracker } from './checks/tracker.ts'
import { type AgentSight, lookAtAgent } from './look-at-agent.ts'
import { lookAtSeeder, type SeederSight } from './look-at-seeder.ts'
import { type CheckName, type DoctorReport, reportOf } from './report.ts'
import { type Surroundings, surroundings } from './surroundings.ts'

/** Of one check. Two come one after the other, so all of it takes 14 s at most. */
const CHECK_TIMEOUT_MS = 7_000
const REACHABILITY_TIMEOUT_MS = 6_000
const FOLDER_TIMEOUT_MS = 3_000

export interface DoctorInit extends SettingsInit {
  readonly version: string
}

export async function runDoctor(init: DoctorInit): Promise<DoctorReport> {
  const startedAt = performance.now()
  const connections = connectionsTo()
  try {
    const examined = await examineSettings(init)
    const findings = await new Examination(init, examined, connections).run()
    return reportOf(findings, { version: init.version, durationMs: performance.now() - startedAt })
  } finally {
    void connections.close()
  }
}

class Examination {
  readonly #init: DoctorInit
  readonly #examined: ExaminedSettings
  readonly #connections: HttpClient
  readonly #around: Surroundings
  readonly #findings = new Map<CheckName, Finding>()

  constructor(init: DoctorInit, examined: ExaminedSettings, connections: HttpClient) {
    this.#init = init
    this.#examined = examined
    this.#connections = connections
    this.#around = surroundings(init.variables)
  }

  async run(): Promise<ReadonlyMap<CheckName, Finding>> {
    const { settings, unusable } = this.#examined
    const listen = this.#address('listen')
    // The agent first: what it says of itself counts more than what is written somewhere.
    const sight = listen === undefined ? undefined : await this.#lookAtAgent(listen)
    const status = sight?.kind === 'answered' ? sight.status : undefined
    const seederUrl = status?.seeder ?? (unusable.has('seeder') ? undefined : settings.seeder)
    await Promise.all([
      this.#check('configuration', async () => this.#configuration(status)),
      this.#check('registry-port', async () => {
        if (sight === undefined || listen === undefined) return this.#without('listen')
        return judgeRegistryPort(sight, listen, this.#around.isInPod)
      }),
      this.#check('peer-port', () => this.#peerPort(sight, seederUrl)),
      this.#seederAndClock(seederUrl, status),
      this.#check('tracker', async () => (status === undefined ? noAgent(sight) : judgeTracker(status))),
      this.#check('peers', () => this.#peers(sight)),
      this.#check('cache', () => this.#cache(status)),
      this.#check('clients', () => this.#clients(status)),
      this.#check('test-pull', async () =>
        sight?.kind === 'answered' ? testPull(sight.url, this.#connections) : noAgent(sight),
      ),
    ])
    return this.#findings
  }

  async #lookAtAgent(listen: HostPort): Promise<AgentSight | undefined> {
    if (listen.port === 0) return undefined
    return lookAtAgent(listen, this.#connections)
  }

  #configuration(status: AgentStatus | undefined): Finding {
    const { finding, settings } = this.#examined
    const differences = status === undefined ? [] : differencesOf(settings, status)
    if (finding.outcome === 'failure') return finding
    const proxies = judgeProxies(status?.proxies)
    const known =
      proxies === undefined
        ? finding
        : together([finding, proxies], { ...finding.measured, ...proxies.measured })
    if (differences.length === 0) return known
    const other = warning(
      `the agent that runs was started with other settings: ${differences.join(', ')}`,
      'Give this command the flags, the variables or the file that the agent has, or restart the agent. What is checked is the agent that runs.',
    )
    return together([known, other], { ...known.measured, differences })
  }

  async #peerPort(sight: AgentSight | undefined, seederUrl: string | undefined): Promise<Finding> {
    const text = sight?.kind === 'answered' ? sight.status.peerListen : undefined
    const listen = text === undefined ? this.#address('peerListen') : parseHostPort(text)
    if (listen === undefined || listen.port === 0) return this.#without('peerListen')
    const isSeederHere = seederUrl !== undefined && isLoopback(hostOf(seederUrl))
    return judgePeerPort(await tryPort(listen), listen, {
      agent: sight?.kind === 'answered' ? 'running' : sight?.kind === 'closed' ? 'stopped' : 'unknown',
      isSeederHere,
    })
  }

  async #seederAndClock(url: string | undefined, status: AgentStatus | undefined): Promise<void> {
    let sight: SeederSight | undefined
    await this.#check('seeder', async () => {
      if (url === undefined) return this.#without('seeder')
      sight = await lookAtSeeder(url)
      return judgeSeeder(sight, status?.version ?? this.#init.version, status?.seederProblem)
    })
    await this.#check('clock', async () => {
      if (sight?.kind !== 'answered') return skipped('the seeder, whose clock is compared, does not answer')
      if (sight.clock === undefined) return skipped('what answers in the seeder’s place says no time')
      return judgeClock(sight.clock)
    })
  }

  async #peers(sight: AgentSight | undefined): Promise<Finding> {
    if (sight?.kind !== 'answered') return noAgent(sight)
    const asked = await ask(`${sight.url}${REACHABILITY_PATH}`, {
      method: 'POST',
      timeoutMs: REACHABILITY_TIMEOUT_MS,
      connections: this.#connections,
    })
    return judgePeers(decodeReachabilityReport(asked.body.toString()))
  }

  async #cache(status: AgentStatus | undefined): Promise<Finding> {
    if (status !== undefined) return judgeCache(status.cache, status.cache, true)
    const { settings, unusable } = this.#examined
    if (unusable.has('cache')) return this.#without('cache')
    const state = await folderStateApart(resolve(settings.cache), FOLDER_TIMEOUT_MS)
    return judgeCache(state, { usedBytes: 0, maxBytes: settings.cacheMaxBytes }, false)
  }

  async #clients(status: AgentStatus | undefined): Promise<Finding> {
    const text = status?.listen
    const listen = text === undefined ? this.#address('listen') : parseHostPort(text)
    if (listen === undefined) return this.#without('listen')
    const clients = await inspectClientConfig({ root: this.#around.hostRoot })
    return judgeClients(clients, listen, this.#around, status?.unservedRegistries)
  }

  /** Runs one check to its end or to its time limit, whatever it does. */
  async #check(name: CheckName, look: () => Promise<Finding>): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const limit = new Promise<Finding>((settle) => {
      timer = setTimeout(
        () =>
          settle(
            failure(
              `this took longer than ${CHECK_TIMEOUT_MS / 1000} s`,
              'Try again; this machine or its network may be overloaded.',
            ),
          ),
        CHECK_TIMEOUT_MS,
      )
    })
    const found = look().catch((error: unknown) =>
      failure(
        `this could not be found out: ${error instanceof Error ? error.message : String(error)}`,
        'Try again; if it stays so, it is a bug of Shoal’s.',
      ),
    )
    this.#findings.set(name, await Promise.race([found, limit]))
    clearTimeout(timer)
  }

  #address(key: 'listen' | 'peerListen'): HostPort | undefined {
    const { settings, unusable } = this.#examined
    if (unusable.has(key)) return undefined
    const address = parseHostPort(settings[key])
    assert(address !== undefined, 'addresses were checked with the settings')
    return address.port === 0 ? undefined : address
  }

  #without(key: keyof AgentSettings): Finding {
    if (this.#examined.unusable.has(key)) return skipped(`\`${key}\` cannot be used`)
    return skipped(`\`${key}\` has port 0, which the system chooses; give the real one`)
  }
}

function noAgent(sight: AgentSight | undefined): Finding {
  return skipped(
    sight?.kind === 'closed' ? 'the agent is not running' : 'no agent answers at its registry port',
  )
}

/** What the agent that runs has otherwise than what was read now. */
function differencesOf(settings: AgentSettings, status: AgentStatus): string[] {
  const differences: string[] = []
  const compare = (key: string, here: string | number, there: string | number) => {
    if (here !== there) differences.push(`${key} is ${there}, here ${here}`)
  }
  const listen = parseHostPort(settings.listen)
  if (listen !== undefined) compare('listen', formatHostPort(listen), status.listen)
  compare('seeder', settings.seeder, status.seeder)
  const peerListen = parseHostPort(settings.peerListen)
  if (peerListen?.port !== 0)
    compare('peerListen', peerListen === undefined ? '' : formatHostPort(peerListen), status.peerListen)
  // It may come from elsewhere where nothing sets it.
  if (settings.zone !== '') compare('zone', settings.zone, status.zone)
  compare('cacheMaxBytes', settings.cacheMaxBytes, status.cache.maxBytes)
  // What is relative depends on where the agent was started.
  if (settings.cache.startsWith('/')) compare('cache', resolve(settings.cache), status.cache.folder)
  return differences
}

function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[(.*)\]$/, '$1')
}

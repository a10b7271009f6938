/**
 * Goal: Marathon and Nomad take the files of deploy/, and what they then start is what was meant.
 * Method: closed schemas after what both document, which must also refuse what is wrong; the words and variables go through
 * Shoal's own settings.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { describe, expect, test } from 'vitest'
import { MarathonApp } from './marathon-app.ts'
import { NomadJob } from './nomad-job.ts'
import { startedService } from './service-settings.ts'

const DEPLOY = fileURLToPath(new URL('../../deploy', import.meta.url))
const read = (path: string) => JSON.parse(readFileSync(join(DEPLOY, path), 'utf8'))
const LOCKED = { image: 'registry.example.com/shoal:0.1.0' }
/** Above the ten seconds that a service takes to stop at most. */
const STOP_SECONDS_MIN = 11

/** The document with one thing changed at a path such as `Job.TaskGroups.0.Name`; `undefined` takes it away. */
function changed(document: unknown, path: string, value: unknown): unknown {
  const copy = structuredClone(document)
  const keys = path.split('.')
  const last = keys.pop()!
  // biome-ignore lint/suspicious/noExplicitAny: any document
  const parent = keys.reduce((at: any, key) => at[key], copy)
  expect(typeof parent, path).toBe('object')
  if (value === undefined) delete parent[last]
  else parent[last] = value
  return copy
}

describe('Marathon', () => {
  const app = Compile(MarathonApp)

  describe.each(['agent', 'seeder'] as const)('the %s', (role) => {
    const document: Static<typeof MarathonApp> = read(`marathon/shoal-${role}.json`)

    test('is an app', () => {
      expect([...app.Errors(document)]).toEqual([])
      expect(document.container.docker).toMatchObject(LOCKED)
    })

    test.each<[string, unknown]>([
      ['instance', 1],
      ['instances', -1],
      ['instances', '10'],
      ['id', '/Shoal'],
      ['args', undefined],
      ['cmd', 'shoal agent'],
      ['container.docker.network', 'HOST'],
      ['container.docker.parameters.0.value', true],
      ['container.type', 'PODMAN'],
      ['networks.0.mode', 'HOST'],
      ['portDefinitions.0.port', 70_000],
      ['portDefinitions.0.name', 'The registry'],
      ['constraints.0', ['hostname', 'ONCE']],
      ['constraints.0', ['hostname', 'CLUSTER']],
      ['healthChecks.0.protocol', 'EXEC'],
      ['healthChecks.0.intervalSeconds', '30'],
      ['env.SHOAL_LISTEN', 5001],
      ['upgradeStrategy.minimumHealthCapacity', 90],
    ])('with %s: %j it is none', (path, value) => {
      expect(app.Check(changed(document, path, value))).toBe(false)
    })

    test('starts the service, on the ports that it reserves, with time to stop', () => {
      const { settings, warnings, role: started } = startedService(document.args, document.env)
      expect({ started, warnings }).toEqual({ started: role, warnings: [] })
      const ports = document.portDefinitions.map(({ port }) => port)
      expect(ports).toEqual([settings.listen, settings.peerListen].map((listen) => portOf(listen)))
      expect(document.requirePorts).toBe(true)
      expect(document.taskKillGracePeriodSeconds).toBeGreaterThanOrEqual(STOP_SECONDS_MIN)
      const given = document.container.docker.parameters!.map(({ key, value }) => `${key}=${value}`)
      for (const one of ['read-only=true', 'cap-drop=ALL', `volume=shoal-${role}:/var/lib/shoal`])
        expect(given).toContain(one)
    })
  })

  test('the agent is on every host once, and is asked by its own command, since it listens on loopback', () => {
    const { constraints, healthChecks } = read('marathon/shoal-agent.json')
    expect(constraints).toEqual([['hostname', 'UNIQUE']])
    expect(healthChecks).toMatchObject([{ protocol: 'COMMAND', command: { value: 'shoal health agent' } }])
  })
})

describe('Nomad', () => {
  const job = Compile(NomadJob)

  describe.each(['agent', 'seeder'] as const)('the %s', (role) => {
    const document: Static<typeof NomadJob> = read(`nomad/shoal-${role}.nomad.json`)
    const [group] = document.Job.TaskGroups
    const [task] = group!.Tasks

    test('is a job', () => {
      expect([...job.Errors(document)]).toEqual([])
      expect(task!.Config).toMatchObject({ ...LOCKED, readonly_rootfs: true, cap_drop: ['ALL'] })
    })

    test.each<[string, unknown]>([
      ['Jobs', {}],
      ['Job.Type', 'daemon'],
      ['Job.ID', undefined],
      ['Job.Datacenters', 'dc1'],
      ['Job.TaskGroups', []],
      ['Job.TaskGroups.0.Network', []],
      ['Job.TaskGroups.0.Networks.0.Mode', 'Host'],
      ['Job.TaskGroups.0.Networks.0.ReservedPorts.0.Value', 0],
      ['Job.TaskGroups.0.RestartPolicy.Interval', '10m'],
      ['Job.TaskGroups.0.Tasks.0.Driver', undefined],
      ['Job.TaskGroups.0.Tasks.0.KillTimeout', 15],
      ['Job.TaskGroups.0.Tasks.0.Config.read_only', true],
      ['Job.TaskGroups.0.Tasks.0.Config.image', ''],
      ['Job.TaskGroups.0.Tasks.0.Config.mount.1.source', 'tmp'],
      ['Job.TaskGroups.0.Tasks.0.Config.mount.0.type', 'named'],
      ['Job.TaskGroups.0.Tasks.0.Env.SHOAL_LISTEN', 5001],
      ['Job.TaskGroups.0.Tasks.0.Resources.Memory', 512],
    ])('with %s: %j it is none', (path, value) => {
      expect(job.Check(changed(document, path, value))).toBe(false)
    })

    test('starts the service, on the ports that it reserves, with time to stop', () => {
      const { settings, warnings, role: started } = startedService(task!.Config.args ?? [], task!.Env ?? {})
      expect({ started, warnings }).toEqual({ started: role, warnings: [] })
      const ports = group!.Networks[0]!.ReservedPorts.map(({ Value: value }) => value)
      expect(ports).toEqual([settings.listen, settings.peerListen].map((listen) => portOf(listen)))
      expect(task!.KillTimeout! / 1e9).toBeGreaterThanOrEqual(STOP_SECONDS_MIN)
      expect(task!.Config.network_mode).toBe(group!.Networks[0]!.Mode)
    })
  })

  test('the agent is a system job, and the seeder one service that is checked', () => {
    expect(read('nomad/shoal-agent.nomad.json').Job.Type).toBe('system')
    const { Job: seeder } = read('nomad/shoal-seeder.nomad.json')
    expect(seeder).toMatchObject({ Type: 'service', TaskGroups: [{ Count: 1 }] })
    const [service] = seeder.TaskGroups[0].Services
    expect(seeder.TaskGroups[0].Networks[0].ReservedPorts[0].Label).toBe(service.PortLabel)
  })
})

test('what a file could have wrong about the service is found', () => {
  expect(() => startedService(['registry'], {})).toThrow(/is no service/)
  expect(() => startedService(['agent', '--cache-size', '1GiB'], {})).toThrow(/cache-size/)
  expect(() => startedService(['agent'], { SHOAL_SEEDER: '10.0.0.10:7000' })).toThrow(/an http or https URL/)
  expect(startedService(['agent'], { SHOAL_CACHE_SIZE: '1GiB' }).warnings).toHaveLength(1)
})

function portOf(listen: unknown): number {
  return Number(/:(\d+)$/.exec(String(listen))?.[1])
}

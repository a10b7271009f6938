/**
 * systemd cannot run where tests run, so that what its units leave a service is given to it by Docker: the system calls that
 * `SystemCallFilter` allows, no capability, a read-only system.
 */
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { freePort } from '../../support/free-port.ts'
import { type ImageEngine, REPOSITORY } from '../../support/image-engine.ts'
import { buildImage } from '../../support/images.ts'
import { randomLayers } from '../../support/layers.ts'
import { runProcess } from '../../support/process.ts'
import { pullImage, pushImage } from '../../support/push.ts'
import { startContainer, stopContainer, untilHealth } from './container.ts'

const ROLES = ['seeder', 'agent'] as const

export function systemCallsSuite(use: () => ImageEngine): void {
  afterAll(() => use().engine.docker(['rm', '--force', '--volumes', ...ROLES.map((role) => `unit-${role}`)]))

  test('both services do their work with the system calls that their units allow', async () => {
    const [seeder, agent] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`]
    for (const role of ROLES) {
      const profile = join(use().folder.path, `${role}.seccomp.json`)
      await writeFile(profile, JSON.stringify(await seccompProfile(role)))
      const env = {
        SHOAL_LISTEN: role === 'seeder' ? seeder : agent,
        SHOAL_PEER_LISTEN: `127.0.0.1:${await freePort()}`,
        ...(role === 'agent' && { SHOAL_SEEDER: `http://${seeder}` }),
      }
      const options = ['--security-opt', `seccomp=${profile}`]
      await startContainer(use(), { name: `unit-${role}`, env, args: [role], options })
    }
    for (const role of ROLES) await untilHealth(use(), `unit-${role}`)
    const image = buildImage({
      layers: await randomLayers({ count: 2, contentBytes: 500_000, seed: 'calls' }),
    })
    await pushImage(`http://${seeder}`, 'team/app', '1', image)
    await pullImage(`http://${agent}`, 'team/app', '1')
    for (const role of ROLES) expect(await stopContainer(use(), `unit-${role}`)).toBe(0)
  })
}

/** What SystemCallFilter= says, as Docker wants it. */
async function seccompProfile(role: string): Promise<object> {
  const unit = readFileSync(join(REPOSITORY, `deploy/systemd/shoal-${role}.service`), 'utf8')
  const lines = [...unit.matchAll(/^SystemCallFilter=(~?)(.+)$/gm)]
  expect(lines.length).toBeGreaterThan(0)
  const allowed = new Set<string>()
  for (const [, not, sets] of lines) {
    for (const set of sets!.split(' ')) {
      for (const call of await callsOf(set)) {
        if (not) allowed.delete(call)
        else allowed.add(call)
      }
    }
  }
  expect(allowed.size).toBeGreaterThan(100)
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    archMap: [{ architecture: 'SCMP_ARCH_X86_64' }, { architecture: 'SCMP_ARCH_AARCH64' }],
    syscalls: [{ names: [...allowed], action: 'SCMP_ACT_ALLOW' }],
  }
}

/** A set of system calls may name further sets. */
async function callsOf(name: string): Promise<string[]> {
  if (!name.startsWith('@')) return [name]
  const { stdout } = await runProcess('systemd-analyze', ['syscall-filter', name])
  const names = stdout
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && line !== name && !line.startsWith('#'))
  return (await Promise.all(names.map(callsOf))).flat()
}

/**
 * Goal: the units are right, and leave a service little of the machine.
 * Method: systemd's own judgement, offline; what they start goes through Shoal's own settings. That the services work within
 * these bounds is tested with the image (test/e2e/image).
 */
import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { describeWith } from '../support/describe-with.ts'
import { ProcessEndedError, runProcess } from '../support/process.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { startedService } from './service-settings.ts'

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
const EXPOSURE_MAX = 3.0
/** What docs/install/hosts.md says. */
const EXPOSURE = '1.4'
const unitPath = (role: string) => join(REPOSITORY, `deploy/systemd/shoal-${role}.service`)

describeWith(['systemd-analyze'], 'the systemd units', () => {
  test.each(['seeder', 'agent'])('of the %s is little exposed', async (role) => {
    // --threshold counts in tenths of a point.
    const words = ['security', '--offline=true', `--threshold=${EXPOSURE_MAX * 10 - 1}`, unitPath(role)]
    const { stdout } = await runProcess('systemd-analyze', words)
    const exposure = /Overall exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1]
    expect(Number(exposure)).toBeLessThan(EXPOSURE_MAX)
    expect(exposure).toBe(EXPOSURE)
    expect(readFileSync(join(REPOSITORY, 'docs/install/hosts.md'), 'utf8')).toContain(
      `\`systemd-analyze security\` says ${EXPOSURE}.`,
    )
  })

  test('without its bounds it would be much exposed: the judgement is one', async () => {
    await using folder = await temporaryFolder('unit')
    const bare = '[Service]\nExecStart=/bin/true\n'
    await writeFile(join(folder.path, 'bare.service'), bare)
    const words = ['security', '--offline=true', '--threshold=29', join(folder.path, 'bare.service')]
    await expect(runProcess('systemd-analyze', words)).rejects.toThrow(ProcessEndedError)
  })

  test.each(['seeder', 'agent'])(
    'of the %s is verified, with the drop-in of the documentation',
    async (role) => {
      await using folder = await temporaryFolder('unit')
      const at = (path: string) => join(folder.path, path)
      const name = `shoal-${role}.service`
      await mkdir(at(`${name}.d`))
      // The program has to be there for systemd.
      const unit = readFileSync(unitPath(role), 'utf8').replaceAll('/opt/shoal', folder.path)
      await mkdir(at('bin'))
      await writeFile(at('bin/shoal'), '#!/bin/sh\n', { mode: 0o755 })
      await writeFile(at(name), unit)
      await writeFile(at(`${name}.d/token.conf`), dropIn())
      const { stdout, stderr } = await runProcess('systemd-analyze', ['verify', at(name)])
      expect(stdout + stderr).toBe('')
      // systemd has read both, and would have said so.
      await writeFile(at(name), unit.replace('ProtectSystem=strict', 'ProtectSystem=very'))
      await writeFile(at(`${name}.d/token.conf`), dropIn().replace('api-token:', ''))
      const wrong = (await runProcess('systemd-analyze', ['verify', at(name)])).stderr
      expect(wrong).toMatch(/shoal-\w+\.service:\d+: .*very/)
      expect(wrong).toContain('token.conf:2')
    },
  )

  test.each(['seeder', 'agent'] as const)(
    'of the %s starts what it says, and waits until it ended',
    (role) => {
      const unit = readFileSync(unitPath(role), 'utf8')
      const value = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(unit)?.[1] ?? ''
      const [program, ...words] = value('ExecStart').split(' ')
      expect([program, ...words.slice(-2)]).toEqual([
        '/opt/shoal/bin/shoal',
        '--config',
        `/etc/shoal/${role}.yaml`,
      ])
      const variables = Object.fromEntries(
        value('Environment')
          .split(' ')
          .map((pair) => pair.split('=') as [string, string]),
      )
      const { warnings, settings } = startedService(words.slice(0, -2), variables)
      expect(warnings).toEqual([])
      // All that is written lies where the unit lets it.
      const state = value('StateDirectory')
        .split(' ')
        .map((path) => `/var/lib/${path}`)
      const written = role === 'seeder' ? [settings.data, settings.origin] : [settings.cache]
      expect(state.toSorted()).toEqual(written.toSorted())
      expect(Number(value('TimeoutStopSec'))).toBeGreaterThan(10)
      expect(Number(value('LimitNOFILE'))).toBeGreaterThanOrEqual(65_536)
      expect(value('Restart')).toBe('always')
      // Node compiles to machine code.
      expect(unit).not.toMatch(/^MemoryDenyWriteExecute=/m)
    },
  )
})

function dropIn(): string {
  const page = readFileSync(join(REPOSITORY, 'docs/install/hosts.md'), 'utf8')
  const text = /```ini\n([\s\S]*?)```/.exec(page)?.[1]
  if (text === undefined) throw new Error('the page has no drop-in')
  return text
}

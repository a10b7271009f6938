/**
 * docs/install/hosts.md, typed as it stands, in folders that stand for /opt and /etc. Where the page starts a unit, the unit's
 * own command is run, with its own environment: systemd itself cannot run here.
 */
import { readFileSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort } from '../../support/free-port.ts'
import { type ImageEngine, REPOSITORY } from '../../support/image-engine.ts'
import { buildImage } from '../../support/images.ts'
import { randomLayers } from '../../support/layers.ts'
import type { PageCommands } from '../../support/page-commands.ts'
import { runPage } from '../../support/page-runner.ts'
import { jsonEvent, type RunningProcess, runProcess, startProcess } from '../../support/process.ts'
import { pullImage, pushImage } from '../../support/push.ts'
import { type TemporaryFolder, temporaryFolder } from '../../support/temporary-folder.ts'

export function hostsPageSuite(use: () => ImageEngine): void {
  let root: TemporaryFolder
  const units = new Map<string, RunningProcess>()
  beforeAll(async () => {
    root = await temporaryFolder('host')
  })
  afterAll(async () => {
    for (const unit of units.values()) await unit.stop()
    await root?.remove()
  })

  test('every command of the page does what it says', async () => {
    const at = (path: string) => join(root.path, path)
    for (const path of ['opt', 'etc/systemd/system', 'usr/local/bin', 'archives', 'var/lib'])
      await mkdir(at(path), { recursive: true })
    const ports = await Promise.all(Array.from({ length: 4 }, () => freePort()))
    const [seeder, seederPeers, agent, agentPeers] = ports.map((port) => `127.0.0.1:${port}`) as [
      string,
      string,
      string,
      string,
    ]
    const archive = `shoal-0.1.0-linux-${process.arch}.tar.gz`
    const { environment, image } = use()
    const env = { ...environment, PATH: `${at('usr/local/bin')}:${environment.PATH}` }
    const substitutions = {
      'npm run package': `npm run package -- --out ${at('archives')}`,
      'shoal-0.1.0-linux-x64.tar.gz': at(`archives/${archive}`),
      '/usr/local/bin': at('usr/local/bin'),
      '/etc/shoal': at('etc/shoal'),
      '/etc/systemd': at('etc/systemd'),
      '/opt': at('opt'),
      'registry.example.com/shoal:0.1.0': image,
      'shoal install-client': `shoal install-client --root ${root.path}`,
      'shoal uninstall-client': `shoal uninstall-client --root ${root.path}`,
      'up agent ': `up agent --listen ${agent} `,
      '10.0.0.10:7000': seeder,
      '10.0.0.10:7001': seederPeers,
      '127.0.0.1:5001': agent,
      '10.0.0.21:6001': agentPeers,
    }
    const instead = async ({ script }: PageCommands) => {
      const name = /systemctl enable --now (shoal-\w+)/.exec(script)?.[1]
      if (name === undefined) return
      await verifyUnits(at)
      units.set(name, await startUnit(name, at))
    }
    const page = readFileSync(join(REPOSITORY, 'docs/install/hosts.md'), 'utf8')
    const outputs = await runPage({ page, cwd: REPOSITORY, env, substitutions, instead })
    await expectReproducible(at(`archives/${archive}`))
    expect([...units.keys()]).toEqual(['shoal-seeder', 'shoal-agent'])
    const said = outputs.map(({ stdout }) => stdout).join('')
    expect(said).toContain('shoal-agent is ready')
    expect(said).toMatch(/^ok +test-pull/m)
    expect(said).toContain(`ready: ${seeder}\nready: ${agent}\n`)

    const pushed = buildImage({
      layers: await randomLayers({ count: 2, contentBytes: 500_000, seed: 'host' }),
    })
    await pushImage(`http://${seeder}`, 'team/app', '1', pushed)
    await pullImage(`http://${agent}`, 'team/app', '1')
    for (const unit of units.values()) expect(await unit.stop()).toEqual({ code: 0, signal: null })
  }, 300_000)
}

/** Nothing in it comes from the machine or the moment that it was packed at. */
async function expectReproducible(archive: string): Promise<void> {
  const { stdout } = await runProcess('tar', ['--utc', '--full-time', '--numeric-owner', '-tvzf', archive])
  const lines = stdout.trim().split('\n')
  expect(lines.length).toBeGreaterThan(1_000)
  const loose = lines.filter((line) => !/^\S+ 0\/0 +\d+ 1970-01-01 00:00:00 shoal\//.test(line))
  expect(loose).toEqual([])
  // The header of gzip has a time as well.
  expect((await readFile(archive)).subarray(4, 8)).toEqual(Buffer.alloc(4))
}

/** With the paths of this host, so that systemd finds the program. */
async function verifyUnits(at: (path: string) => string): Promise<void> {
  for (const name of ['seeder', 'agent']) {
    const unit = at(`opt/shoal/systemd/shoal-${name}.service`)
    const here = (await readFile(unit, 'utf8')).replaceAll('/opt/shoal', at('opt/shoal'))
    const script = 'mkdir -p "$1" && cat > "$1/$2" && systemd-analyze verify "$1/$2"'
    const words = ['-ec', script, 'sh', at('verify'), `shoal-${name}.service`]
    const { stderr } = await runProcess('sh', words, { input: Buffer.from(here) })
    expect(stderr).toBe('')
  }
}

/** Runs what `ExecStart` says, with what `Environment` says, where its state lives in the host's folder. */
async function startUnit(name: string, at: (path: string) => string): Promise<RunningProcess> {
  const unit = await readFile(at(`etc/systemd/system/${name}.service`), 'utf8')
  const here = unit
    .replaceAll('/opt/shoal', at('opt/shoal'))
    .replaceAll('/etc/shoal', at('etc/shoal'))
    .replaceAll('/var/lib', at('var/lib'))
  const value = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(here)?.[1] ?? ''
  for (const folder of value('StateDirectory').split(' '))
    await mkdir(at(`var/lib/${folder}`), { recursive: true })
  const [program, ...args] = value('ExecStart').split(' ')
  const running = startProcess(program!, args, {
    cwd: value('WorkingDirectory'),
    env: {
      // Nothing of the checkout's: the archive brings its own Node.
      PATH: '/usr/bin:/bin',
      npm_command: undefined,
      ...Object.fromEntries(
        value('Environment')
          .split(' ')
          .map((pair) => pair.split('=') as [string, string]),
      ),
    },
  })
  await running.waitForLine(jsonEvent('ready'), 30_000)
  return running
}

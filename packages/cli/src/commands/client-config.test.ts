/**
 * Goal: the two commands say what they did and end with the status that scripts and init containers go by; runs at once, and
 * runs that are killed, do no harm.
 * Method: the built command on hosts in temporary folders.
 */

import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type HostTree, hostTree } from '../../../client-config/src/testing/host-tree.ts'
import { startShoal } from '../testing/shoal-process.ts'

const DAEMON = '/etc/docker/daemon.json'

let host: HostTree
beforeEach(() => {
  host = hostTree({ [DAEMON]: '{"debug": true}' })
})
afterEach(() => host[Symbol.dispose]())

const start = (command: string, ...args: string[]) => startShoal([command, '--root', host.root, ...args], {})
const install = (...args: string[]) => start('install-client', ...args).ended
const uninstall = (...args: string[]) => start('uninstall-client', ...args).ended

describe('install-client and uninstall-client', () => {
  test('tell of each file, and what to do', async () => {
    expect(await install('--runtime', 'docker', '--registries', 'docker.io,quay.io')).toEqual({
      status: 0,
      out: `written     ${DAEMON}
note        docker mirrors docker.io only; other images are pulled by their name at the agent: 127.0.0.1:5001/quay.io/…
to do       systemctl reload docker
`,
      err: '',
    })
    expect(await install('--runtime', 'docker')).toEqual({
      status: 0,
      out: `unchanged   ${DAEMON}\n`,
      err: '',
    })
    const { status, out, err } = await uninstall('--runtime', 'docker')
    expect({ status, err }).toEqual({ status: 0, err: '' })
    expect(out).toMatch(/^taken back {2}\/etc\/docker\/daemon\.json\nto do {7}systemctl restart docker/)
    expect(await uninstall('--runtime', 'docker')).toEqual({
      status: 0,
      out: 'note        nothing of Shoal is installed for docker\n',
      err: '',
    })
  })

  test('end with 1 where something was left, and with 0 where that was allowed', async () => {
    host.put(DAEMON, '{')
    const left = expect.stringMatching(
      /^left {8}\/etc\/docker\/daemon\.json: is not valid JSON .*; mend it and run this again\n$/,
    )
    expect(await install('--runtime', 'docker')).toEqual({ status: 1, out: left, err: '' })
    expect(await install('--runtime', 'docker', '--best-effort')).toEqual({ status: 0, out: left, err: '' })
  })

  test('end with 1 where nothing can be done at all, and with 0 where that was allowed', async () => {
    host.put('/var/lib/shoal/client/record.json', '{}')
    const failed = { out: '', err: expect.stringMatching(/^error: .*record\.json cannot be used: /) }
    expect(await install('--runtime', 'docker')).toEqual({ status: 1, ...failed })
    expect(await install('--runtime', 'docker', '--best-effort')).toEqual({ status: 0, ...failed })
    expect(await uninstall()).toEqual({ status: 1, ...failed })
  })

  test.each([
    ['no runtime', []],
    ['a runtime that is none', ['--runtime', 'rkt']],
    ['a registry that is none', ['--runtime', 'docker', '--registries', '../..']],
    ['no registry', ['--runtime', 'docker', '--registries', ',']],
    ['an agent that is none', ['--runtime', 'docker', '--agent', 'http://127.0.0.1:5001', '--best-effort']],
    ['an argument', ['--runtime', 'docker', 'now']],
  ])('end with 2 on %s', async (_what, args) => {
    const before = host.picture()
    const { status, out, err } = await install(...args)
    expect({ status, out }).toEqual({ status: 2, out: '' })
    expect(err).toMatch(/^error: /)
    expect(host.picture()).toEqual(before)
  })
})

describe('several runs', () => {
  test('at once end as one would', async () => {
    const before = host.picture()
    const runtimes = ['containerd', 'crio', 'podman', 'docker']
    const ended = await Promise.all(
      [...runtimes, 'docker', 'docker'].map((runtime) => install('--runtime', runtime)),
    )
    expect(ended.map(({ status, err }) => ({ status, err }))).toEqual(
      ended.map(() => ({ status: 0, err: '' })),
    )
    const written = ended.flatMap(({ out }) => out.split('\n').filter((line) => line.startsWith('written')))
    expect(written.map((line) => line.split('/').at(-1)).sort()).toEqual([
      '50-shoal.conf',
      'config.toml',
      'daemon.json',
      'hosts.toml',
    ])
    const mixed = await Promise.all([uninstall(), install('--runtime', 'docker'), uninstall(), uninstall()])
    expect(mixed.map(({ status, err }) => ({ status, err }))).toEqual(
      mixed.map(() => ({ status: 0, err: '' })),
    )
    await uninstall()
    expect(host.picture()).toEqual(before)
  })

  test('wait for each other: the lock is let go of by whoever dies', async () => {
    await install('--runtime', 'docker')
    const lock = new DatabaseSync(join(host.root, '/var/lib/shoal/client/lock'))
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
    const waiting = start('uninstall-client')
    // Killed while it waits, and nobody is the worse for it.
    const killed = start('uninstall-client')
    killed.child.kill('SIGKILL')
    await killed.ended
    expect(host.text(DAEMON)).toContain('registry-mirrors')
    expect(waiting.child.exitCode).toBe(null)
    lock.close()
    expect((await waiting.ended).status).toBe(0)
    expect(host.text(DAEMON)).toBe('{"debug": true}')
  })
})

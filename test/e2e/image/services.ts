/** A seeder and two agents from the image, a push and pulls by Docker; how they are found, and how they end. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort } from '../../support/free-port.ts'
import { type ImageEngine, REPOSITORY } from '../../support/image-engine.ts'
import { buildImage } from '../../support/images.ts'
import { randomLayers } from '../../support/layers.ts'
import { pullImage, pushImage } from '../../support/push.ts'
import { startContainer, stopContainer, untilHealth } from './container.ts'

const NAMES = ['seeder', 'agent-1', 'agent-2']
/** e_machine of ELF, for aarch64. */
const AARCH64 = 'b700'

export function imageServicesSuite(use: () => ImageEngine): void {
  const listen: Record<string, string> = {}
  const docker = async (...args: string[]) => (await use().engine.docker(args)).stdout.trim()
  const exec = (name: string, script: string) => docker('exec', name, 'sh', '-c', script)
  const start = async (name: string) => {
    const role = name.split('-')[0]!
    const env = {
      SHOAL_LISTEN: listen[name]!,
      SHOAL_PEER_LISTEN: `127.0.0.1:${await freePort()}`,
      ...(role === 'agent' && { SHOAL_SEEDER: `http://${listen.seeder}` }),
    }
    await startContainer(use(), { name, env, args: [role] })
  }
  beforeAll(async () => {
    for (const name of NAMES) {
      listen[name] = `127.0.0.1:${await freePort()}`
      await start(name)
    }
  })
  afterAll(() => docker('rm', '--force', '--volumes', ...NAMES, 'mistaken'))

  test('as a seeder and two agents that Docker finds healthy', async () => {
    for (const name of NAMES) await untilHealth(use(), name)
  })

  test('what is pushed to the seeder is pulled through both agents', async () => {
    const layers = await randomLayers({ count: 3, contentBytes: 2_000_000, seed: 'image' })
    const image = buildImage({ layers })
    await pushImage(`http://${listen.seeder}`, 'team/data', '1', image)
    for (const name of ['agent-1', 'agent-2']) await pullImage(`http://${listen[name]}`, 'team/data', '1')
    // And by Docker itself, which must not have its layers from before.
    const pushed = `${listen.seeder}/team/small:1`
    await docker('tag', use().smallImage, pushed)
    const digest = /digest: (sha256:[0-9a-f]{64})/.exec(await docker('push', pushed))?.[1]
    expect(digest).toBeDefined()
    for (const name of ['agent-1', 'agent-2']) {
      const pulled = `${listen[name]}/team/small:1`
      expect(await docker('pull', pulled)).toContain(`Digest: ${digest}`)
      await docker('rmi', pulled)
    }
  })

  test('without rights: not root, one process, no capability, nothing to write but its state', async () => {
    for (const name of NAMES) {
      expect(await exec(name, 'id -u; id -g')).toBe('65532\n65532')
      const status = await exec(name, 'cat /proc/1/status')
      expect(status).toMatch(/^CapEff:\t0+$/m)
      expect(status).toMatch(/^NoNewPrivs:\t1$/m)
      // No shell in between that would keep the signal of `docker stop`.
      expect(await exec(name, 'cat /proc/1/cmdline')).toMatch(/^node\0.*\/opt\/shoal\/bin\/shoal\0/)
      for (const path of ['/opt/shoal/x', '/etc/x', '/x'])
        await expect(exec(name, `echo > ${path}`)).rejects.toThrow(/[Rr]ead-only file system/)
      await exec(name, 'echo > /tmp/x && echo > /var/lib/shoal/x')
    }
  })

  test('ends with 0 when it is stopped, and finds its volume again', async () => {
    for (const name of ['agent-2', 'seeder']) {
      expect(await stopContainer(use(), name)).toBe(0)
      await docker('rm', name)
      await start(name)
    }
    for (const name of ['agent-2', 'seeder']) await untilHealth(use(), name)
    await pullImage(`http://${listen['agent-2']}`, 'team/data', '1')
    for (const name of NAMES) expect(await stopContainer(use(), name)).toBe(0)
  })

  test('is found unhealthy when it does not serve where it should', async () => {
    // Flags cannot be seen by the health check, which asks where the variable says.
    const [told, real] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`]
    const env = { SHOAL_LISTEN: told, SHOAL_PEER_LISTEN: '127.0.0.1:0' }
    await startContainer(use(), { name: 'mistaken', env, args: ['seeder', '--listen', real] })
    await untilHealth(use(), 'mistaken', 'unhealthy')
  })

  test('every command, as one would try it', async () => {
    const run = (...args: string[]) =>
      docker('run', '--rm', '--network', 'none', '--read-only', use().image, ...args)
    expect(await run()).toContain('Usage: shoal')
    expect(await run('--version')).toMatch(/^\d+\.\d+\.\d+$/)
    expect(await run('fanout', 'sim', '--nodes', '4', '--image-size', '1MB', '--json')).toContain('"nodes":4')
  })

  test('is built for arm64 on a machine that is not', async () => {
    const { buildWords, armBaseImage, engine, environment } = use()
    const words = ['--platform', 'linux/arm64', '--build-arg', `BASE=${armBaseImage}`]
    await engine.docker(
      ['build', ...buildWords, ...words, '-f', 'deploy/Dockerfile', '-t', 'shoal:arm64', '.'],
      { cwd: REPOSITORY, env: environment, timeoutMs: 180_000 },
    )
    expect(await docker('inspect', '--format', '{{.Architecture}}', 'shoal:arm64')).toBe('arm64')
    // Nothing of it can be run here: the tree is taken out, and looked at by a container that can.
    const container = await docker('create', 'shoal:arm64', 'none')
    const folder = `${use().folder.path}/arm64-tree`
    await docker('cp', `${container}:/opt/shoal/node_modules`, folder)
    await docker('rm', container)
    const script = `
      const { readdirSync, readFileSync } = require('node:fs')
      for (const path of readdirSync('/tree', { recursive: true }).filter((name) => name.endsWith('.node')))
        console.log(readFileSync('/tree/' + path).subarray(18, 20).toString('hex'))
      console.log(readdirSync('/tree/@msgpackr-extract').join())`
    const look = ['--rm', '--volume', `${folder}:/tree:ro`, '--entrypoint', 'node', use().image]
    // Packages for the processor, and no file for another: with glibc none of them has one for arm64.
    const [packages, ...machines] = (await docker('run', ...look, '-e', script)).split('\n').toReversed()
    expect(packages).toBe('msgpackr-extract-linux-arm64')
    expect(machines.filter((machine) => machine !== AARCH64)).toEqual([])
  })
}

/**
 * Goal: a person who types what docs/install/clients.md says, from top to bottom, gets images through the agent with every
 * client, and in the end has the host of before.
 * Method: the page's own blocks in a shell, with the real clients; `shoal` and the clients are told where the host's files are,
 * registry, agent and image are the test's.
 */
import { chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { hostTree } from '../../packages/client-config/src/testing/host-tree.ts'
import { startContainerd } from '../support/containerd.ts'
import { type ContainersTool, startPodman, startSkopeo } from '../support/containers-image.ts'
import { describeWith } from '../support/describe-with.ts'
import { startMirroredDockerHub, startOwnDockerHub } from '../support/docker-hub.ts'
import { startDockerd } from '../support/dockerd.ts'
import { pageCommands } from '../support/page-commands.ts'
import { runProcess } from '../support/process.ts'
import { pushImage } from '../support/push.ts'
import { runnableImage } from '../support/runnable-image.ts'
import { BIN } from '../support/shoal.ts'

const page = await readFile(fileURLToPath(new URL('../../docs/install/clients.md', import.meta.url)), 'utf8')
const FILES = {
  '/etc/containerd/config.toml': 'version = 2\n',
  '/etc/docker/daemon.json': '{\n  "log-driver": "json-file"\n}\n',
}

describeWith(['containerd', 'podman', 'skopeo', 'dockerd', 'ldd'], 'docs/install/clients.md', () => {
  it('can be typed from top to bottom', async () => {
    await using stack = new AsyncDisposableStack()
    const registry = stack.use(await startOwnDockerHub())
    const image = await runnableImage({ args: ['official'] })
    await pushImage(registry.seeder.url, 'library/app', '1', image)
    const seederArgs = ['--default-upstream', 'docker.io']
    const hub = stack.use(
      await startMirroredDockerHub({ registryUrl: registry.seeder.url, agents: 1, seederArgs }),
    )
    const host = stack.use(hostTree(FILES))
    // podman and skopeo look for drop-ins of a user here.
    const home = join(host.root, 'home')
    await mkdir(join(home, '.config/containers'), { recursive: true })
    await symlink('/home/.config/containers', join(host.root, 'etc/containers'))
    const [containerd, podman, skopeo, engine] = [
      stack.use(await startContainerd()),
      stack.use(await startPodman()),
      stack.use(await startSkopeo()),
      stack.use(
        await startDockerd({
          args: [`--config-file=${join(host.root, 'etc/docker/daemon.json')}`],
          env: hub.outside.environment,
        }),
      ),
    ]
    await writeFile(
      join(home, '.config/containers/policy.json'),
      '{"default": [{"type": "insecureAcceptAnything"}]}',
    )
    const before = host.picture()
    const agent = hub.cluster.agents[0]!
    const programs = join(containerd.hostsFolder, 'programs')
    await writePrograms(programs, {
      shoal: `case $1 in install-client) set -- "$@" --agent ${agent.host};; esac
exec ${process.execPath} ${BIN} "$@" --root ${host.root}`,
      ctr: `exec ${await whereIs('ctr')} --address ${containerd.address} "$@"`,
      podman: await wrapped(podman, home),
      skopeo: await wrapped(skopeo, home),
    })
    const blocks = pageCommands(page, {
      '/etc/containerd/certs.d': join(host.root, 'etc/containerd/certs.d'),
      '127.0.0.1:5001': agent.host,
      'docker.io,quay.io': `docker.io=${hub.proxy.url},quay.io`,
      'alpine:3': 'app:1',
    })
    const env = {
      // curl, unlike what is written in Go, would go through it to this machine too.
      no_proxy: '127.0.0.1',
      ...hub.outside.environment,
      ...engine.environment,
      PATH: [programs, process.env.PATH].join(delimiter),
    }
    let served = 0
    for (const { script, line, notRun } of blocks) {
      if (notRun !== undefined) {
        if (script.includes('reload docker')) process.kill(engine.pid, 'SIGHUP')
        continue
      }
      if (script.includes('docker pull')) await untilMirrored(engine.docker, agent.host)
      await runProcess('sh', ['-euc', script], { env }).catch((error: Error) => {
        throw new Error(`the block in line ${line}: ${error.message}`)
      })
      if (!/ (pull|inspect) /.test(script)) continue
      const now = await agent.metric('shoal_agent_served_bytes_total')
      expect(now, `served by the block in line ${line}`).toBeGreaterThan(served)
      served = now
    }
    expect(hub.outside.asked).toEqual([])
    expect(hub.timesLeft('library/app', image)).toEqual(image.blobs.map(() => 1))
    expect(host.picture()).toEqual(before)
  })
})

async function untilMirrored(
  docker: (args: readonly string[]) => Promise<{ stdout: string }>,
  mirror: string,
) {
  const mirrors = async () => (await docker(['info', '--format', '{{json .RegistryConfig.Mirrors}}'])).stdout
  await expect.poll(mirrors, { timeout: 10_000, interval: 50 }).toContain(mirror)
}

async function writePrograms(folder: string, programs: Record<string, string>): Promise<void> {
  await mkdir(folder)
  for (const [name, script] of Object.entries(programs)) {
    await writeFile(join(folder, name), `#!/bin/sh\n${script}\n`)
    await chmod(join(folder, name), 0o755)
  }
}

async function wrapped({ command, environment }: ContainersTool, home: string): Promise<string> {
  const [program, ...flags] = command
  const variables = Object.entries({ ...environment, HOME: home }).map(([name, value]) => `${name}=${value}`)
  return `exec env ${variables.join(' ')} ${await whereIs(program!)} ${flags.join(' ')} "$@"`
}

async function whereIs(program: string): Promise<string> {
  return (await runProcess('sh', ['-c', `command -v ${program}`])).stdout.trim()
}

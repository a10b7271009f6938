/**
 * Goal: each real client, private and in a temporary folder, moves an image between registries and runs it, and leaves
 * no process, mount or file. The image is a program of this machine with its libraries.
 */
import { randomInt } from 'node:crypto'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Containerd, startContainerd } from './containerd.ts'
import { type ContainersTool, startPodman, startSkopeo } from './containers-image.ts'
import { describeWith } from './describe-with.ts'
import { type DockerRegistry, startDockerRegistry } from './docker-registry.ts'
import { type Dockerd, startDockerd } from './dockerd.ts'
import { localArchitecture } from './images.ts'
import { pushImage } from './push.ts'
import { nodeImage, programLayers, runnableImage } from './runnable-image.ts'

describe('real clients as fixtures', () => {
  let registry: DockerRegistry
  let digest: string
  const name = () => `${registry.host}/app/echo:1`

  // Also called by suites that are skipped without the registry: each names it among its components.
  const start = async () => {
    registry = await startDockerRegistry()
    const image = await runnableImage({ args: ['hello', 'from', 'an', 'image'] })
    digest = (await pushImage(registry.url, 'app/echo', '1', image)).digest
  }

  describeWith(['dockerd', 'docker-registry', 'ldd'], 'Docker Engine', () => {
    let engine: Dockerd

    beforeAll(async () => {
      await start()
      engine = await startDockerd()
    })

    afterAll(async () => {
      await engine?.stop()
      await registry?.stop()
    })

    test('pulls and runs an OCI image', async () => {
      await engine.docker(['pull', name()])
      const inspected = await engine.docker(['inspect', '--format', '{{json .RepoDigests}}', name()])
      expect(inspected.stdout).toContain(digest)
      for (const network of ['none', 'host']) {
        const run = await engine.docker(['run', '--rm', '--network', network, name()])
        expect(run.stdout).toBe('hello from an image\n')
      }
    })

    test('runs Node in an image of Docker’s dialect', async () => {
      const image = await nodeImage(`console.log('node', 6 * 7)`)
      await pushImage(registry.url, 'app/node', '1', image)
      const { stdout } = await engine.docker([
        'run',
        '--rm',
        '--network',
        'none',
        `${registry.host}/app/node:1`,
      ])
      expect(stdout).toBe('node 42\n')
    })

    test('imports, builds and pushes', async () => {
      const [layer] = await programLayers('/bin/echo')
      const imported = await engine.docker(['import', '-', 'libraries:1'], { input: layer!.open() })
      expect(imported.stdout).toMatch(/^sha256:/)
      const dockerfile = Buffer.from(`FROM ${name()}\nCMD ["built"]\n`)
      const built = `${registry.host}/app/built:1`
      await engine.docker(['build', '--network', 'none', '--tag', built, '-'], { input: dockerfile })
      await engine.docker(['push', built])
      await engine.docker(['rmi', '--force', built])
      const { stdout } = await engine.docker(['run', '--rm', '--network', 'none', built])
      expect(stdout).toBe('built\n')
    })
  })

  describeWith(['containerd', 'docker-registry', 'ldd'], 'containerd', () => {
    let containerd: Containerd

    beforeAll(async () => {
      await start()
      containerd = await startContainerd()
    })

    afterAll(async () => {
      await containerd?.stop()
      await registry?.stop()
    })

    test('pulls and runs an image', async () => {
      await containerd.ctr(['images', 'pull', '--plain-http', name()])
      expect((await containerd.ctr(['images', 'ls'])).stdout).toContain(digest)
      const { stdout } = await containerd.run(name())
      expect(stdout).toBe('hello from an image\n')
    })
  })

  describeWith(['skopeo', 'docker-registry', 'ldd'], 'skopeo', () => {
    let skopeo: ContainersTool

    beforeAll(async () => {
      await start()
      skopeo = await startSkopeo()
    })

    afterAll(async () => {
      await skopeo?.stop()
      await registry?.stop()
    })

    test('copies an image out of the registry and back in', async () => {
      const layout = `oci:${skopeo.folder}/layout:1`
      await skopeo.run(['copy', '--src-tls-verify=false', `docker://${name()}`, layout])
      const copy = `docker://${registry.host}/app/copy:1`
      await skopeo.run(['copy', '--dest-tls-verify=false', layout, copy])
      const inspected = await skopeo.run(['inspect', '--tls-verify=false', copy])
      expect(JSON.parse(inspected.stdout)).toMatchObject({ Digest: digest, Architecture: localArchitecture })
    })
  })

  describeWith(['podman', 'docker-registry', 'ldd'], 'podman', () => {
    let podman: ContainersTool

    beforeAll(async () => {
      await start()
      podman = await startPodman()
    })

    afterAll(async () => {
      await podman?.stop()
      await registry?.stop()
    })

    test('pulls and runs an image', async () => {
      await podman.run(['pull', '--tls-verify=false', name()])
      expect((await podman.run(['images', '--digests'])).stdout).toContain(digest)
      const { stdout } = await podman.run(['run', '--rm', '--network', 'none', name()])
      expect(stdout).toBe('hello from an image\n')
    })
  })
})

describeWith(['dockerd', 'containerd', 'docker-registry', 'ldd'], 'daemons that were stopped', () => {
  test.each(['in order', 'by a crash'])('%s leave no folder, no mount, no process', async (manner) => {
    await using registry = await startDockerRegistry()
    await using engine = await startDockerd()
    await using containerd = await startContainerd()
    const name = `${registry.host}/sleep:1`
    // A number by which this test's containers are known among all processes.
    const seconds = String(randomInt(1_000_000, 9_000_000))
    await pushImage(
      registry.url,
      'sleep',
      '1',
      await runnableImage({ program: '/bin/sleep', args: [seconds] }),
    )
    await engine.docker(['run', '--detach', '--network', 'none', name])
    await containerd.ctr(['images', 'pull', '--plain-http', name])
    const sleeping = containerd.run(name)
    sleeping.catch(() => {})
    await expect.poll(async () => (await containerd.ctr(['tasks', 'ls'])).stdout).toContain('RUNNING')
    const folders = [engine.socketUrl.slice('unix://'.length), containerd.address].map((path) =>
      dirname(path),
    )

    if (manner === 'by a crash') {
      process.kill(engine.pid, 'SIGKILL')
      process.kill(containerd.pid, 'SIGKILL')
    }
    await Promise.all([engine.stop(), containerd.stop()])
    await expect(sleeping).rejects.toThrow()

    const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    const processes = commandLines()
    expect(processes).not.toContain(`sleep ${seconds}`)
    for (const folder of folders) {
      expect(existsSync(folder)).toBe(false)
      expect(mounts).not.toContain(folder)
      expect(processes).not.toContain(folder)
    }
  })
})

/** What runs on this machine, one line each. */
function commandLines(): string {
  return globSync('/proc/[0-9]*/cmdline')
    .map((path) => {
      try {
        return readFileSync(path, 'utf8').replaceAll('\0', ' ')
      } catch {
        // It ended meanwhile.
        return ''
      }
    })
    .join('\n')
}

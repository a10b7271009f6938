/**
 * Goal: what buildah builds and pushes to the seeder comes back from an agent to the byte, in OCI's and in Docker's dialect.
 * Method: an image from scratch, without a network; the pulled image is mounted in a storage of its own and its files read.
 */
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { type ContainersTool, startBuildah } from '../support/containers-image.ts'
import { describeWith } from '../support/describe-with.ts'
import { type Dialect, mediaTypes } from '../support/images.ts'
import { pullImage } from '../support/push.ts'

describeWith(['buildah'], 'buildah', () => {
  let cluster: Cluster
  let builder: ContainersTool
  // Longer than several pieces, and nothing that compression makes shorter.
  const content = randomBytes(700_000)

  beforeAll(async () => {
    cluster = await startCluster({ agents: 1 })
    builder = await startBuildah()
  })
  afterAll(async () => {
    await builder?.stop()
    await cluster?.stop()
  })

  it.each<{ dialect: Dialect; format: 'oci' | 'v2s2' }>([
    { dialect: 'oci', format: 'oci' },
    { dialect: 'docker', format: 'v2s2' },
  ])('pushes an image of the dialect $dialect, and pulls it from an agent', async ({ dialect, format }) => {
    const { seeder, agents } = cluster
    const digest = await buildAndPush(`docker://${seeder.host}/team/${dialect}:1`, dialect, format)
    const url = `${agents[0]!.url}/v2/team/${dialect}/manifests/1`
    expect((await fetch(url, { method: 'HEAD' })).headers.get('content-type')).toBe(
      mediaTypes[dialect].manifest,
    )

    // Another storage, so that nothing is there before the pull.
    await using puller = await startBuildah()
    const run = async (...args: string[]) => (await puller.run(args)).stdout.trim()
    const id = await run(
      'pull',
      '--quiet',
      '--tls-verify=false',
      `docker://${agents[0]!.host}/team/${dialect}:1`,
    )
    expect(await run('inspect', '--type', 'image', '--format', '{{.FromImageDigest}}', id)).toBe(digest)
    const container = await run('from', '--pull-never', id)
    const mounted = await run('mount', container)
    expect((await readFile(join(mounted, 'data/random.bin'))).equals(content)).toBe(true)
    expect(await readFile(join(mounted, 'data/dialect'), 'utf8')).toBe(dialect)
  })

  it('pushes it a second time under another name without sending a layer again', async () => {
    const { seeder, agents } = cluster
    const digest = await buildAndPush(`docker://${seeder.host}/team/twice:1`, 'oci', 'oci')
    const pushed = await seeder.metric('shoal_seeder_pushed_blobs_total')
    expect(pushed).toBeGreaterThan(0)
    const again = `docker://${seeder.host}/team/twice:2`
    await builder.run(['push', '--quiet', '--tls-verify=false', '--format', 'oci', 'built-oci', again])
    expect(await seeder.metric('shoal_seeder_pushed_blobs_total')).toBe(pushed)
    expect((await pullImage(agents[0]!.url, 'team/twice', '2')).digest).toBe(digest)
  })

  /** @returns the digest that buildah says it pushed */
  async function buildAndPush(target: string, dialect: Dialect, format: 'oci' | 'v2s2'): Promise<string> {
    const path = (name: string) => join(builder.folder, name)
    const run = async (...args: string[]) => (await builder.run(args)).stdout.trim()
    await writeFile(path('random.bin'), content)
    await writeFile(path('dialect'), dialect)
    const container = await run('from', 'scratch')
    await run('add', '--quiet', container, path('random.bin'), '/data/random.bin')
    await run('commit', '--quiet', '--format', dialect, container, 'built-base')
    // A second layer upon the first.
    const upper = await run('from', '--pull-never', 'localhost/built-base')
    await run('add', '--quiet', upper, path('dialect'), '/data/dialect')
    await run('commit', '--quiet', '--format', dialect, upper, `built-${dialect}`)
    const flags = ['--quiet', '--tls-verify=false', '--format', format, '--digestfile', path('digest')]
    await run('push', ...flags, `built-${dialect}`, target)
    return (await readFile(path('digest'), 'utf8')).trim()
  }
})

/** deploy/hosts/shoal-host.sh against a real engine: up, again, changed, wrong, down. */
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort } from '../../support/free-port.ts'
import { type ImageEngine, REPOSITORY } from '../../support/image-engine.ts'
import { type CommandOutput, ProcessEndedError, runProcess } from '../../support/process.ts'

const SCRIPT = join(REPOSITORY, 'deploy/hosts/shoal-host.sh')

export function hostScriptSuite(use: () => ImageEngine): void {
  let ports: string[]
  beforeAll(async () => {
    ports = await Promise.all(Array.from({ length: 4 }, async () => `127.0.0.1:${await freePort()}`))
  })
  afterAll(() => script('down'))

  const environment = () => ({ ...use().environment, SHOAL_IMAGE: use().image })
  const script = (...args: string[]) => runProcess('sh', [SCRIPT, ...args], { env: environment() })
  const docker = async (...args: string[]) => (await use().engine.docker(args)).stdout.trim()
  const idOf = (name: string) => docker('inspect', '--format', '{{.Id}}', name)
  const seeder = () => ['up', 'seeder', '--listen', ports[0]!, `--peer-listen=${ports[1]}`]
  const agent = (...more: string[]) => [
    ...['up', 'agent', '--listen', ports[2]!, '--peer-listen', ports[3]!],
    ...['--seeder', `http://${ports[0]}`, ...more],
  ]

  test('says what is missing: services, an image, an engine, words', async () => {
    await expect(failure(script('status'))).resolves.toMatch(/no service of Shoal is here; start one with/)
    const elsewhere = { ...environment(), SHOAL_IMAGE: '127.0.0.1:1/shoal:none' }
    await expect(failure(runProcess('sh', [SCRIPT, ...seeder()], { env: elsewhere }))).resolves.toMatch(
      /127\.0\.0\.1:1\/shoal:none is neither here nor can it be pulled; build it with/,
    )
    const without = { ...environment(), SHOAL_ENGINE: 'no-such-engine' }
    await expect(failure(runProcess('sh', [SCRIPT, 'status'], { env: without }))).resolves.toMatch(
      /no-such-engine is not on PATH; check SHOAL_ENGINE/,
    )
    const dead = { ...environment(), DOCKER_HOST: 'unix:///nowhere/docker.sock' }
    await expect(failure(runProcess('sh', [SCRIPT, 'status'], { env: dead }))).resolves.toMatch(
      /docker does not answer; is it running/,
    )
    for (const words of [[], ['up'], ['up', 'registry'], ['down', 'all'], ['status', 'agent'], ['restart']])
      await expect(statusOf(script(...words))).resolves.toBe(2)
  })

  test('starts a seeder, and an agent through a shell’s standard input, as over ssh', async () => {
    expect((await script(...seeder())).stdout).toBe('shoal-seeder is ready\n')
    const over = await runProcess('sh', ['-s', '--', ...agent()], {
      env: environment(),
      input: readFileSync(SCRIPT),
    })
    expect(over.stdout).toBe('shoal-agent is ready\n')
    expect((await script('status')).stdout).toBe(
      `shoal-seeder: ready: ${ports[0]}\nshoal-agent: ready: ${ports[2]}\n`,
    )
    const settings = JSON.parse(await docker('inspect', '--format', '{{json .HostConfig}}', 'shoal-agent'))
    expect(settings).toMatchObject({
      NetworkMode: 'host',
      ReadonlyRootfs: true,
      CapDrop: ['ALL'],
      RestartPolicy: { Name: 'unless-stopped' },
      Binds: ['shoal-agent:/var/lib/shoal'],
    })
  })

  test('run again it changes nothing; a stopped service is started; other settings replace it', async () => {
    const before = await idOf('shoal-agent')
    expect((await script(...agent())).stdout).toBe('shoal-agent runs already\n')
    expect(await idOf('shoal-agent')).toBe(before)
    await docker('stop', 'shoal-agent')
    await expect(failure(script('status'))).resolves.toMatch(/shoal-agent: exited, not ready/)
    expect((await script(...agent())).stdout).toBe('shoal-agent is ready\n')
    expect(await idOf('shoal-agent')).toBe(before)

    expect((await script(...agent('--cache-max-bytes', '2GiB'))).stdout).toBe('shoal-agent is ready\n')
    expect(await idOf('shoal-agent')).not.toBe(before)
    const file = join(use().folder.path, 'agent.env')
    await writeFile(file, 'SHOAL_ZONE=rack-7\n')
    const env = { ...environment(), SHOAL_ENV_FILE: file }
    await runProcess('sh', [SCRIPT, ...agent('--cache-max-bytes', '2GiB')], { env })
    expect(await docker('inspect', '--format', '{{.Config.Env}}', 'shoal-agent')).toContain(
      'SHOAL_ZONE=rack-7',
    )
  })

  test('settings that are wrong end it with the service’s own words', async () => {
    const wrong = await failure(script(...agent('--cache-max-bytes', 'plenty')))
    expect(wrong).toMatch(/cacheMaxBytes \(--cache-max-bytes\): "plenty" was given/)
    expect(wrong).toMatch(/shoal-agent is not ready, and is stopped now/)
    await expect(failure(script(...agent('--cache-max-byts', '1GiB')))).resolves.toMatch(/unknown option/)
  })

  test('takes both away, keeps the data, and does not mind doing it twice', async () => {
    expect((await script('down')).stdout).toMatch(
      /shoal-agent is removed; its data stays in the volume shoal-agent[\s\S]*shoal-seeder is removed/,
    )
    expect((await script('down', 'agent')).stdout).toBe('shoal-agent is not here\n')
    expect(await docker('ps', '--all', '--quiet', '--filter', 'name=shoal-')).toBe('')
    expect(await docker('volume', 'ls', '--quiet')).toMatch(/shoal-agent[\s\S]*shoal-seeder/)
    await docker('volume', 'rm', 'shoal-agent', 'shoal-seeder')
  })
}

/** What it wrote when it ended with something else than 0. */
async function failure(run: Promise<CommandOutput>): Promise<string> {
  const error = await run.then(
    () => undefined,
    (cause: unknown) => cause,
  )
  if (error instanceof ProcessEndedError && error.exit.code === 1) return error.message
  throw new Error('it did not end with 1', { cause: error })
}

async function statusOf(run: Promise<CommandOutput>): Promise<number | null> {
  return run.then(
    () => 0,
    (error: ProcessEndedError) => error.exit.code,
  )
}

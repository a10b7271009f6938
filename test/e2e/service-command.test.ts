/**
 * Goal: what a person or an init system sees of `shoal seeder` and `shoal agent` when the world is not as they need it: the
 * right exit status, one plain line that says what and why, and a way on.
 * Method: the command as it is installed, started as a process; nothing is awaited but its end or its ready line.
 */
import { existsSync } from 'node:fs'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AgentSettings } from '@shoal/agent'
import { SeederSettings } from '@shoal/seeder'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import {
  type CommandOutput,
  jsonEvent,
  ProcessEndedError,
  parseLine,
  type RunningProcess,
  runProcess,
  startProcess,
} from '../support/process.ts'
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts'

const BIN = fileURLToPath(new URL('../../packages/cli/bin/shoal.js', import.meta.url))
const ANY_PORTS = ['--listen', '127.0.0.1:0', '--peer-listen', '127.0.0.1:0']
const TIMEOUT_MS = 30_000

let folder: TemporaryFolder
/** Where no folder can be made, whoever asks: below a file. */
let unusable: string

beforeAll(async () => {
  folder = await temporaryFolder('service-command')
  await writeFile(join(folder.path, 'file'), 'not a folder')
  unusable = join(folder.path, 'file', 'below')
})
afterAll(() => folder?.remove())

type Environment = Readonly<Record<string, string>>

function start(args: readonly string[], env: Environment = {}): RunningProcess {
  // The tests' own variable, which a service would warn of.
  const surroundings = { SHOAL_REQUIRE_COMPONENTS: undefined, ...env }
  return startProcess(process.execPath, [BIN, ...args], { cwd: folder.path, env: surroundings })
}

/** Runs it to its end, which must not be a good one. */
async function failure(
  args: readonly string[],
  env: Environment = {},
): Promise<{ status: number | null; lines: readonly string[] }> {
  await using service = start(args, env)
  const timer = setTimeout(() => void service.kill9(), TIMEOUT_MS)
  const { code } = await service.exited
  clearTimeout(timer)
  return { status: code, lines: service.lines }
}

const plain = (lines: readonly string[]) => lines.filter((line) => !line.startsWith('{'))
const fatal = (lines: readonly string[]) => lines.map(parseLine).find((entry) => entry?.level === 60)

describe('a service that cannot start ends with 1 and says why in one line', () => {
  it.each([
    ['seeder', '--origin'],
    ['seeder', '--data'],
    ['agent', '--cache'],
  ])('%s %s where no folder can be', async (service, flag) => {
    const { status, lines } = await failure([service, ...ANY_PORTS, flag, unusable])
    expect(status).toBe(1)
    const said = plain(lines)
    expect(said).toHaveLength(1)
    expect(said[0]).toMatch(new RegExp(`^shoal ${service}: .*${join(folder.path, 'file', 'below')}`))
    expect(said[0]).toContain('ENOTDIR')
    expect(fatal(lines)).toMatchObject({ event: 'start-failed' })
  })

  it.each(['seeder', 'agent'])(
    '%s: both of its ports, one taken, and each of its folders',
    async (service) => {
      const args = service === 'seeder' ? ['--origin', 'o1', '--data', 'd1'] : ['--cache', 'c1']
      await using first = start([service, ...ANY_PORTS, ...args])
      const ready = parseLine(await first.waitForLine(jsonEvent('ready'), TIMEOUT_MS))
      for (const [flag, taken] of [
        ['--listen', ready?.listen],
        ['--peer-listen', ready?.peerListen],
      ] as const) {
        const other = service === 'seeder' ? ['--origin', 'o2', '--data', 'd2'] : ['--cache', 'c2']
        const { status, lines } = await failure([service, ...ANY_PORTS, ...other, flag, String(taken)])
        expect(status).toBe(1)
        expect(plain(lines)).toHaveLength(1)
        expect(plain(lines)[0]).toContain('EADDRINUSE')
        expect(plain(lines)[0]).toContain(taken)
      }
      const shared =
        service === 'seeder' ? ['--origin o1 --data d3', '--origin o3 --data d1'] : ['--cache c1']
      for (const folders of shared) {
        const { status, lines } = await failure([service, ...ANY_PORTS, ...folders.split(' ')])
        expect(status).toBe(1)
        expect(plain(lines)[0]).toContain(`${service}, process ${first.pid} on `)
      }
    },
  )

  it('a bucket behind an endpoint where nobody listens: the bucket, and what the system says', async () => {
    const endpoint = `http://127.0.0.1:${await freePort()}`
    const origin = `s3://images/x?endpoint=${endpoint}&region=us-east-1&forcePathStyle=true`
    const { status, lines } = await failure(['seeder', ...ANY_PORTS, '--origin', origin], {
      AWS_ACCESS_KEY_ID: 'nobody',
      AWS_SECRET_ACCESS_KEY: 'must-not-show',
    })
    expect(status).toBe(1)
    expect(plain(lines)[0]).toMatch(/^shoal seeder: s3:\/\/images\/x .*ECONNREFUSED/)
    expect(lines.join('\n')).not.toContain('must-not-show')
  })

  it('a seeder whose origin went away: nothing new is made in its place', async () => {
    const args = ['seeder', ...ANY_PORTS, '--origin', 'o9', '--data', 'd9']
    await using first = start(args)
    const ready = parseLine(await first.waitForLine(jsonEvent('ready'), TIMEOUT_MS))
    const statusOf = async (path: string) => (await fetch(`http://${ready?.listen}${path}`)).status
    expect(await statusOf('/v2/team/app/manifests/1')).toBe(404)
    const origin = join(folder.path, 'o9')
    await rename(origin, join(folder.path, 'away'))
    // Whether it has the image cannot be told: no 404, and agents turn to each other.
    expect(await statusOf('/v2/team/app/manifests/2')).toBe(503)
    expect(await statusOf('/readyz')).toBe(503)
    await first.stop()
    const { status, lines } = await failure(args)
    expect(status).toBe(1)
    expect(plain(lines)[0]).toContain('there was one: is its volume mounted')
    expect(existsSync(origin)).toBe(false)
    await rename(join(folder.path, 'away'), origin)
    await using again = start(args)
    await again.waitForLine(jsonEvent('ready'), TIMEOUT_MS)
  })

  it('an origin of an unknown kind: what is known', async () => {
    const { lines } = await failure(['seeder', ...ANY_PORTS, '--origin', 'gs://images'])
    expect(plain(lines)[0]).toMatch(/^shoal seeder: .*"gs:\/\/images".* s3:\/\/bucket\/prefix/)
  })
})

describe('what was typed wrong ends with 2 before anything is touched', () => {
  it('all wrong settings at once, from all three sources', async () => {
    await writeFile(join(folder.path, 'shoal.yaml'), '# ours\ncacheMaxBytes: tiny\nzon: a\n')
    const { status, lines } = await failure(['agent', '--config', 'shoal.yaml', '--listen', ':5001'], {
      SHOAL_SEEDER: 'seeder:7000',
    })
    expect(status).toBe(2)
    expect(lines).toEqual([
      'shoal agent: zon (shoal.yaml:3): there is no such key; did you mean zone?; the keys are listen, peerListen, seeder, cache, cacheMaxBytes, zone, zoneFile, name, tagTtlMs, forwardPushes, engine, connectionsMax, connectionsPerSwarmMax, unfinishedHandshakesMax, blockMaxBytes, queuedRequestsMax, uploadSlots, bufferBytes, uploadBytesPerSecond, downloadBytesPerSecond, logLevel',
      'listen (--listen): ":5001" was given; allowed: host:port, such as 127.0.0.1:5001, [::1]:5001 or 0.0.0.0:5001',
      'seeder (SHOAL_SEEDER): "seeder:7000" was given; allowed: an http or https URL, such as http://seeder:7000',
      'cacheMaxBytes (shoal.yaml:2): "tiny" was given; allowed: a number of bytes, such as 500MB or 64GiB, from 1MiB',
      'See shoal agent --help.',
    ])
  })

  it.each([
    ['an unknown flag', ['agent', '--chache', 'x'], "unknown option '--chache'"],
    ['a flag without its value', ['agent', '--zone'], "option '--zone <TEXT>' argument missing"],
    ['an unknown command', ['agents'], "unknown command 'agents'"],
    ['a word too many', ['agent', 'now'], 'too many arguments'],
  ])('%s', async (_what, args, message) => {
    const { status, lines } = await failure(args)
    expect(status).toBe(2)
    expect(lines[0]).toContain(message)
    expect(lines.at(-1)).toMatch(/^See .*--help\.$/)
  })

  it('a file of settings that is none', async () => {
    await writeFile(join(folder.path, 'broken.yaml'), 'zone: "a\n')
    const { status, lines } = await failure(['agent'], { SHOAL_CONFIG: 'broken.yaml' })
    expect(status).toBe(2)
    expect(lines[0]).toMatch(/^shoal agent: the configuration file broken\.yaml:\d cannot be used: /)
  })
})

describe('a service that runs', () => {
  it('takes settings from file, variables and flags; says where it is; warns of a slip; ends with 0', async () => {
    await writeFile(
      join(folder.path, 'good.yaml'),
      // Nobody is at port 9.
      'listen: 127.0.0.1:0\npeerListen: 127.0.0.1:1\nseeder: http://127.0.0.1:9\ncache: from-file\nlogLevel: warn\n',
    )
    await using agent = start(['agent', '--config', 'good.yaml', '--peer-listen', '127.0.0.1:0'], {
      SHOAL_CACHE: 'from-variable',
      SHOAL_PERR_LISTEN: '127.0.0.1:2',
      // A variable of the other service is nothing to warn of.
      SHOAL_ORIGIN: 'elsewhere',
    })
    const ready = parseLine(await agent.waitForLine(jsonEvent('ready'), TIMEOUT_MS))
    expect(ready).toMatchObject({
      event: 'ready',
      listen: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      peerListen: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
    })
    const answerOf = async (path: string) => {
      const answer = await fetch(`http://${ready?.listen}/${path}`)
      return { status: answer.status, body: await answer.text() }
    }
    expect((await answerOf('healthz')).status).toBe(200)
    // A seeder that was never there, and an empty cache: it says so wherever somebody may look.
    const why = 'the seeder at http://127.0.0.1:9 cannot be reached: connection refused'
    const unready = await answerOf('readyz')
    expect([unready.status, JSON.parse(unready.body)]).toEqual([
      503,
      { status: 'not-ready', problems: [why], service: 'agent', version: expect.any(String) },
    ])
    const missed = await answerOf('v2/team/app/manifests/1')
    expect([missed.status, missed.body]).toEqual([404, expect.stringContaining(why)])
    expect((await answerOf('metrics')).body).toContain('\nshoal_agent_seeder_up 0\n')
    expect(agent.lines.map(parseLine).filter((line) => line?.event === 'seeder-unreachable')).toMatchObject([
      { seeder: 'http://127.0.0.1:9', reason: 'connection refused', msg: why },
    ])
    expect(agent.lines.map(parseLine).filter((line) => line?.event === 'setting-unknown')).toMatchObject([
      { msg: 'SHOAL_PERR_LISTEN is set and no setting of Shoal; did you mean SHOAL_PEER_LISTEN?' },
    ])
    await expect(readFile(join(folder.path, 'from-variable/pieces'))).rejects.toMatchObject({
      code: 'EISDIR',
    })
    await expect(readFile(join(folder.path, 'from-file/pieces'))).rejects.toMatchObject({ code: 'ENOENT' })
    expect(await agent.stop()).toEqual({ code: 0, signal: null })
    // Nothing of level info but the line that others wait for.
    expect(agent.lines.map(parseLine).filter((line) => line?.level === 30)).toHaveLength(1)
  })
})

describe('--help', () => {
  it.each([
    ['seeder', SeederSettings],
    ['agent', AgentSettings],
  ])('of %s names every setting with its flag, its variable and its default', async (service, schema) => {
    const { stdout, stderr }: CommandOutput = await runProcess(process.execPath, [BIN, service, '--help'])
    expect(stderr).toBe('')
    const help = stdout.replace(/\s+/g, ' ')
    for (const [key, property] of Object.entries<object>(schema.properties)) {
      const value = 'default' in property ? property.default : undefined
      const dashed = key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
      const variable = `SHOAL_${dashed.replaceAll('-', '_').toUpperCase()}`
      expect(help).toContain(` --${dashed} <`)
      const shown = BYTES_SHOWN[key] ?? (value === '' ? 'empty' : String(value))
      expect(help, key).toContain(`(default: ${shown}) [${variable}]`)
    }
  })

  it('is what a person gets who types nothing, with the commands that there are', async () => {
    const shown = await runProcess(process.execPath, [BIN, '--help'])
    for (const command of ['seeder', 'agent', 'demo']) expect(shown.stdout).toContain(`  ${command} `)
    await expect(runProcess(process.execPath, [BIN])).rejects.toThrow(ProcessEndedError)
  })
})

/** Bytes as a person would write them. */
const BYTES_SHOWN: Readonly<Record<string, string>> = {
  cacheMaxBytes: '64GiB',
  dataMaxBytes: '64GiB',
  blockMaxBytes: '4MiB',
  bufferBytes: '32MiB',
}

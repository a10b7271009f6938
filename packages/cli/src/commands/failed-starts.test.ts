/**
 * Goal: a service that cannot start ends everything that it had begun, whichever part fails: its folders, its ports and its
 * engine are free again.
 * Method: a seeder and an agent in this process, over folders of their own; something stands where each of their parts begins.
 * Afterwards no server listens, and the same folders serve a start that nothing hinders.
 */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AgentSettings, createAgent } from '@shoal/agent'
import { createSeeder, SeederSettings } from '@shoal/seeder'
import { loadSettings } from '@shoal/settings'
import { lockFolder } from '@shoal/storage'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

const log = pino({ level: 'silent' })
const FREE = { listen: '127.0.0.1:0', peerListen: '127.0.0.1:0' }
const listening = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPServerWrap').length

let stack: AsyncDisposableStack
let folder: string
beforeEach(async () => {
  stack = new AsyncDisposableStack()
  folder = await mkdtemp(join(tmpdir(), 'shoal-failed-starts-'))
  stack.defer(() => rm(folder, { recursive: true }))
})
afterEach(() => stack.disposeAsync())

function seederOf(flags: Record<string, string>) {
  const folders = { data: join(folder, 'data'), origin: join(folder, 'origin') }
  const { settings } = loadSettings(
    SeederSettings,
    { flags: { ...folders, ...flags }, variables: {} },
    new Set(),
  )
  return createSeeder({ settings, log })
}

function agentOf(flags: Record<string, string>) {
  // Nobody has to answer there.
  const own = { cache: join(folder, 'cache'), seeder: 'http://127.0.0.1:9' }
  const { settings } = loadSettings(AgentSettings, { flags: { ...own, ...flags }, variables: {} }, new Set())
  return createAgent({ settings, log })
}

/** An address where somebody else listens. */
async function takenAddress(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  stack.defer(async () => {
    server.close()
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

const hindered = [
  ['its peer port is taken', async () => ({ peerListen: await takenAddress() })],
  ['its port is taken', async () => ({ listen: await takenAddress() })],
] as const

describe.each([
  ['seeder', seederOf, 'data'],
  ['agent', agentOf, 'cache'],
] as const)('the %s', (_name, serviceOf, owned) => {
  async function expectCleanFailure(flags: Record<string, string>): Promise<void> {
    const before = listening()
    const service = await serviceOf({ ...FREE, ...flags })
    await expect(service.start()).rejects.toThrow()
    await expect.poll(listening).toBe(before)
  }

  async function expectToStart(): Promise<void> {
    const service = await serviceOf(FREE)
    await service.start()
    expect((await fetch(`${service.url}/healthz`)).status).toBe(200)
    await service.stop()
  }

  test.each(hindered)('leaves nothing behind when %s', async (_what, flags) => {
    await expectCleanFailure(await flags())
    await expectToStart()
  })

  test('leaves nothing behind when its folder is another’s', async () => {
    const lock = await lockFolder(join(folder, owned), 'another')
    await expectCleanFailure({})
    await lock.release()
    await expectToStart()
  })
})

test('a seeder whose origin is another’s lets go of its own folder', async () => {
  const lock = await lockFolder(join(folder, 'origin'), 'another')
  await expect((await seederOf(FREE)).start()).rejects.toThrow()
  const own = await lockFolder(join(folder, 'data'), 'this test')
  await own.release()
  await lock.release()
})

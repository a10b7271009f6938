/**
 * Shoal's services inside the test's own process, on ports that the system gives: quick to start, and every line that they
 * log, from level trace on, can be read. What must be measured apart (memory, signals) starts them as processes: `cluster.ts`.
 */
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { AgentSettings, createAgent } from '@shoal/agent'
import { createSeeder, SeederSettings } from '@shoal/seeder'
import { type Logger, pino } from 'pino'
import { temporaryFolder } from './temporary-folder.ts'

export interface LocalService extends AsyncDisposable {
  readonly url: string
  readonly port: number
  /** Where peers connect, `host:port`. */
  readonly peerAddress: string
  readonly folder: string
  /** Everything that was logged so far. */
  logText(): string
  stop(): Promise<void>
}

export interface LocalSeeder extends LocalService {
  readonly origin: string
}

export async function startLocalSeeder(settings: Partial<SeederSettings> = {}): Promise<LocalSeeder> {
  const folder = await temporaryFolder('local-seeder')
  const origin = join(folder.path, 'origin')
  const { log, logText } = memoryLog()
  const seeder = await createSeeder({
    settings: {
      ...(defaultsOf(SeederSettings) as SeederSettings),
      listen: '127.0.0.1:0',
      peerListen: '127.0.0.1:0',
      data: join(folder.path, 'data'),
      origin,
      ...settings,
    },
    log,
  })
  return { ...(await running(seeder, folder, logText)), origin }
}

export async function startLocalAgent(
  seederUrl: string,
  settings: Partial<AgentSettings> = {},
): Promise<LocalService> {
  const folder = await temporaryFolder('local-agent')
  const { log, logText } = memoryLog()
  const agent = await createAgent({
    settings: {
      ...(defaultsOf(AgentSettings) as AgentSettings),
      listen: '127.0.0.1:0',
      peerListen: '127.0.0.1:0',
      cache: join(folder.path, 'cache'),
      seeder: seederUrl,
      ...settings,
    },
    log,
  })
  return running(agent, folder, logText)
}

/** The lines in which a text is, so that a failure shows them and not the whole log. */
export function linesWith(service: Pick<LocalService, 'logText'>, text: string): string[] {
  return service
    .logText()
    .split('\n')
    .filter((line) => line.includes(text))
}

interface Startable {
  readonly url: string
  readonly peerAddress: string
  start(): Promise<void>
  stop(): Promise<void>
}

async function running(
  service: Startable,
  folder: Awaited<ReturnType<typeof temporaryFolder>>,
  logText: () => string,
): Promise<LocalService> {
  try {
    await service.start()
  } catch (error) {
    await folder.remove()
    throw error
  }
  const { url, peerAddress } = service
  const stop = async () => {
    await service.stop()
    await folder.remove()
  }
  return {
    url,
    port: Number(new URL(url).port),
    peerAddress,
    folder: folder.path,
    logText,
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

function memoryLog(): { log: Logger; logText: () => string } {
  const output = new PassThrough()
  const parts: Buffer[] = []
  output.on('data', (chunk: Buffer) => parts.push(chunk))
  return { log: pino({ level: 'trace' }, output), logText: () => Buffer.concat(parts).toString() }
}

function defaultsOf(schema: { readonly properties: object }): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(schema.properties as Record<string, { default?: unknown }>).map(([name, property]) => [
      name,
      property.default,
    ]),
  )
}

/** A client of a stub, with time that stands still until a test moves it and pauses that take none. */
import { PassThrough } from 'node:stream'
import type { StubServer } from '@shoal/testing/stub-server'
import { pino } from 'pino'
import { upstreamAddress } from '../address.ts'
import { Credentials } from '../credentials.ts'
import type { UpstreamLimits } from '../limits.ts'
import { UpstreamClient, type UpstreamClientInit, type UpstreamClientParts } from '../upstream-client.ts'

export interface TestClient extends AsyncDisposable {
  readonly client: UpstreamClient
  readonly clock: { nowMs: number }
  /** How long it would have waited before asking again. */
  readonly pausesMs: number[]
  /** Everything that was logged. */
  readonly logText: () => string
}

export interface TestClientInit {
  /** `user:password` for the stub. */
  readonly login?: string
  readonly credentials?: Credentials
  readonly limits?: Partial<UpstreamLimits>
  readonly init?: Partial<UpstreamClientInit>
  readonly parts?: Partial<UpstreamClientParts>
}

export function clientOf(stub: StubServer, options: TestClientInit = {}): TestClient {
  const clock = { nowMs: Date.parse('2026-03-01T00:00:00Z') }
  const pausesMs: number[] = []
  const output = new PassThrough()
  const lines: string[] = []
  output.on('data', (chunk: Buffer) => lines.push(chunk.toString('utf8')))
  const client = new UpstreamClient(
    {
      credentials: options.credentials ?? credentialsFor(stub.host, options.login),
      nowMs: () => clock.nowMs,
      log: pino({ level: 'trace' }, output),
      random: () => 0.5,
      pause: async (durationMs) => {
        pausesMs.push(durationMs)
      },
      ...options.parts,
    },
    {
      address: upstreamAddress(stub.host, stub.url),
      ...(options.limits === undefined ? {} : { limits: options.limits }),
      ...options.init,
    },
  )
  return {
    client,
    clock,
    pausesMs,
    logText: () => lines.join(''),
    [Symbol.asyncDispose]: () => client.close(),
  }
}

/** By environment variables, as an operator would give it. */
export function credentialsFor(host: string, login: string | undefined): Credentials {
  if (login === undefined) return new Credentials({ environment: {} })
  const stem = `SHOAL_UPSTREAM_${host.toUpperCase().replace(/[^A-Z0-9]/g, '_')}`
  const [username, password] = login.split(':')
  return new Credentials({ environment: { [`${stem}_USERNAME`]: username, [`${stem}_PASSWORD`]: password } })
}

export async function bytesOf(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of body) parts.push(part)
  return Buffer.concat(parts)
}

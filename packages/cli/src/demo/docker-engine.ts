/** The same image through a real Docker Engine, where one answers: pull from an agent, run, compare what it says, remove. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { type Cleanup, withTimeLimit } from '@shoal/fanout/processes'
import { DemoTimeoutError } from './errors.ts'
import type { DockerReport } from './report.ts'

export interface DockerInit {
  /** `127.0.0.1:PORT/demo/app:1` */
  readonly reference: string
  readonly greeting: string
  readonly runs: boolean
  /** For one command that moves the image. */
  readonly limitMs: number
  readonly cleanup: Cleanup
  readonly signal: AbortSignal
}

const ANSWER_TIMEOUT_MS = 5_000
const OUTPUT_BYTES_MAX = 1024 ** 2

export async function tryDocker(init: DockerInit): Promise<DockerReport> {
  if (!init.runs) return { leftOut: `the image has this machine's Node, which is not built for Linux` }
  const engine = await engineVersion(init.signal)
  if (engine === undefined) return { leftOut: 'no Docker Engine answers here' }
  if (!isLocal(process.env.DOCKER_HOST)) {
    return {
      leftOut: 'DOCKER_HOST points to another machine, which does not see the loopback addresses of this one',
    }
  }
  try {
    return await pullAndRun(engine, init)
  } catch (error) {
    init.signal.throwIfAborted()
    const message = errorText(error)
    // Docker Desktop and rootless engines live behind a loopback interface of their own.
    if (/connection refused/i.test(message)) {
      return {
        leftOut: `the Docker Engine ${engine} has a loopback interface of its own and does not reach the agent`,
      }
    }
    return { ok: false, engine, error: message }
  }
}

async function pullAndRun(engine: string, init: DockerInit): Promise<DockerReport> {
  const { reference, greeting, limitMs, signal } = init
  const container = `shoal-demo-${process.pid}`
  const remove = async () => {
    await docker(['rm', '--force', container], AbortSignal.timeout(ANSWER_TIMEOUT_MS)).catch(() => {})
    await docker(['image', 'rm', '--force', reference], AbortSignal.timeout(ANSWER_TIMEOUT_MS)).catch(
      () => {},
    )
  }
  init.cleanup.add({ name: `the image ${reference}`, end: remove })

  const startedAtMs = performance.now()
  await withTimeLimit({ Timeout: DemoTimeoutError, doing: 'docker pull', limitMs, signal }, (limited) =>
    docker(['pull', '--quiet', reference], limited),
  )
  const pullSeconds = Math.round(performance.now() - startedAtMs) / 1000
  const run = ['run', '--rm', '--network', 'none', '--name', container, reference]
  const said = await withTimeLimit(
    { Timeout: DemoTimeoutError, doing: 'docker run', limitMs, signal },
    (limited) => docker(run, limited),
  )
  const output = said.trim()
  if (output !== greeting) {
    return {
      ok: false,
      engine,
      error: `the container said ${JSON.stringify(output)} instead of ${JSON.stringify(greeting)}`,
    }
  }
  await remove()
  return { ok: true, engine, pull: reference, pullSeconds, output }
}

async function engineVersion(signal: AbortSignal): Promise<string | undefined> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)])
  try {
    const version = (await docker(['version', '--format', '{{.Server.Version}}'], limited)).trim()
    return version === '' ? undefined : version
  } catch {
    signal.throwIfAborted()
    return undefined
  }
}

function isLocal(dockerHost: string | undefined): boolean {
  return dockerHost === undefined || dockerHost === '' || dockerHost.startsWith('unix:')
}

async function docker(args: readonly string[], signal: AbortSignal): Promise<string> {
  const { stdout } = await promisify(execFile)('docker', args, { signal, maxBuffer: OUTPUT_BYTES_MAX })
  return stdout
}

function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { stderr } = error as Error & { stderr?: string }
  return (stderr?.trim() || error.message).slice(0, 1_000)
}

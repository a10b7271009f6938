/** Containers of the image with everything taken away that it does not need. */
import { setTimeout as delay } from 'node:timers/promises'
import type { ImageEngine } from '../../support/image-engine.ts'

const LOCKED = [
  ...['--network', 'host', '--read-only', '--tmpfs', '/tmp'],
  ...['--cap-drop', 'ALL', '--security-opt', 'no-new-privileges'],
]
/** So that a test need not wait half a minute. */
const QUICK_HEALTH = ['--health-interval', '1s', '--health-retries', '1', '--health-start-period', '1ms']
const HEALTH_TIMEOUT_MS = 60_000
const PAUSE_MS = 100

export interface ContainerInit {
  readonly name: string
  readonly env: Readonly<Record<string, string>>
  readonly args: readonly string[]
  readonly options?: readonly string[]
}

/** Starts it with a volume of its name. */
export async function startContainer(
  { engine, image }: ImageEngine,
  { name, env, args, options = [] }: ContainerInit,
): Promise<void> {
  const variables = Object.entries(env).flatMap(([key, value]) => ['--env', `${key}=${value}`])
  const volume = ['--volume', `${name}:/var/lib/shoal`]
  const words = ['run', '-d', '--name', name, ...LOCKED, ...QUICK_HEALTH, ...volume, ...variables, ...options]
  await engine.docker([...words, image, ...args])
}

/** @throws Error with its last lines when Docker does not find it `healthy` (or what else is waited for) in time */
export async function untilHealth(
  { engine }: ImageEngine,
  name: string,
  wanted: 'healthy' | 'unhealthy' = 'healthy',
): Promise<void> {
  const deadlineMs = performance.now() + HEALTH_TIMEOUT_MS
  for (;;) {
    const { stdout } = await engine.docker(['inspect', '--format', '{{json .State}}', name])
    const state = JSON.parse(stdout)
    if (state.Health.Status === wanted) return
    if (state.Status === 'exited' || performance.now() > deadlineMs) {
      const { stdout: out, stderr } = await engine.docker(['logs', '--tail', '20', name])
      throw new Error(`${name} is ${state.Status}, ${JSON.stringify(state.Health)}:\n${out}${stderr}`)
    }
    await delay(PAUSE_MS)
  }
}

/** `docker stop`, and the status that it ended with: 137 when it had to be killed. */
export async function stopContainer({ engine }: ImageEngine, name: string): Promise<number> {
  await engine.docker(['stop', '--time', '20', name])
  const { stdout } = await engine.docker(['inspect', '--format', '{{.State.ExitCode}}', name])
  return Number(stdout)
}

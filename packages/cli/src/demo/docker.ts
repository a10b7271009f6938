/** The same pull once more by a real Docker Engine, where one answers. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { DemoError } from './errors.ts'
import { GREETING } from './image.ts'
import type { DockerReport } from './report.ts'

const ASK_TIMEOUT_MS = 3_000
const WORK_TIMEOUT_MS = 5 * 60_000

/** @throws DemoError when there is an engine and it does not get or run the image */
export async function tryDocker(image: string, signal: AbortSignal): Promise<DockerReport> {
  const docker = async (args: readonly string[], timeout: number) =>
    (await promisify(execFile)('docker', args, { timeout, signal })).stdout.trim()
  try {
    await docker(['version', '--format', '{{.Server.Version}}'], ASK_TIMEOUT_MS)
  } catch {
    return { ran: false, said: 'no Docker Engine answers here' }
  }
  try {
    await docker(['pull', '--quiet', image], WORK_TIMEOUT_MS)
    // No network: the program needs none, and not every engine has a bridge.
    const said = await docker(['run', '--rm', '--network', 'none', image], WORK_TIMEOUT_MS)
    if (said !== GREETING) throw new DemoError(`the container said ${JSON.stringify(said.slice(0, 500))}`)
    return { ran: true, said }
  } catch (cause) {
    if (cause instanceof DemoError) throw cause
    throw new DemoError(`the Docker Engine failed: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    })
  } finally {
    await promisify(execFile)('docker', ['rmi', '--force', image], { timeout: WORK_TIMEOUT_MS }).catch(
      () => {},
    )
  }
}
